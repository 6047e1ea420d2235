import copy
import dataclasses
from pathlib import Path

import pytest

from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.golden import require_golden


@pytest.fixture
def model(exported: Path) -> ExportedModel:
    model = ExportedModel.open(exported)
    return dataclasses.replace(model, manifest=copy.deepcopy(dict(model.manifest)))


def test_a_model_that_answers_as_at_export_passes(model: ExportedModel) -> None:
    require_golden(model)


@pytest.mark.parametrize("wrong", [1.0, float("nan")])
def test_a_model_that_answers_otherwise_is_refused(model: ExportedModel, wrong: float) -> None:
    model.manifest["golden"]["bone_age_months"][1] += wrong
    with pytest.raises(ModelRefusedError, match="for the golden hand it returns bone_age_months"):
        require_golden(model)
