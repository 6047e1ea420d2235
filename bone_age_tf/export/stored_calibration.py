"""The variables `correction` and `intervals` of a SavedModel, written anew without its graph."""

import dataclasses
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from bone_age_tf.errors import ModelRefusedError, UsageError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import CORRECTION, INTERVALS
from bone_age_tf.export.stored_variables import PREFIX, key_of
from bone_age_tf.postprocessing.bias_correction import Line, SexSpecificRecalibration, composed
from bone_age_tf.postprocessing.conformal import Intervals


def require_graph_for(exported: ExportedModel, correction: str) -> None:
    """Raise `UsageError` for curves where the graph holds lines."""
    if correction == "monotone" and exported.is_of_lines:
        raise UsageError(
            f"--correction monotone: the graph of {exported.folder} holds lines. Expected a model of this version of `export`; "
            "use --correction linear."
        )


def _lines_after(second: SexSpecificRecalibration, first: np.ndarray) -> np.ndarray:
    """Intercepts and slopes [3, 2] of lines after those that are stored."""
    pairs = zip(second.maps, first.tolist(), strict=True)
    return np.array([dataclasses.astuple(line.after(Line(*old))) for line, old in pairs])  # type: ignore[union-attr, arg-type]


def store(folder: Path, lines: SexSpecificRecalibration, intervals: Intervals) -> None:
    """Compose the recalibration with that of the SavedModel in `folder`, and store the intervals. The graph is unchanged.

    The graph of the shipped model holds lines and half-widths; see `export/signatures.py`.
    """
    prefix = str(folder / PREFIX)
    reader = tf.train.load_checkpoint(prefix)
    names = sorted(reader.get_variable_to_shape_map())
    key, widths = (key_of(name) for name in (CORRECTION, INTERVALS))
    if not {key, widths} <= set(names):
        raise ModelRefusedError(
            "The model was exported by an earlier version and cannot be calibrated. Export it again."
        )
    values = {name: reader.get_tensor(name) for name in names}
    new = _lines_after(lines, values[key]) if values[key].shape[1] == 2 else None
    values[key] = (composed(lines.table, values[key]) if new is None else new).astype(np.float32)
    offsets = intervals.offsets if values[widths].ndim == 3 else intervals.offsets[..., 1]
    values[widths] = offsets.astype(np.float32)
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=list(values.values()),
    )
    path = folder / "fingerprint.pb"
    stored = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    index = tf.fingerprint([Path(f"{prefix}.index").read_bytes()])
    stored.checkpoint_hash = int.from_bytes(index.numpy().tobytes(), "little")
    path.write_bytes(stored.SerializeToString())
