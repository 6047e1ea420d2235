"""The radiographs of a stress test, and those of a second folder that show the same hands, processed otherwise."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

import numpy as np

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.dicom_headers import read_headers
from bone_age_tf.data.joining import name_in
from bone_age_tf.dicom.header import Header
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.inference.known import Known
from bone_age_tf.preprocessing.radiographs import find_radiographs

COMMAND = "stress"


@dataclasses.dataclass(frozen=True)
class Sample:
    """A radiograph, and what is known of it."""

    id: str
    """That of its row, or the file's name; of a DICOM file, nothing that names a patient."""
    file: SourceFile
    sex: str
    """`F`, `M` or `unknown`."""
    bone_age_months: float | None
    """The label; None without."""
    age_months: float | None
    """What a predicted bone age is compared with for the classification: the label, otherwise the chronological age."""
    second: SourceFile | None = None
    """The same radiograph, processed otherwise."""


def read_samples(
    paths: Sequence[str],
    *,
    against: str | None,
    sex: str | None,
    labels: str | None,
    label_options: LabelOptions,
) -> tuple[list[Sample], dict[str, int]]:
    """The radiographs whose sex is known, with `against` those of them that are in both; how many are left out, by reason.

    Raises `UsageError` where nothing tells a sex, `InputDataError` where no radiograph is left.
    """
    files = find_radiographs(paths)
    known = Known.read(COMMAND, files, sex=sex, labels=labels, label_options=label_options)
    usable = {file: told for file in files if (told := known.sex_of(file)) is not None}
    if not usable:
        raise InputDataError(
            f"Nothing tells the sex of any of the {len(files)} radiographs in {', '.join(paths)}. Expected --sex, or "
            f"--labels with rows whose identifier is the file's name without extension. Received {labels}."
        )
    left_out = Counter(
        "bad_label" if file in known.labels.problems else "no_sex"
        for file in files
        if file not in usable
    )
    seconds: dict[SourceFile, SourceFile] = {}
    if against is not None:
        others = find_radiographs([against])
        seconds = pair_files(list(usable), others, {**known.labels.headers, **read_headers(others)})
        if not seconds:
            raise InputDataError(_no_pairs(paths, against, list(usable), others))
        left_out["only_in_first"] = len(usable) - len(seconds)
        left_out["only_in_second"] = len(others) - len(seconds)
    samples = [
        _sample(known, file, told, seconds.get(file))
        for file, told in usable.items()
        if against is None or file in seconds
    ]
    return samples, {reason: count for reason, count in left_out.items() if count}


def limited(samples: list[Sample], limit: int | None, seed: int) -> list[Sample]:
    """`limit` of them by chance, in their order."""
    if limit is None or limit >= len(samples):
        return samples
    chosen = np.random.default_rng(seed).permutation(len(samples))[:limit]
    return [samples[number] for number in sorted(chosen)]


def _sample(known: Known, file: SourceFile, sex: str, second: SourceFile | None) -> Sample:
    months = known.true_months_of(file)
    age = known.age_of(file) if months is None else months
    return Sample(known.shown(file)[1], file, sex, months, age, second)


# === Pairs ===


def pair_files(
    first: Sequence[SourceFile],
    second: Sequence[SourceFile],
    headers: Mapping[SourceFile, object],
) -> dict[SourceFile, SourceFile]:
    """Which file of the second folder is the same radiograph as one of the first.

    By the name without ending, otherwise the path, if one file on each side has it; DICOM files otherwise by Accession
    Number, or Patient ID and study date. Two DICOM files that contradict each other in one of these are no pair.
    """
    told = {file: one for file, one in headers.items() if isinstance(one, Header)}
    keys: tuple[Callable[[SourceFile], Hashable], ...] = (
        lambda file: file.stem,
        lambda file: name_in(file.name),
        lambda file: file in told and told[file].accession_number,
        lambda file: file in told and _patient_and_date(told[file]),
    )
    pairs: dict[SourceFile, SourceFile] = {}
    for key in keys:
        taken = set(pairs.values())
        ours = _unique((file for file in first if file not in pairs), key)
        theirs = _unique((file for file in second if file not in taken), key)
        for value in ours.keys() & theirs.keys():
            one, other = ours[value], theirs[value]
            if not _contradict(told.get(one), told.get(other)):
                pairs[one] = other
    return pairs


def _unique(
    files: Iterable[SourceFile], key: Callable[[SourceFile], Hashable]
) -> dict[Hashable, SourceFile]:
    """The files whose key is that of no other, by key; an empty key is none."""
    files = list(files)
    counts = Counter(map(key, files))
    return {key(file): file for file in files if key(file) and counts[key(file)] == 1}


def _patient_and_date(header: Header) -> tuple[str, str] | None:
    both = header.patient_id, header.study_date
    return both if all(both) else None


def _contradict(one: Header | None, other: Header | None) -> bool:
    if one is None or other is None:
        return False
    told = (
        (one.accession_number, other.accession_number),
        (one.patient_id, other.patient_id),
        (one.study_date, other.study_date),
    )
    return any(mine and theirs and mine != theirs for mine, theirs in told)


def _no_pairs(
    paths: Sequence[str], against: str, first: Sequence[SourceFile], second: Sequence[SourceFile]
) -> str:
    return (
        f"None of the {len(first)} radiographs in {', '.join(paths)} is among the {len(second)} of --against {against}. "
        "Expected files of the same name (the ending may differ), or DICOM files of the same Accession Number, or of the "
        "same Patient ID and study date, one each on both sides."
    )
