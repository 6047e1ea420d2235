"""An exported model, loaded without Keras, and only where it is what its manifest says."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.data.leakage import TrainingData, read_training_files
from bone_age_tf.data.manifest import MANIFEST, FileEntry, find_faults
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.preprocessing.decoding import Refusal, refusal_from
from bone_age_tf.preprocessing.rejections import EXPLANATIONS, OK

MODEL_SCHEMA = "bone-age-tf/model/1"
SERVING = "serving_default"
PREDICT_PREPARED = "predict_prepared"
PREPARE = "prepare"
EXPLAIN = "explain"
NETWORK = "network"
IMAGE_BYTES = "image_bytes"
HEAT = "heat"
FEATURES = "features"
SEX_CODE = "sex_code"
MONTHS = "months"
STATUS = "status"
PREPARED_TO_ORIGINAL = "prepared_to_original"
CORRECTION = "correction"
"""Variable of the SavedModel, float32 [3, 2]: intercept in months and slope for F, M and unknown."""
INTERVALS = "intervals"
"""Variable of the SavedModel, float32 [3, bands]: half-widths of the intervals in months, by sex and age
band (`postprocessing/conformal.py`); -1 where there are none."""
REFUSED_MONTHS = -1.0
"""Bone age, interval and probability where there are none: no number that could be taken for one."""

ALLOWED_OPERATIONS = frozenset(
    [
        "Abs",
        "Add",
        "AddV2",
        "All",
        "Any",
        "ArgMax",
        "Assert",
        "AssignVariableOp",
        "AvgPool",
        "AvgPoolGrad",
        "BiasAdd",
        "BiasAddGrad",
        "BroadcastTo",
        "Cast",
        "Ceil",
        "ConcatOffset",
        "ConcatV2",
        "Const",
        "Conv2D",
        "Cumsum",
        "DecodeJpeg",
        "DecodePng",
        "DecodeRaw",
        "DenseBincount",
        "DepthwiseConv2dNative",
        "DisableCopyOnRead",
        "DynamicStitch",
        "Elu",
        "EluGrad",
        "EnsureShape",
        "Equal",
        "Erfc",
        "ExpandDims",
        "ExtractJpegShape",
        "Fill",
        "Floor",
        "FloorDiv",
        "FloorMod",
        "FusedBatchNormV3",
        "GatherV2",
        "Greater",
        "GreaterEqual",
        "Identity",
        "IdentityN",
        "If",
        "ImageProjectiveTransformV3",
        "IsNan",
        "LeftShift",
        "Less",
        "LessEqual",
        "Log",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "LowerBound",
        "MatMul",
        "Max",
        "MaxPool",
        "Maximum",
        "Mean",
        "MergeV2Checkpoints",
        "Min",
        "Minimum",
        "MirrorPad",
        "Mul",
        "Neg",
        "NoOp",
        "NotEqual",
        "Pack",
        "Pad",
        "PadV2",
        "Placeholder",
        "Pow",
        "Prod",
        "Range",
        "ReadVariableOp",
        "RealDiv",
        "Relu",
        "Relu6",
        "ReluGrad",
        "Reshape",
        "RestoreV2",
        "Round",
        "Rsqrt",
        "SaveV2",
        "ScaleAndTranslate",
        "ScatterNd",
        "Select",
        "SelectV2",
        "Shape",
        "ShapeN",
        "ShardedFilename",
        "Sigmoid",
        "Size",
        "Slice",
        "Softmax",
        "Sqrt",
        "Square",
        "SquaredDifference",
        "Squeeze",
        "StatefulPartitionedCall",
        "StatelessCase",
        "StatelessIf",
        "StatelessWhile",
        "StaticRegexFullMatch",
        "StopGradient",
        "StridedSlice",
        "StringJoin",
        "StringLength",
        "Sub",
        "Substr",
        "Sum",
        "TensorListFromTensor",
        "TensorListGetItem",
        "TensorListReserve",
        "TensorListSetItem",
        "TensorListStack",
        "Tile",
        "Transpose",
        "Unpack",
        "UnsortedSegmentMax",
        "VarHandleOp",
        "VarIsInitializedOp",
        "Where",
        "While",
        "ZerosLike",
    ]
)
"""All that the models of this program are made of, with every trunk of the table. None of them
reaches a file (but for the variables of the model itself), the network, or Python."""


@dataclasses.dataclass(frozen=True)
class ExportedModel:
    """A SavedModel that `export` wrote, loaded without Keras."""

    folder: Path
    manifest: Mapping[str, Any]
    signatures: Mapping[str, Any]
    module: Any
    """What was loaded; it owns the variables that the signatures use."""

    @classmethod
    def open(cls, path: str | Path) -> "ExportedModel":
        """Load `saved_models/NAME` (its highest version) or `saved_models/NAME/VERSION`.

        Raises `ModelRefusedError`, with nothing of it executed, where a file is missing, changed,
        not vouched for, or where the graph holds an operation outside `ALLOWED_OPERATIONS`.
        """
        folder = _version_folder(Path(path))
        manifest = _read_manifest(folder)
        _require_vouched(folder, manifest)
        _require_harmless(folder)
        loaded = tf.saved_model.load(str(folder))
        return cls(folder, manifest, loaded.signatures, loaded)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the preprocessing inside."""
        return self.manifest["fingerprint"]

    @property
    def training_files(self) -> frozenset[str] | None:
        """First digits of the sha256 of the raw files that it was trained on; None: it does not say."""
        return read_training_files(self.folder)

    @property
    def training_data(self) -> TrainingData:
        """What it was trained on, and its recalibration and prediction intervals fitted to."""
        fitted_to = self.manifest.get("fitted_to", [])
        return TrainingData.of(self.manifest["data"], self.training_files, fitted_to)

    @property
    def coverage(self) -> float | None:
        """Coverage of the intervals of its answers; None where it has none."""
        described = self.manifest.get("intervals")
        return None if described is None else float(described["coverage"])

    def variable(self, name: str) -> np.ndarray:
        """One of the variables that `calibrate` writes: `CORRECTION` or `INTERVALS`, float32."""
        return getattr(self.module, name).numpy()

    def prepare(self, encoded: bytes) -> np.ndarray | Refusal:
        """One file's bytes -> prepared radiograph uint8 [height, width, 1], or why not."""
        made = self.prepare_with_matrix(encoded)
        return made if isinstance(made, Refusal) else made[0]

    def prepare_with_matrix(self, encoded: bytes) -> tuple[np.ndarray, np.ndarray] | Refusal:
        """The same with the matrix [2, 3] from (x, y, 1) of the prepared radiograph to (x, y) of the file."""
        try:
            answer = self.signatures[PREPARE](image_bytes=tf.constant([encoded]))
        except tf.errors.InvalidArgumentError as error:
            return refusal_from(error)
        status = answer[STATUS].numpy()[0].decode()
        if status != OK:
            return Refusal(status, EXPLANATIONS.get(status, "the model gives no further word"))
        return answer[record.IMAGE].numpy()[0], answer[PREPARED_TO_ORIGINAL].numpy()[0]

    def months_of_prepared(self, images: np.ndarray, sexes: Sequence[str]) -> np.ndarray:
        """Prepared radiographs [N, height, width, 1] and F, M, unknown [N] -> months [N]."""
        return self.answers_of_prepared(images, sexes)[record.BONE_AGE_MONTHS]

    def months_of_one_view(self, images: np.ndarray, sexes: Sequence[str]) -> np.ndarray:
        """The same of each radiograph as it stands, where the answer is a mean over several views of it.

        That is what `explain` explains; without that signature, all views count.
        """
        explain = self.signatures.get(EXPLAIN)
        if explain is None or record.BONE_AGE_MONTHS not in explain.structured_outputs:
            return self.months_of_prepared(images, sexes)
        answer = explain(image=tf.constant(images), sex=tf.constant(list(sexes)))
        return answer[record.BONE_AGE_MONTHS].numpy()

    def answers_of_prepared(
        self, images: np.ndarray, sexes: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """All outputs by name, each [N]: the months, their interval and, of some, `boy_probability`."""
        answer = self.signatures[PREDICT_PREPARED](
            image=tf.constant(images), sex=tf.constant(list(sexes))
        )
        return {name: value.numpy() for name, value in answer.items()}


def _version_folder(path: Path) -> Path:
    if (path / MANIFEST).is_file() or not path.is_dir():
        return path
    numbers = [int(child.name) for child in path.iterdir() if child.name.isdigit()]
    return path / str(max(numbers)) if numbers else path


def _read_manifest(folder: Path) -> dict[str, Any]:
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
    """Every file of the SavedModel stands in the manifest and is unchanged."""
    faults = list(find_faults(folder, manifest["files"]))
    named = {entry.name for entry in manifest["files"]} | {MANIFEST}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    faults += [f"{name}: not in the manifest" for name in sorted(there - named)]
    if faults:
        raise ModelRefusedError(
            f"{folder}: the model is not as it was exported, so it was not loaded:\n  "
            + "\n  ".join(faults)
            + "\nExport or copy it again."
        )


def _require_harmless(folder: Path) -> None:
    """Only operations that our own models are made of: none that reaches files or runs Python."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    operations = {
        node.op
        for meta_graph in saved.meta_graphs
        for nodes in (
            meta_graph.graph_def.node,
            *(function.node_def for function in meta_graph.graph_def.library.function),
        )
        for node in nodes
    }
    foreign = sorted(operations - ALLOWED_OPERATIONS)
    if foreign:
        raise ModelRefusedError(
            f"{folder}: the graph holds {', '.join(foreign)}, which no model of this program needs. "
            "It was not loaded."
        )
