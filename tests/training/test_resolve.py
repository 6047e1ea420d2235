"""What is said before training about the radiographs at hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bone_age_tf.config import AugmentationConfig, DataConfig, ExperimentConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.sex import Sex
from bone_age_tf.training.resolve import resolve, warn_of_missing_sex


@pytest.mark.parametrize(
    ("sexes", "asked", "missing"),
    [
        ([Sex.F, Sex.M], "both", []),
        ([Sex.M, Sex.UNKNOWN], "both", ["girls"]),
        ([Sex.F, Sex.F], "both", ["boys"]),
        ([Sex.UNKNOWN], "both", ["girls", "boys"]),
        ([Sex.F], "F", []),
    ],
)
def test_a_sex_that_the_training_split_lacks_is_said(
    sexes: list[Sex], asked: str, missing: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    selected = SimpleNamespace(training=SimpleNamespace(sex=np.array(sexes, np.int32)))
    config = ExperimentConfig(data=DataConfig(sex=asked))
    warn_of_missing_sex(config, selected)
    assert len(caplog.messages) == len(missing)
    for name, message in zip(missing, caplog.messages, strict=True):
        assert f"no radiograph of {name}" in message


def _resolved(share: float | None, variants: int) -> float | None:
    """`augmentation.variants` for a data set with so many variants."""
    radiographs = SimpleNamespace(folder="prepared", manifest=SimpleNamespace(variants=variants))
    selected: Any = SimpleNamespace(
        training=SimpleNamespace(bone_age_months=np.array([90.0, 120.0])), radiographs=radiographs
    )
    devices: Any = SimpleNamespace(workers=1, replicas=1)
    initial: Any = SimpleNamespace(run=None)
    config = ExperimentConfig(augmentation=AugmentationConfig(variants=share))
    return resolve(config, selected, devices, initial).augmentation.variants


@pytest.mark.parametrize(
    ("share", "variants", "expected"),
    [(None, 0, 0.0), (None, 4, 0.5), (0.8, 4, 0.8), (0.0, 4, 0.0), (0.0, 0, 0.0)],
)
def test_variants_are_shown_where_there_are_some(
    share: float | None, variants: int, expected: float
) -> None:
    assert _resolved(share, variants) == expected


def test_variants_that_do_not_exist_are_an_error_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"=0\.3 needs variants.*prepared has none.*--variants 4"):
        _resolved(0.3, 0)
