"""Before a node is started: which rule a file matches, and whether the destinations answer."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import requests
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification

from bone_age_tf.config import NodeConfig, StoreDestination, WebDestination
from bone_age_tf.dicom import admission
from bone_age_tf.dicom.admission import RADIOGRAPHS, fault_in
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import read_header
from bone_age_tf.dicom_output.archive import fault_of
from bone_age_tf.dicom_output.node.association import (
    NoAssociationError,
    association_with,
    peer_of,
)
from bone_age_tf.dicom_output.node.rules import match, name_of, output_of, values_of
from bone_age_tf.dicom_output.node.web_archive import connection_to
from bone_age_tf.errors import BoneAgeError
from bone_age_tf.files.images import radiographs_in


class Checked(NamedTuple):
    """What a node would do with a file."""

    file: str
    rule: str
    destinations: str
    objects: str
    note: str
    """Why it would be ignored or rejected, as far as its header tells."""


def checked(config: NodeConfig, paths: Sequence[str], calling_ae: str) -> Iterator[Checked]:
    """Each file that a sender of this AE title might send. Raises `InputDataError` where one cannot be read."""
    admission.accept(*config.node.accept_dicom)
    for file in (file for path in paths for file in radiographs_in(path)):
        yield _checked(config, file.name, file.read(), calling_ae)


def _checked(config: NodeConfig, name: str, encoded: bytes, calling_ae: str) -> Checked:
    header = read_header(encoded)
    if isinstance(header, Fault):
        return Checked(name, "", "", "", f"not taken: {header.reason}")
    fault = fault_in(header)
    if header.sop_class not in RADIOGRAPHS or (fault and fault.reason == "not_a_radiograph"):
        return Checked(name, "", "", "", "ignored: not_a_radiograph")
    rule = match(config.rules, values_of(encoded, calling_ae))
    called = name_of(config.rules, rule)
    if rule is None or not rule.destinations:
        reason = "no_rule" if rule is None else "no_destination"
        return Checked(name, "" if rule is None else called, "", "", f"ignored: {reason}")
    objects = " ".join(output_of(config, rule).objects)
    note = f"rejected: {fault.reason}" if fault else ""
    return Checked(name, called, " ".join(rule.destinations), objects, note)


def echoed(config: NodeConfig, destination: StoreDestination | WebDestination) -> str:
    """Why a destination does not answer; empty where it does. Raises `EnvironmentFaultError` for certificates."""
    if isinstance(destination, WebDestination):
        return _searched(destination)
    peer = peer_of(destination, config.node.ae_title, config.tls)
    try:
        with association_with(peer, [build_context(Verification)]) as association:
            status = association.send_c_echo()
    except NoAssociationError as error:
        return str(error)
    return "" if status.get("Status") == 0 else "no answer to C-ECHO"


def _searched(destination: WebDestination) -> str:
    try:
        archive = connection_to(destination)
        archive.client.search_for_studies(limit=1)
    except requests.RequestException as error:
        return str(fault_of(error, archive.config))
    except BoneAgeError as error:
        return str(error)
    return ""
