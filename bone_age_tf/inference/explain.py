"""Explain the predictions of an exported model by saliency maps and similar radiographs.

Of each radiograph: Grad-CAM, occlusion and zones of bones (`inference/saliency.py`), and neighbours
(`inference/neighbours.py`), the labelled radiographs that are most similar to the model. All of them show what influences the
*model*; none shows that the model is correct.
"""

import contextlib
import csv
import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.data.problems import PROBLEMS, write_problems
from bone_age_tf.dicom.admission import accept
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.files.atomic import written_whole
from bone_age_tf.files.hashing import sha256_of
from bone_age_tf.files.images import SourceFile, safe_name
from bone_age_tf.files.outputs import claim_output
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.inference.known import Known
from bone_age_tf.inference.neighbours import CACHE, Neighbour, Reference, strip
from bone_age_tf.inference.saliency import (
    ZONES,
    Explanation,
    explain_prepared,
    sheet,
)
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.grey import grey_levels
from bone_age_tf.preprocessing.radiographs import find_radiographs, prepare_file
from bone_age_tf.preprocessing.rejections import Rejection

log = logging.getLogger(__name__)

COLUMNS = ("file", "sex", "bone_age_months", *ZONES, "picture", "reason")
COMMAND = "explain"
TABLE, NEIGHBOURS, PICTURES = "explanations.csv", "neighbours.csv", "pictures"
NEIGHBOUR_COLUMNS = ("file", "rank", "id", "sex", "bone_age_months", "similarity")

Notify = Callable[[str, int, int], None]


def explain(  # noqa: PLR0913 - one for each option
    paths: Sequence[str],
    *,
    model: str,
    output: str,
    sex: str | None = None,
    labels: str | None = None,
    label_options: LabelOptions = LabelOptions(unlabelled=True),  # noqa: B008 - frozen
    neighbours: str | None = None,
    accept_dicom: Sequence[str] = (),
    overwrite: bool = False,
    on_progress: Notify | None = None,
) -> dict[str, int]:
    """Explain files, folders and zips: `explanations.csv` and a picture of each; returns counts.

    The sex is that of `predict`. DICOM files are `dicom-0001` and so on, in the order in which `predict` lists them:
    nothing of their names or the table's identifiers is in the results. `neighbours` is a prepared data set, among whose
    training radiographs the most similar ones are looked up (`neighbours.csv`, and another picture). `accept_dicom`:
    reasons of `dicom.admission.ACCEPTABLE` for which no header rejects a file. `overwrite` replaces earlier results.
    Raises `UsageError` where `output` holds results, where nothing tells a sex, or where the model's frame is not
    registered, so that the zones of bones are undefined.
    """
    accept(*accept_dicom)
    files = find_radiographs(paths)
    known = Known.read(COMMAND, files, sex=sex, labels=labels, label_options=label_options)
    exported = ExportedModel.open(model)
    if not exported.is_registered:
        raise UsageError(
            f"{model} takes radiographs that are not registered, so the location of their bones is unknown. "
            "Expected a model for data prepared with --preprocess registered."
        )
    notify = on_progress or (lambda stage, done, total: None)
    folder = claim_output(
        output, COMMAND, (TABLE, NEIGHBOURS, PICTURES, PROBLEMS), overwrite=overwrite
    )
    (folder / PICTURES).mkdir()
    write_problems(folder / PROBLEMS, known.labels.without_file)
    reference = (
        Reference(exported, neighbours, cache=folder / CACHE, on_progress=on_progress)
        if neighbours
        else None
    )
    counts = {"explained": 0, "rejected": 0, "rows_without_file": len(known.labels.without_file)}
    notify("explain", 0, len(files))
    with contextlib.ExitStack() as stack:
        table = _table(stack, folder / TABLE, COLUMNS)
        similar = _table(stack, folder / NEIGHBOURS, NEIGHBOUR_COLUMNS) if reference else None
        for number, file in enumerate(files, start=1):
            explained = _explain_file(exported, file, known, reference)
            shown, id = known.shown(file)
            name = f"{PICTURES}/{number:04d}-{safe_name(id)}"
            table.writerow({"file": shown, **explained.cells(f"{name}.png")})
            if explained.picture is not None:
                cv2.imwrite(str(folder / f"{name}.png"), explained.picture)
            if similar is not None and explained.neighbours:
                similar.writerows({"file": shown, **row} for row in explained.neighbour_rows())
                cv2.imwrite(str(folder / f"{name}-neighbours.png"), explained.neighbour_strip())
            counts["rejected" if explained.reason else "explained"] += 1
            notify("explain", number, len(files))
    settings = {"model": sha256_of(exported.folder / MANIFEST), "sex": known.sex, "counts": counts}
    settings["neighbours_of"] = len(reference) if reference else None
    write_provenance(folder, COMMAND, **settings)
    return counts


@dataclasses.dataclass(frozen=True)
class _Explained:
    """The result for one file."""

    sex: str
    reason: str = ""
    explanation: Explanation | None = None
    picture: np.ndarray | None = None
    neighbours: Sequence[Neighbour] = ()

    def cells(self, picture: str) -> dict[str, str]:
        """Its row of `explanations.csv`, but for the file's name."""
        if self.explanation is None:
            return {"sex": self.sex, "reason": self.reason}
        zones = {name: f"{months:.2f}" for name, months in self.explanation.zones.items()}
        months = f"{self.explanation.bone_age_months:.2f}"
        return {"sex": self.sex, "bone_age_months": months, **zones, "picture": picture}

    def neighbour_rows(self) -> Iterator[dict[str, str]]:
        """Its rows of `neighbours.csv`, but for the file's name."""
        for rank, one in enumerate(self.neighbours, start=1):
            yield {
                "rank": str(rank),
                "id": one.id,
                "sex": one.sex,
                "bone_age_months": f"{one.bone_age_months:.2f}",
                "similarity": f"{one.similarity:.4f}",
            }

    def neighbour_strip(self) -> np.ndarray:
        """The radiograph next to its neighbours."""
        assert self.explanation is not None
        title = f"prediction {self.explanation.bone_age_months:.0f} months, {self.sex}"
        return strip(self.explanation.prepared, title, list(self.neighbours))


def _table(
    stack: contextlib.ExitStack, path: Path, columns: Sequence[str]
) -> "csv.DictWriter[str]":
    """A table with its header; on disk as a whole once the stack exits without an error."""
    stream = stack.enter_context(written_whole(path))
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    return writer


def _explain_file(
    model: ExportedModel, file: SourceFile, known: Known, reference: Reference | None
) -> _Explained:
    sex, rejection = known.sex_of(file) or "", known.rejection(file)
    if rejection is not None:
        return _Explained(sex, str(rejection))
    read = prepare_file(file, lambda encoded: _read(model, encoded))
    if isinstance(read.made, Rejection):
        return _Explained(sex, str(read.made))
    original, prepared, to_original = read.made
    explanation = explain_prepared(model, prepared, to_original, sex)
    similar: Sequence[Neighbour] = ()
    if reference is not None and explanation.features is not None:
        similar = reference.nearest(explanation.features, read.encoded)
    picture = sheet(explanation, original)
    return _Explained(sex, explanation=explanation, picture=picture, neighbours=similar)


def _read(
    model: ExportedModel, encoded: bytes
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | Rejection:
    """The radiograph for display, the prepared one and its matrix; a file is decoded once."""
    png = to_png(encoded)
    if isinstance(png, Rejection):
        return png
    made = model.prepare_with_matrix(png)
    if isinstance(made, Rejection):
        return made
    try:
        return grey_levels(png), *made
    except InputDataError as error:
        return Rejection("unreadable", str(error))
