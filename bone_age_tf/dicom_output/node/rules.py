"""The rules of `node.toml`: which radiographs are processed, and where their results go. Without a match, nothing leaves."""

import dataclasses
import fnmatch
from collections.abc import Mapping, Sequence

from bone_age_tf.config import DicomOutputConfig, NodeConfig, Rule
from bone_age_tf.dicom.elements import read_elements
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.inflate import inflated
from bone_age_tf.files.quiet import without_messages_of

ATTRIBUTES: Mapping[str, str] = {
    "modality": "Modality",
    "body_part": "BodyPartExamined",
    "station_name": "StationName",
    "institution_name": "InstitutionName",
    "manufacturer": "Manufacturer",
    "study_description": "StudyDescription",
    "series_description": "SeriesDescription",
    "protocol_name": "ProtocolName",
}
"""Condition of a rule -> keyword of the attribute that it is about."""
CALLING_AE = "calling_ae"
_KEYWORDS = ("SpecificCharacterSet", "AnatomicRegionSequence", *ATTRIBUTES.values())
_HEADER_BYTES = 2**22


def values_of(encoded: bytes, calling_ae: str) -> dict[str, str]:
    """What the conditions are about, of a file as received: condition -> value, empty where the header has none.

    As everywhere, Body Part Examined is else the meaning of the Anatomic Region Sequence.
    """
    values = dict.fromkeys(ATTRIBUTES, "") | {CALLING_AE: calling_ae}
    try:
        with without_messages_of("pydicom"):
            file = inflated(encoded, first=_HEADER_BYTES)
            if isinstance(file, Fault):
                return values
            elements = read_elements(file, _KEYWORDS).elements
            values |= {name: elements.text(keyword) for name, keyword in ATTRIBUTES.items()}
            values["body_part"] = values["body_part"] or elements.meaning("AnatomicRegionSequence")
    except Exception:  # whatever pydicom stumbled over in a damaged file: nothing is known of it
        return values
    return values


def match(rules: Sequence[Rule], values: Mapping[str, str]) -> Rule | None:
    """The first rule all of whose conditions `values_of` a radiograph meet; None where no rule does."""
    return next((rule for rule in rules if _is_met(rule, values)), None)


def name_of(rules: Sequence[Rule], rule: Rule | None) -> str:
    """What the audit calls a rule: its name, or else its number as in `rule 2`; `no_rule` for None."""
    if rule is None:
        return "no_rule"
    return rule.name or f"rule {rules.index(rule) + 1}"


def output_of(config: NodeConfig, rule: Rule) -> DicomOutputConfig:
    """Which objects are made of a radiograph that this rule matches."""
    if rule.objects is None:
        return config.output
    return dataclasses.replace(config.output, objects=rule.objects)


def _is_met(rule: Rule, values: Mapping[str, str]) -> bool:
    return all(
        any(fnmatch.fnmatchcase(value.casefold(), one.casefold()) for one in getattr(rule, name))
        for name, value in values.items()
    )
