"""The model in `saved_models/bone_age`, as in a fresh clone."""

import base64
import json

import numpy as np
import pytest
from conftest import ROOT

from bone_age_tf.cli import main as cli
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import NETWORK, SERVING
from bone_age_tf.sex import Sex

SHIPPED = ROOT / "saved_models" / "bone_age" / "1"
LARGEST_BYTES = 25_000_000


@pytest.fixture(scope="module")
def shipped() -> ExportedModel:
    return ExportedModel.open(SHIPPED)


def test_it_is_small_enough_for_a_clone() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) <= LARGEST_BYTES


def test_it_answers_as_where_it_was_made(shipped: ExportedModel) -> None:
    golden = shipped.manifest["golden"]
    picture = base64.b64decode(golden["image_png_base64"])
    answer = shipped.signatures[SERVING](
        image_bytes=[picture] * len(golden["sex"]), sex=golden["sex"]
    )
    np.testing.assert_allclose(answer["bone_age_months"], golden["bone_age_months"], atol=0.05)


def test_its_ends_are_those_of_its_training_ages(shipped: ExportedModel) -> None:
    ages = shipped.training_ages
    assert ages is not None
    assert ages.counts.sum() == shipped.manifest["data"]["training"] == 953
    assert [ages.ends(sex) for sex in Sex] == [(48, 186), (60, 192), (60, 186)]


def test_it_predicts_in_one_command(
    shipped: ExportedModel, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = tmp_path / "hand.png"
    picture.write_bytes(base64.b64decode(shipped.manifest["golden"]["image_png_base64"]))
    monkeypatch.chdir(ROOT)
    output = tmp_path / "predictions"
    words = ["predict", str(picture), "--sex", "F", "--output", str(output), "--quiet"]
    assert cli.commands.main(words, standalone_mode=False) == 0
    row = json.loads((output / "predictions.jsonl").read_text())
    assert abs(row["bone_age_months"] - 120) < 36  # a drawing of ten years, which it never saw
    assert (
        0 < row["bone_age_low_months"] < row["bone_age_months"] < row["bone_age_high_months"] < 240
    )


def test_other_engines_can_run_it(shipped: ExportedModel) -> None:
    """The documentation serves it with `--engine openvino`."""
    assert NETWORK in shipped.signatures
    assert len(shipped.manifest["views"]) == 1


def test_it_says_how_its_training_set_was_read(shipped: ExportedModel) -> None:
    """RSNA's, by the atlas of Greulich and Pyle (docs/method.md)."""
    assert shipped.manifest["reading_method"] == "greulich_pyle"


def test_it_says_what_it_is_for(shipped: ExportedModel) -> None:
    assert "Not a medical device" in shipped.manifest["terms"]
    card = (ROOT / "saved_models" / "bone_age" / "README.md").read_text()
    for word in ("non-commercial", "Halabi", "959", "Not a medical device"):
        assert word in card
