"""What is said before training about the radiographs at hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from bone_age_tf.config import DataConfig, ExperimentConfig
from bone_age_tf.sex import Sex
from bone_age_tf.training.resolve import warn_of_missing_sex


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
