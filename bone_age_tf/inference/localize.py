"""Localize the hand in radiographs: key points, mask and frame, as pictures and in machine-readable form.

| file                  | what                                                                       |
|-----------------------|----------------------------------------------------------------------------|
| `key_points.csv`      | `file`, `point`, `x`, `y` in pixels of the file, x = column; none for rejected radiographs |
| `localization.jsonl`  | a line for each file: status, key points, matrices, scores                 |
| `masks/NAME.png`      | 255 hand, 0 everything else, at the file's size                            |
| `pictures/NAME.jpg`   | the radiograph with outline, key points and frame                          |

NAME is the file's without its ending, with a number where another file has it already; each line of
`localization.jsonl` names its own. DICOM files are called `dicom-0001` and so on everywhere, in their order: their own
names are often those of patients.
"""

import csv
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.data.dicom_headers import names_of, read_headers
from bone_age_tf.data.header_values import rejected_by
from bone_age_tf.dicom.admission import accept
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.outputs import claim_output
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.preprocessing import overlay
from bone_age_tf.preprocessing.examination import Examiner, Finding
from bone_age_tf.preprocessing.localizer.network import POINTS
from bone_age_tf.preprocessing.preprocessor import Preprocessor
from bone_age_tf.preprocessing.radiographs import find_radiographs, prepare_file
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK, Rejection

LINE_SCHEMA = "bone-age-tf/localization/1"
PICTURE_SIDE = 1000
COMMAND = "localize"
MASKS, PICTURES = "masks", "pictures"
TABLE, LINES = "key_points.csv", "localization.jsonl"
RESULTS = (TABLE, LINES, MASKS, PICTURES)


@dataclasses.dataclass(frozen=True)
class LocalizeReport:
    """Numbers of radiographs with and without one whole hand."""

    found: int
    rejected: dict[str, int]
    """Reason -> radiographs."""


def localize(
    paths: Sequence[str],
    *,
    output: str,
    config: PreprocessingConfig = PreprocessingConfig(),  # noqa: B008
    accept_dicom: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: Callable[[str, int, int], None] | None = None,
) -> LocalizeReport:
    """Localize the hand in files, folders and zips; every file is a line of `localization.jsonl`.

    `accept_dicom`: reasons of `dicom.admission.ACCEPTABLE` for which no header rejects a file. `overwrite` replaces
    earlier results. Raises `UsageError` where `output` holds results, or a `key_points.csv` of
    someone else.
    """
    accept(*accept_dicom)
    files = find_radiographs(paths)
    headers = read_headers(files)
    names = names_of(files, headers)
    preprocessor = Preprocessor(config)
    examine = Examiner(preprocessor)
    folder = claim_output(output, COMMAND, RESULTS, overwrite=overwrite)
    notify = on_progress or (lambda stage, done, total: None)
    notify("localize", 0, len(files))
    found, rejected = 0, dict[str, int]()
    used: set[PurePosixPath] = set()
    with (
        written_whole(folder / TABLE) as table,
        written_whole(folder / LINES) as lines,
    ):
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["file", "point", "x", "y"])
        for number, file in enumerate(files, start=1):
            fault = rejected_by(headers.get(file))
            finding = Rejection(*fault) if fault else prepare_file(file, examine.find).made
            shown = names.get(file, file.name)
            line = _line(shown, finding, config)
            if isinstance(finding, Finding):
                name = _unused(PurePosixPath(shown), used)
                line |= _write_pictures(folder, name, finding)
            lines.write(json.dumps(line, allow_nan=False) + "\n")
            if isinstance(finding, Finding) and finding.status == OK:
                found += 1
                for point, (x, y) in zip(POINTS, finding.points, strict=True):
                    writer.writerow([shown, point, f"{x:.2f}", f"{y:.2f}"])
            else:
                reason = finding.status if isinstance(finding, Finding) else finding.reason
                rejected[reason] = rejected.get(reason, 0) + 1
            notify("localize", number, len(files))
    report = LocalizeReport(found, rejected)
    write_provenance(
        folder,
        COMMAND,
        fingerprint=preprocessor.fingerprint,
        files=len(files),
        found=found,
        rejected=rejected,
    )
    return report


def _line(file: str, finding: Finding | Rejection, config: PreprocessingConfig) -> dict[str, Any]:
    """One line of `localization.jsonl`; lengths in pixels of the file."""
    line: dict[str, Any] = {"schema": LINE_SCHEMA, "file": file}
    if isinstance(finding, Rejection):
        return line | {"status": finding.reason, "reason": finding.explanation}
    to_original = np.vstack([finding.prepared_to_original, [0, 0, 1]]).astype(float)
    to_prepared = np.linalg.inv(to_original)[:2]
    tip, capitate = (finding.points[POINTS.index(name)] for name in ("middle_tip", "capitate"))
    turned = math.degrees(math.atan2(float(tip[0] - capitate[0]), float(capitate[1] - tip[1])))
    height, width = finding.radiograph.shape
    return line | {
        "status": finding.status,
        "reason": EXPLANATIONS.get(finding.status, ""),
        "height": height,
        "width": width,
        "key_points": {
            name: [round(float(x), 2), round(float(y), 2)]
            for name, (x, y) in zip(POINTS, finding.points, strict=True)
        },
        "prepared_frame": list(config.frame),
        "prepared_to_original": finding.prepared_to_original.astype(float).tolist(),
        "original_to_prepared": to_prepared.tolist(),
        "rotation_degrees": round(turned, 2),
        "mirrored": bool(np.linalg.det(finding.prepared_to_original[:, :2]) < 0),
        "inverted": finding.inverted,
        "already_registered": finding.is_registered,
        "scores": {name: round(score, 4) for name, score in finding.scores.items()},
    }


def _unused(name: PurePosixPath, used: set[PurePosixPath]) -> PurePosixPath:
    """The name without its ending, with a number where another file has it already."""
    stem, number = name.with_suffix(""), 1
    while stem in used:
        number += 1
        stem = name.with_name(f"{name.stem}-{number}")
    used.add(stem)
    return stem


def _write_pictures(folder: Path, name: PurePosixPath, finding: Finding) -> dict[str, str]:
    """Write mask and picture; returns their paths."""
    is_ok = finding.status == OK
    picture = overlay.draw(
        finding.radiograph,
        finding.mask,
        finding.points,
        finding.frame_corners if is_ok else None,
        longest=PICTURE_SIDE,
    )
    if not is_ok:
        picture = overlay.label(picture, EXPLANATIONS[finding.status], overlay.REJECTED)
    written = {"mask": f"{MASKS}/{name}.png", "picture": f"{PICTURES}/{name}.jpg"}
    _write_image(folder / written["mask"], finding.mask)
    _write_image(folder / written["picture"], picture)
    return written


def _write_image(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(path.suffix, pixels)
    with written_whole(path, "wb") as stream:
        stream.write(encoded.tobytes())
