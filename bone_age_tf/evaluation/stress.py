"""Robustness of a model to image perturbations as they occur in clinical practice.

The perturbations are those under which published models were found to fail (Santomartino et al. 2024,
Beheshtian et al. 2022), at several strengths. They are applied to the whole radiograph, before
preprocessing. A change of a prediction is clinically significant where it changes the classification by
the Brush Foundation's table, with the label taken as chronological age: for example, from average to
delayed or advanced, or the reverse.
"""

import csv
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.file_labels import read_file_labels
from bone_age_tf.data.labels import LabelRow
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.dicom.admission import accept
from bone_age_tf.errors import InputDataError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import write_json, written_whole
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.outputs import claim_output
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.growth.reference_standards import compare_with_age
from bone_age_tf.metrics import bone_age as metrics
from bone_age_tf.metrics import bootstrap
from bone_age_tf.preprocessing.conversion import as_png, to_png
from bone_age_tf.preprocessing.grey import grey_values
from bone_age_tf.preprocessing.radiographs import find_radiographs, read_radiograph
from bone_age_tf.preprocessing.rejections import Rejection
from bone_age_tf.sex import Sex

log = logging.getLogger(__name__)

STRESS_SCHEMA = "bone-age-tf/stress/2"
COMMAND = "stress"
STRESS_TABLE, STRESS_FILE = "stress.csv", "stress.json"
UNCHANGED = "unchanged"
COMMON_SIDE = 720
"""Longer side in pixels to which the widths of a blur refer."""

Notify = Callable[[str, int, int], None]
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Grey values float32 [height, width] from 0 to 1 -> the same of a changed radiograph."""


# === Perturbations ===


def rotated(picture: np.ndarray, degrees: float) -> np.ndarray:
    """Rotated counter-clockwise on a larger canvas filled with the median grey value of the border."""
    height, width = picture.shape
    cos, sin = (abs(f(np.deg2rad(degrees))) for f in (np.cos, np.sin))
    size = round(width * cos + height * sin), round(width * sin + height * cos)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    return cv2.warpAffine(
        picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=float(np.median(border))
    )


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur with SD `sigma` in pixels, for a longer side of `COMMON_SIDE` pixels."""
    return cv2.GaussianBlur(picture, (0, 0), sigma * max(picture.shape) / COMMON_SIDE)


def coarsened(picture: np.ndarray, side: int) -> np.ndarray:
    """Reduced until the longer side has `side` pixels; smaller ones are unchanged."""
    factor = side / max(picture.shape)
    if factor >= 1:
        return picture
    size = [max(1, round(length * factor)) for length in picture.shape[::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def with_contrast(picture: np.ndarray, factor: float) -> np.ndarray:
    """Further from (or nearer to) the mean grey, within 0 and 1."""
    return np.clip(picture.mean() + factor * (picture - picture.mean()), 0, 1)


def _brightness(by: float) -> Change:
    return lambda picture, random: np.clip(picture + by, 0, 1)


def _noise(share: float) -> Change:
    """Normal noise whose SD is this share of the range of grey that the radiograph uses."""

    def change(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
        low, high = np.percentile(picture, (1, 99))
        noise = random.normal(0, share * (high - low), picture.shape)
        return np.clip(picture + noise.astype(np.float32), 0, 1)

    return change


CHANGES: dict[str, Change] = {
    **{
        f"rotation {d:+d} degrees": lambda p, random, d=d: rotated(p, d)
        for d in (-10, 10, -30, 30, 90, 180)
    },
    "mirrored": lambda p, random: p[:, ::-1],
    **{f"brightness {by:+.0%}": _brightness(by) for by in (-0.3, -0.15, 0.15, 0.3)},
    **{
        f"contrast {f:.0%}": lambda p, random, f=f: with_contrast(p, f)
        for f in (0.5, 0.75, 1.25, 1.5)
    },
    "inverted": lambda p, random: 1 - p,
    **{f"blur {s:g} px": lambda p, random, s=s: blurred(p, s) for s in (1, 2, 4)},
    **{f"resolution {n} px": lambda p, random, n=n: coarsened(p, n) for n in (512, 256, 128)},
    **{f"noise {sd:.0%}": _noise(sd) for sd in (0.02, 0.05, 0.1)},
}
"""By name. Blur and resolution refer to the longer side, brightness to the whole range of grey, noise to
the radiograph's own (percentiles 1 to 99)."""


# === Command ===


@dataclasses.dataclass(frozen=True)
class _Radiograph:
    """A radiograph, its label and the predictions for all its variants."""

    id: str
    label: LabelRow
    answers: Mapping[str, float | str]
    """Months, or the reason why it was rejected."""


def stress(  # noqa: PLR0913 - one for each option
    paths: Sequence[str],
    *,
    model: str,
    labels: str,
    output: str,
    label_options: LabelOptions = LabelOptions(),  # noqa: B008 - frozen
    limit: int | None = None,
    seed: int = 0,
    accept_dicom: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: Notify | None = None,
) -> dict[str, Any]:
    """Apply every perturbation to labelled radiographs; writes `stress.csv` and returns `stress.json`.

    `limit` is the number of radiographs to sample with `seed`. DICOM files have the sex of their header where the table
    has none, and are called `dicom-0001` and so on. `accept_dicom`: reasons of `dicom.admission.ACCEPTABLE` for which no
    header rejects a file. `overwrite` replaces earlier results. Raises
    `InputDataError` where no file has a label or the model rejects all radiographs without perturbation, `UsageError`
    where `output` holds results.
    """
    accept(*accept_dicom)
    exported = ExportedModel.open(model)
    chosen = _labelled_files(paths, labels, label_options, limit, seed)
    notify = on_progress or (lambda stage, done, total: None)
    notify("stress", 0, len(chosen))
    folder = claim_output(output, COMMAND, (STRESS_TABLE, STRESS_FILE), overwrite=overwrite)
    evaluated: list[_Radiograph] = []
    with ThreadPoolExecutor() as pool, written_whole(folder / STRESS_TABLE) as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(
            ["id", "sex", "bone_age_months_true", "change", "bone_age_months", "reason"]
        )
        for number, (id, file, label) in enumerate(chosen):
            answers = _answers(exported, file, label, np.random.SeedSequence([seed, number]), pool)
            evaluated.append(_Radiograph(id, label, answers))
            writer.writerows(_rows(evaluated[-1]))
            notify("stress", number + 1, len(chosen))
    result = {
        "schema": STRESS_SCHEMA,
        "model": {
            "version": exported.folder.name,
            "manifest_sha256": sha256_of(exported.folder / MANIFEST),
            "fingerprint": exported.fingerprint,
        },
        "confidence_interval": f"{bootstrap.CONFIDENCE_INTERVAL}, paired",
        **_tables(evaluated),
    }
    write_json(folder / STRESS_FILE, result)
    settings = {"model": Path(model).name, "limit": limit, "seed": seed}
    write_provenance(folder, COMMAND, **settings)
    return result


def _labelled_files(
    paths: Sequence[str], labels: str, options: LabelOptions, limit: int | None, seed: int
) -> list[tuple[str, SourceFile, LabelRow]]:
    """What each radiograph is called, its file and its label."""
    files = find_radiographs(paths)
    known = read_file_labels(labels, options, files)
    rows, names = known.rows, known.names
    chosen = [(names.get(f, rows[f].id), f, rows[f]) for f in files if f in rows]
    if not chosen:
        raise InputDataError(
            f"None of the {len(files)} radiographs in {', '.join(paths)} has a valid row in {labels}. Expected "
            "files whose name without extension is an identifier in it, or DICOM files whose header has it."
        )
    if limit is None or limit >= len(chosen):
        return chosen
    sampled = np.random.default_rng(seed).permutation(len(chosen))[:limit]
    return [chosen[number] for number in sorted(sampled)]


def _answers(
    model: ExportedModel,
    file: SourceFile,
    label: LabelRow,
    seed: np.random.SeedSequence,
    pool: ThreadPoolExecutor,
) -> dict[str, float | str]:
    """Months or reason for rejection of the unchanged radiograph and of every variant."""
    read = read_radiograph(file)
    encoded = read if isinstance(read, Rejection) else to_png(read)
    if isinstance(encoded, Rejection):
        return dict.fromkeys((UNCHANGED, *CHANGES), encoded.reason)
    picture = grey_values(encoded)
    if picture is None:
        return dict.fromkeys((UNCHANGED, *CHANGES), "unreadable")
    seeds = dict(zip(CHANGES, seed.spawn(len(CHANGES)), strict=True))

    def prepared(name: str) -> np.ndarray | Rejection:
        if name == UNCHANGED:
            return model.prepare(encoded)
        changed = CHANGES[name](picture, np.random.default_rng(seeds[name]))
        return model.prepare(_png(changed))

    names = (UNCHANGED, *CHANGES)
    outcomes = dict(zip(names, pool.map(prepared, names), strict=True))
    usable = [name for name in names if not isinstance(outcomes[name], Rejection)]
    answers: dict[str, float | str] = {
        name: outcome.reason for name, outcome in outcomes.items() if isinstance(outcome, Rejection)
    }
    if usable:
        images = np.stack([outcomes[name] for name in usable])
        months = model.months_of_prepared(images, [label.sex.label] * len(usable))
        answers |= dict(zip(usable, months.tolist(), strict=True))
    return answers


def _png(picture: np.ndarray) -> bytes:
    return as_png(np.round(np.clip(picture, 0, 1) * 65535).astype(np.uint16))


def _rows(radiograph: _Radiograph) -> Iterator[list[str]]:
    label = radiograph.label
    start = [radiograph.id, label.sex.label, f"{label.bone_age_months:g}"]
    for change in (UNCHANGED, *CHANGES):
        answer = radiograph.answers[change]
        is_rejected = isinstance(answer, str)
        months, reason = ("", answer) if is_rejected else (f"{answer:.2f}", "")
        yield [*start, change, months, str(reason)]


# === Tables ===


def _tables(evaluated: Sequence[_Radiograph]) -> dict[str, Any]:
    read = [r for r in evaluated if not isinstance(r.answers[UNCHANGED], str)]
    if not read:
        raise InputDataError(
            f"The model rejects all {len(evaluated)} radiographs without perturbation. Expected some that it accepts."
        )
    before = np.array([r.answers[UNCHANGED] for r in read], float)
    true = np.array([r.label.bone_age_months for r in read])
    changes = {name: _table(name, read, before, true) for name in CHANGES}
    shifts = [c["mae_shift_months"]["value"] for c in changes.values() if c["mae_shift_months"]]
    return {
        "radiographs": {"n": len(evaluated), "rejected_unchanged": len(evaluated) - len(read)},
        "mae_months": metrics.summarize(before - true)["mae_months"],
        "largest_shift_months": max(shifts, default=None),
        "changes": changes,
    }


def _table(
    name: str, read: Sequence[_Radiograph], before: np.ndarray, true: np.ndarray
) -> dict[str, Any]:
    """One perturbation, over the radiographs that are accepted both unchanged and perturbed."""
    answers = [r.answers[name] for r in read]
    both = np.array([not isinstance(answer, str) for answer in answers])
    summary: dict[str, Any] = {
        "n": int(both.sum()),
        "rejected": int((~both).sum()),
        "mae_shift_months": None,
        "mean_change_months": None,
        "largest_change_months": None,
        "significant_changes": None,
    }
    if not both.any():
        return summary
    after = np.array([a for a in answers if not isinstance(a, str)])
    first, label = before[both], true[both]
    shift = np.abs(after - label) - np.abs(first - label)
    moved = np.abs(after - first)
    kept = [r for r, there in zip(read, both, strict=True) if there]
    turned = [t for t in map(_turned, kept, first.tolist(), after.tolist()) if t is not None]
    return summary | {
        "mae_shift_months": bootstrap.mean(shift),
        "mean_change_months": bootstrap.mean(moved),
        "largest_change_months": float(moved.max()),
        "significant_changes": bootstrap.proportion(np.array(turned)) | {"n": len(turned)}
        if turned
        else None,
    }


def _turned(radiograph: _Radiograph, before: float, after: float) -> bool | None:
    """Whether the classification changes; None where there is none."""
    label = radiograph.label
    first, second = (
        compare_with_age(months, label.bone_age_months, Sex(label.sex)).verdict
        for months in (before, after)
    )
    return None if first is None else first != second
