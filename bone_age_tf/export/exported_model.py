"""An exported model, loaded without Keras, and only if its files match its manifest."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bone_age_tf import record
from bone_age_tf.data.leakage import TrainingData, read_training_files
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.data.training_ages import TRAINING_AGES, TrainingAges
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.allowed_operations import require_harmless
from bone_age_tf.export.answers import answer_table
from bone_age_tf.export.inputs import Source
from bone_age_tf.export.signatures import (
    CORRECTION,
    EXPLAIN,
    PREDICT_PREPARED,
    PREPARE,
    PREPARED_TO_ORIGINAL,
    STATUS,
)
from bone_age_tf.export.stored_variables import read_variable
from bone_age_tf.export.versions import latest_version
from bone_age_tf.files.hashing import FileEntry, find_faults
from bone_age_tf.preprocessing.conversion import to_png
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK, Rejection, rejection_from
from bone_age_tf.tensorflow_c.saved_model import SavedModel, Signature
from bone_age_tf.tensorflow_c.status import InvalidInputError, RunError

if TYPE_CHECKING:
    import pandas as pd

MODEL_SCHEMA = "bone-age-tf/model/2"


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """A SavedModel that `export` wrote, loaded without Keras. Open one with `ExportedModel.open`."""

    folder: Path
    manifest: Mapping[str, Any]
    signatures: Mapping[str, Signature]
    definitions: Mapping[str, Any]
    """The `SignatureDef` of each."""

    @classmethod
    def open(cls, path: str | Path) -> "ExportedModel":
        """Load `saved_models/NAME` (its highest version) or `saved_models/NAME/VERSION`.

        Raises `ModelRefusedError`, with nothing of it executed, where a file is missing, changed,
        not vouched for, or where the graph holds an operation outside `ALLOWED_OPERATIONS`, or where TensorFlow cannot load it.
        """
        folder = latest_version(Path(path))
        manifest = read_manifest(folder)
        _require_vouched(folder, manifest)
        require_harmless(folder)
        try:
            loaded = SavedModel.load(folder, float32_variables=True)
        except RunError as error:
            raise ModelRefusedError(
                f"{folder}: TensorFlow cannot load this model ({error}). Export it again."
            ) from error
        return cls(folder, manifest, loaded.signatures, loaded.definitions)

    def predict(
        self,
        radiographs: Source | Iterable[Source],
        *,
        sex: str | Iterable[str | None] | None = None,
    ) -> "pd.DataFrame":
        """The bone age of one or many radiographs, one row each; a rejected one has a reason and no number.

        `radiographs` is a path (`str` or `Path`: a file, a folder or a zip), the bytes of a DICOM, PNG, JPEG,
        TIFF or BMP file, an array of grey values [height, width], uint8 (0 to 255) or uint16 (0 to 65535), at least 64 pixels on
        its shorter side, or several of these. An array is answered as a PNG file of the same pixels is.
        `sex` is `F`, `M` or `unknown`: one for all, or one for each of what is given. None, of DICOM files: that of
        the header; where the header does not tell it, it is unknown.
        The radiographs of folders and zips, and files, are read and predicted 16 at a time.

        Columns: `file` (name of the file; of bytes and arrays their number among what was given), `sex`,
        `bone_age_months` (0 to 240), `bone_age_low_months` and `bone_age_high_months` (the interval; NaN of
        a model without), `status` (`ok` or `rejected`), `reason`, `warning` (`sex_looks_wrong`, of a model with a
        sex classifier, `infant`, `near_end_of_scale`, `mature`, and codes of `dicom.warnings`). Months are NaN where `status` is `rejected`.

        Raises `ArgumentTypeError` (a `TypeError`) and `ArgumentValueError` (a `ValueError`) where something else
        is given, or no sex for what is not DICOM, `InputDataError` where a path leads to no image.
        """
        return answer_table(self, radiographs, sex)

    @property
    def name(self) -> str:
        """Name of the model: of the folder that holds its versions."""
        return self.folder.resolve().parent.name

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the preprocessing inside."""
        return self.manifest["fingerprint"]

    @property
    def is_registered(self) -> bool:
        """Whether it receives registered frames, in which each bone has a known location."""
        return self.manifest["preprocessing"]["method"] == "registered"

    @property
    def training_files(self) -> frozenset[str] | None:
        """First digits of the sha256 of the raw files that it was trained on; None where they are not recorded."""
        return read_training_files(self.folder)

    @property
    def training_data(self) -> TrainingData:
        """What it was trained on, and its recalibration and prediction intervals fitted to."""
        fitted_to = self.manifest.get("fitted_to", [])
        return TrainingData.of(self.manifest["data"], self.training_files, fitted_to)

    @property
    def training_ages(self) -> TrainingAges | None:
        """How many radiographs of each age it was trained on; None where they are not recorded."""
        described = self.manifest["data"].get(TRAINING_AGES)
        return None if described is None else TrainingAges.from_description(described)

    @property
    def coverage(self) -> float | None:
        """Coverage of its prediction intervals; None where it has none."""
        described = self.manifest.get("intervals")
        return None if described is None else float(described["coverage"])

    @property
    def is_of_lines(self) -> bool:
        """Whether its graph recalibrates by lines alone, with symmetric intervals."""
        return self.variable(CORRECTION).shape[1] == 2

    def variable(self, name: str) -> np.ndarray:
        """One of the variables that `calibrate` writes: `CORRECTION` or `INTERVALS`, float32."""
        return read_variable(self.folder, name)

    def prepare(self, encoded: bytes) -> np.ndarray | Rejection:
        """One file's bytes -> prepared radiograph uint8 [height, width, 1], or the reason for rejection."""
        made = self.prepare_with_matrix(encoded)
        return made if isinstance(made, Rejection) else made[0]

    def prepare_with_matrix(self, encoded: bytes) -> tuple[np.ndarray, np.ndarray] | Rejection:
        """The same with the matrix [2, 3] from (x, y, 1) of the prepared radiograph to (x, y) of the file."""
        png = to_png(encoded)
        if isinstance(png, Rejection):
            return png
        try:
            answer = self.signatures[PREPARE](image_bytes=[png])
        except InvalidInputError as error:
            return rejection_from(error)
        status = answer[STATUS][0].decode()
        if status != OK:
            return Rejection(status, EXPLANATIONS.get(status, "the model gives no further word"))
        return answer[record.IMAGE][0], answer[PREPARED_TO_ORIGINAL][0]

    def months_of_prepared(self, images: np.ndarray, sexes: Sequence[str]) -> np.ndarray:
        """Prepared radiographs [N, height, width, 1] and F, M, unknown [N] -> months [N]."""
        return self.answers_of_prepared(images, sexes)[record.BONE_AGE_MONTHS]

    def months_of_one_view(self, images: np.ndarray, sexes: Sequence[str]) -> np.ndarray:
        """The same for the unaugmented view of each radiograph, without test-time augmentation.

        That is what `explain` explains; without that signature, all views count.
        """
        explain = self.signatures.get(EXPLAIN)
        if explain is None or record.BONE_AGE_MONTHS not in explain.outputs:
            return self.months_of_prepared(images, sexes)
        return explain(image=images, sex=list(sexes))[record.BONE_AGE_MONTHS]

    def answers_of_prepared(
        self, images: np.ndarray, sexes: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """All outputs by name, each [N]: the months, their prediction interval and, for some models, `boy_probability`."""
        return self.signatures[PREDICT_PREPARED](image=images, sex=list(sexes))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of one version. Raises `ModelRefusedError` where there is none, or one of another version."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelRefusedError(
            f"{folder}: expected a model that `bone-age-tf export` wrote. There is no {MANIFEST} in it."
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["schema"] != MODEL_SCHEMA:
            raise ValueError(f"schema {manifest['schema']!r}, expected {MODEL_SCHEMA!r}")
        manifest["files"] = tuple(FileEntry(**entry) for entry in manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelRefusedError(f"{path}: not a manifest of this version ({error}).") from error
    return manifest


def _require_vouched(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Every file of the SavedModel is listed in the manifest and unchanged."""
    faults = list(find_faults(folder, manifest["files"]))
    named = {entry.name for entry in manifest["files"]} | {MANIFEST}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    faults += [f"{name}: not in the manifest" for name in sorted(there - named)]
    if faults:
        raise ModelRefusedError(
            f"{folder}: the files differ from those that were exported, so the model was not loaded:\n  "
            + "\n  ".join(faults)
            + "\nExport or copy it again."
        )
