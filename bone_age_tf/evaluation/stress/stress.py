"""Robustness of a model: predictions of radiographs as they are, and changed.

The changes are those of `perturbations`, applied to the whole radiograph before preprocessing, or what a second folder
has instead: the same radiographs, processed by the device in another way.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.dicom.admission import accept
from bone_age_tf.errors import UsageError
from bone_age_tf.evaluation.stress.answers import (
    PAIRS,
    SECOND,
    UNCHANGED,
    Tested,
    predict_variants,
    write_picture,
)
from bone_age_tf.evaluation.stress.perturbations import GROUP_OF, select_changes
from bone_age_tf.evaluation.stress.samples import COMMAND, Sample, limited, read_samples
from bone_age_tf.evaluation.stress.tables import tables
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import write_json, written_whole
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.images import safe_name
from bone_age_tf.files.outputs import claim_output
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.metrics import bootstrap

STRESS_SCHEMA = "bone-age-tf/stress/3"
STRESS_TABLE, STRESS_FILE, PICTURES = "stress.csv", "stress.json", "pictures"
COLUMNS = (
    *("id", "sex", "bone_age_months_true", "group", "change"),
    *("bone_age_months", "shift_months", "reason"),
)

Notify = Callable[[str, int, int], None]


def stress(  # noqa: PLR0913 - one for each option
    paths: Sequence[str],
    *,
    model: str,
    output: str,
    sex: str | None = None,
    labels: str | None = None,
    label_options: LabelOptions = LabelOptions(unlabelled=True),  # noqa: B008 - frozen
    against: str | None = None,
    changes: Sequence[str] = (),
    limit: int | None = None,
    seed: int = 0,
    pictures: int = 0,
    accept_dicom: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: Notify | None = None,
) -> dict[str, Any]:
    """Predict radiographs as they are and changed; writes `stress.csv` and returns `stress.json`.

    Sex and chronological age come from the table, then from the header of a DICOM file; `sex` is that of all others.
    Radiographs with a bone age in `labels` also tell how the MAE shifts. `changes` are names of `perturbations.CHANGES`, beginnings of
    these, or groups; without, all. `against` is a folder or zip of the same radiographs, processed otherwise, which takes the place of the
    changes. `limit` is the number of radiographs to sample with `seed`; of the first `pictures`, all changed ones are
    written. DICOM files are called `dicom-0001` and so on. `accept_dicom`: reasons of `dicom.admission.ACCEPTABLE` for which no
    header rejects a file. `overwrite` replaces earlier results.

    Raises `InputDataError` where no radiograph has a sex, none is in both folders, or the model rejects all as they are;
    `UsageError` where `output` holds results, nothing tells a sex, or a change is not known.
    """
    groups = _groups(against, changes, pictures)
    accept(*accept_dicom)
    samples, left_out = read_samples(
        paths, against=against, sex=sex, labels=labels, label_options=label_options
    )
    samples = limited(samples, limit, seed)
    exported = ExportedModel.open(model)
    results = (STRESS_TABLE, STRESS_FILE, PICTURES)
    folder = claim_output(output, COMMAND, results, overwrite=overwrite)
    notify = on_progress or (lambda stage, done, total: None)
    notify(COMMAND, 0, len(samples))
    tested: list[Tested] = []
    with ThreadPoolExecutor() as pool, written_whole(folder / STRESS_TABLE) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for number, sample in enumerate(samples):
            keep = _keeper(folder / PICTURES, number + 1, sample) if number < pictures else None
            tested.append(predict_variants(exported, sample, groups, seed, pool, keep))
            writer.writerows(_rows(tested[-1], groups))
            notify(COMMAND, number + 1, len(samples))
    result = {
        "schema": STRESS_SCHEMA,
        "model": {
            "version": exported.folder.name,
            "manifest_sha256": sha256_of(exported.folder / MANIFEST),
            "fingerprint": exported.fingerprint,
        },
        "confidence_interval": f"{bootstrap.CONFIDENCE_INTERVAL}, paired",
        "left_out": left_out,
        **tables(tested, groups),
    }
    write_json(folder / STRESS_FILE, result)
    settings = {"model": Path(model).name, "limit": limit, "seed": seed}
    write_provenance(folder, COMMAND, **settings)
    return result


def _keeper(folder: Path, number: int, sample: Sample) -> Callable[[str, bytes], None]:
    """Writes the variants of a radiograph, each into the folder of its change."""
    name = f"{number:04d}-{safe_name(sample.id)}.png"  # safe names may be equal

    def keep(change: str, encoded: bytes) -> None:
        write_picture(folder / safe_name(change) / name, encoded)

    return keep


def _groups(against: str | None, changes: Sequence[str], pictures: int) -> dict[str, str]:
    """The changes, each with its group."""
    if against is None:
        return {name: GROUP_OF[name] for name in select_changes(changes)}
    if changes or pictures:
        raise UsageError(
            "--against compares radiographs with those of a second folder, which takes the place of changes. Expected no "
            f"{'--changes' if changes else '--pictures'} with it."
        )
    return {SECOND: PAIRS}


def _rows(tested: Tested, groups: Mapping[str, str]) -> Iterator[list[str]]:
    sample, answers = tested.sample, tested.answers
    true = "" if sample.bone_age_months is None else f"{sample.bone_age_months:g}"
    before = answers[UNCHANGED]
    for change, group in {UNCHANGED: "", **groups}.items():
        after = answers[change]
        moved = "" if isinstance(after, str) or isinstance(before, str) else f"{after - before:.2f}"
        months, reason = ("", after) if isinstance(after, str) else (f"{after:.2f}", "")
        shift = "" if change == UNCHANGED else moved
        yield [sample.id, sample.sex, true, group, change, months, shift, reason]
