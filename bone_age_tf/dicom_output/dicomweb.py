"""`predict --dicomweb`: the radiographs of a study from a DICOMweb archive, and the objects back to it."""

import collections
import csv
import dataclasses
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import requests

from bone_age_tf.config.dicomweb import DicomwebConfig, is_uid
from bone_age_tf.config.parsing import require
from bone_age_tf.dicom.admission import OTHER_MODALITIES, RADIOGRAPHS, accept
from bone_age_tf.dicom.body_parts import other_body_part
from bone_age_tf.dicom.header import DX_FOR_PROCESSING, read_header
from bone_age_tf.dicom_output.archive import (
    ACCESS_DENIED,
    TRANSIENT,
    AnswerTooLargeError,
    Archive,
    fault_of,
    status_of,
)
from bone_age_tf.dicom_output.folder import STORED
from bone_age_tf.dicom_output.selection import in_words, left_out
from bone_age_tf.dicom_output.stow import NotStored, store
from bone_age_tf.errors import InputDataError, NotStoredError
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.quiet import without_messages_of

log = logging.getLogger(__name__)

MAX_RADIOGRAPHS = 200
"""Of one study: a radiographic study has a few."""
MAX_PAGES = 100
_SERIES, _INSTANCE, _CLASS = "0020000E", "00080018", "00080016"
_MODALITY, _BODY_PART = "00080060", "00180015"

Item = Any
"""A data set in DICOM JSON, as far as is known."""


@dataclasses.dataclass(frozen=True)
class Study:
    """What to retrieve."""

    uid: str
    series: str | None = None
    """None: each series that may show a hand, by Modality and Body Part Examined."""
    accept_dicom: Sequence[str] = ()
    """Reasons of `dicom.admission.ACCEPTABLE` for which nothing is left out."""

    def __post_init__(self) -> None:
        for option, uid in (("--study", self.uid), ("--series", self.series)):
            expected = "a UID: digits and dots, at most 64 characters, as in 1.2.840.113619.2"
            require(uid is None or is_uid(uid), option, expected, uid)


def retrieve(
    config: DicomwebConfig,
    study: Study,
    folder: Path,
    on_progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> None:
    """The radiographs of a study as `0001.dcm` and so on; says what is left out, and why.

    One at a time is in memory. Raises `InputDataError` where there is none, `EnvironmentFaultError` and `UsageError` where
    the archive does not give them.
    """
    archive, without = Archive(config), collections.Counter[str]()
    accept(*study.accept_dicom)
    try:
        found = _instances(archive, study, without)
        for number, (series, uid) in enumerate(found, 1):
            file = _radiograph(archive, study, series, uid)
            if isinstance(file, bytes):
                (folder / f"{number:04d}.dcm").write_bytes(file)
            else:
                without[file] += 1
            on_progress("retrieve", number, len(found))
    except requests.RequestException as error:
        raise fault_of(error, config) from error
    if without:
        log.info(f"Left out: {in_words(without)}.")
    if not any(folder.iterdir()):
        raise InputDataError(
            "--study: expected radiographs of a hand (DX, CR or Secondary Capture). Received none. "
            f"Left out: {in_words(without) or 'nothing, its series are empty'}. Name a series with --series, or see "
            "--accept-dicom."
        )


def _instances(
    archive: Archive, study: Study, without: collections.Counter[str]
) -> list[tuple[str, str]]:
    """Series and SOP Instance UIDs of what may be a radiograph of a hand."""
    found = []
    for series in _series(archive, study):
        uid, reason = _uid_of(series, _SERIES), "" if study.series else _other_series(series, study)
        if reason:
            without[reason] += 1
            continue
        for item in _search(archive.client.search_for_instances, study.uid, uid):
            reason = _other_class(_value(item, _CLASS), study)
            if reason:
                without[reason] += 1
            else:
                found.append((uid, _uid_of(item, _INSTANCE)))
    if len(found) > MAX_RADIOGRAPHS:
        raise InputDataError(
            f"--study: expected at most {MAX_RADIOGRAPHS} radiographs. Received {len(found)}. Name a series with --series."
        )
    return found


def _series(archive: Archive, study: Study) -> list[Item]:
    try:
        found = _search(archive.client.search_for_series, study.uid, fields=["BodyPartExamined"])
    except requests.HTTPError as error:
        if status_of(error) != 404:
            raise
        found = []
    if not found:
        raise InputDataError(
            f"--study: {archive.config.url} has no such study, or an empty one. "
            "Check the Study Instance UID, and the URL: the part in front of /studies."
        )
    if study.series is None:
        return found
    named = [item for item in found if _value(item, _SERIES) == study.series]
    if not named:
        raise InputDataError(
            f"--series: expected one of the {len(found)} series of the study. Received a UID that is none of them."
        )
    return named


def _search(search: Callable[..., list[Any]], *uids: str, **options: Any) -> list[Item]:
    """All pages. A server that does not know offsets sends the same page again, which has nothing new."""
    found: list[Item] = []
    for _ in range(MAX_PAGES):
        new = [item for item in search(*uids, offset=len(found), **options) if item not in found]
        if not new:
            break
        found += new
    return found


def _radiograph(archive: Archive, study: Study, series: str, uid: str) -> bytes | str:
    """The file, or why it is left out."""
    try:
        with without_messages_of("dicomweb_client"):
            dataset = archive.client.retrieve_instance(study.uid, series, uid)
        stream = io.BytesIO()
        dataset.save_as(stream)
    except AnswerTooLargeError:
        return "too_large"
    except requests.HTTPError as error:
        if status_of(error) in (*ACCESS_DENIED, *TRANSIENT):
            raise
        return "not_given"
    except requests.RequestException:
        raise
    except Exception:  # whatever pydicom stumbled over in a damaged file
        return "damaged"
    if str(dataset.get("StudyInstanceUID", "")) != study.uid:
        return "other_study"
    if str(dataset.get("SOPInstanceUID", "")) != uid:
        return "not_given"
    reason = "" if study.series else left_out(read_header(stream.getvalue()))
    return reason or stream.getvalue()


def _other_series(series: Item, study: Study) -> str:
    """Why a series is not retrieved; empty: it may show a hand."""
    if _value(series, _MODALITY).upper() in OTHER_MODALITIES:
        return "not_a_radiograph"
    is_other = bool(other_body_part(_value(series, _BODY_PART)))
    return "body_part" if is_other and "body_part" not in study.accept_dicom else ""


def _other_class(sop_class: str, study: Study) -> str:
    """Why an object is not retrieved; empty: it may be a radiograph."""
    if sop_class == DX_FOR_PROCESSING and "for_processing" not in study.accept_dicom:
        return "for_processing"
    return "" if sop_class in ("", *RADIOGRAPHS) else "not_a_radiograph"


def _value(item: Item, tag: str) -> str:
    try:
        return str(item[tag]["Value"][0])
    except (LookupError, TypeError):  # absent, or no DICOM JSON
        return ""


def _uid_of(item: Item, tag: str) -> str:
    uid = _value(item, tag)
    if not is_uid(uid):
        raise InputDataError("The archive's answer to a search has an item without a valid UID.")
    return uid


# === Back to the archive ===


@dataclasses.dataclass(frozen=True)
class _Files(Mapping[str, bytes]):
    """SOP Instance UID -> the bytes of its file, read when they are asked for."""

    paths: Mapping[str, Path]

    def __getitem__(self, uid: str) -> bytes:
        return self.paths[uid].read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self.paths)

    def __len__(self) -> int:
        return len(self.paths)


def store_objects(config: DicomwebConfig, folder: Path, files: Mapping[str, str]) -> int:
    """Store the objects of a folder, SOP Instance UID -> name below it; what became of each is in `stored.csv`.

    Returns how many there are. Raises `NotStoredError` where the archive does not have all of them: they stay in the folder.
    """
    verdicts = store(Archive(config), _Files({uid: folder / name for uid, name in files.items()}))
    with written_whole(folder / STORED) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["file", "sop_instance_uid", "status", "reason"])
        for uid, name in files.items():
            verdict = verdicts[uid]
            status, reason = ("not_stored", verdict.reason) if verdict else ("stored", "")
            writer.writerow([name, uid, status, reason])
    missing = {files[uid]: verdict for uid, verdict in verdicts.items() if verdict}
    if missing:
        raise NotStoredError(_not_stored(config, folder, missing, len(files)))
    return len(files)


def _not_stored(
    config: DicomwebConfig, folder: Path, missing: Mapping[str, NotStored], total: int
) -> str:
    shown = [f"{name}: {verdict.reason}" for name, verdict in missing.items()][:10]
    more = [f"and {len(missing) - 10} more"] if len(missing) > 10 else []
    lines = "\n  ".join([*shown, *more])
    return (
        f"{len(missing)} of {total} objects are not known to be stored in {config.url}:\n  {lines}\n"
        f"They are in {folder}; {STORED} lists them. The same command again, with --overwrite, makes and sends the same objects."
    )
