import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from bone_age_tf.errors import UsageError
from bone_age_tf.export.signatures import CORRECTION, INTERVALS
from bone_age_tf.export.stored_calibration import require_graph_for, store
from bone_age_tf.metrics.bone_age import AGE_BANDS
from bone_age_tf.postprocessing.bias_correction import Line, SexSpecificRecalibration
from bone_age_tf.postprocessing.conformal import Intervals

OLD = np.array([[1.0, 0.9], [2.0, 1.1], [0.0, 1.0]], np.float32)
NEW = SexSpecificRecalibration((Line(-3.0, 1.0), Line(0.0, 0.5), Line(4.0, 1.0)))
ENDS = np.arange(15.0).reshape(3, 5)
INTERVALS_OF_NEW = Intervals(0.9, np.stack([-ENDS, ENDS], axis=-1), (), np.zeros(0))


def values_of(folder: Path) -> tuple[str, dict[str, np.ndarray]]:
    """Prefix of the variables, and all of them by name."""
    prefix = str(folder / "variables" / "variables")
    reader = tf.train.load_checkpoint(prefix)
    return prefix, {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def key(name: str) -> str:
    return f"{name}/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported / "1", tmp_path / "1")


@pytest.fixture
def of_lines(folder: Path) -> Path:
    """With variables of the shapes that the shipped model has."""
    prefix, values = values_of(folder)
    values |= {key(CORRECTION): OLD, key(INTERVALS): np.full((3, len(AGE_BANDS)), 9, np.float32)}
    tf.raw_ops.SaveV2(
        prefix=prefix, tensor_names=list(values), shape_and_slices=[""] * len(values),
        tensors=list(values.values()),
    )  # fmt: skip
    return folder


def test_a_table_becomes_that_of_both_recalibrations(folder: Path) -> None:
    others = {name: v for name, v in values_of(folder)[1].items() if np.ndim(v) == 4}
    for _ in range(2):
        store(folder, NEW, INTERVALS_OF_NEW)
    stored = values_of(folder)[1]
    tables = stored[key(CORRECTION)]
    np.testing.assert_allclose(tables[:, 120], [114, 30, 128], atol=1e-4)
    np.testing.assert_allclose(stored[key(INTERVALS)], INTERVALS_OF_NEW.offsets)
    for name, value in others.items():
        np.testing.assert_array_equal(stored[name], value)


def test_a_graph_of_lines_keeps_lines_and_half_widths(of_lines: Path) -> None:
    store(of_lines, NEW, INTERVALS_OF_NEW)
    stored = values_of(of_lines)[1]
    np.testing.assert_allclose(stored[key(CORRECTION)], [[-2, 0.9], [1, 0.55], [4, 1]], atol=1e-6)
    np.testing.assert_array_equal(stored[key(INTERVALS)], ENDS)


def test_curves_need_a_graph_of_tables() -> None:
    lines, tables = (SimpleNamespace(folder="model", is_of_lines=of) for of in (True, False))
    with pytest.raises(UsageError, match="--correction monotone: .* holds lines"):
        require_graph_for(lines, "monotone")  # type: ignore[arg-type]
    require_graph_for(lines, "linear")  # type: ignore[arg-type]
    require_graph_for(tables, "monotone")  # type: ignore[arg-type]
