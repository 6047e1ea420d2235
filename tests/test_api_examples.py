"""Every example of docs/api.md is run, and every public name has an example."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import ROOT, draw_phantom, write_kaggle_layout

import bone_age_tf

BLOCKS = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
TEXT = (ROOT / "docs/api.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, exported: Path) -> dict[str, Any]:
    """What the examples leave behind, run one after the other as a reader would."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "saved_models").mkdir()
    (folder / "saved_models/bone_age").symlink_to(exported)
    write_kaggle_layout(folder / "rsna-bone-age", 20)
    (folder / "radiographs").mkdir()
    for path in (folder / "hand.png", folder / "radiographs/a.png"):
        cv2.imwrite(str(path), draw_phantom(120, 1))
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, block in enumerate(BLOCKS.findall(TEXT), start=1):
            exec(compile(block, f"docs/api.md, example {number}", "exec"), names)
    return names


def test_the_examples_run(ran: dict[str, Any]) -> None:
    assert (
        0 <= ran["readable"].bone_age_months.min() <= ran["readable"].bone_age_months.max() <= 240
    )
    assert ran["reason"] == "blank: all pixels have nearly the same grey level"
    assert ran["table"].status.tolist() == ["ok", "ok", "rejected"]
    assert ran["months"].shape == (4,)
    assert ran["prepared"].shape == (104, 80, 1)


@pytest.mark.parametrize("name", bone_age_tf.__all__)
def test_a_public_name_has_an_example_and_a_docstring(name: str) -> None:
    assert f"bone_age_tf.{name}" in "".join(BLOCKS.findall(TEXT))
    assert name == "__version__" or getattr(bone_age_tf, name).__doc__


def test_dir_shows_the_public_names_without_tensorflow() -> None:
    words = "import bone_age_tf, sys; print(set(bone_age_tf.__all__) <= set(dir(bone_age_tf)), 'tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


def test_another_name_is_none() -> None:
    with pytest.raises(AttributeError, match="nothing_of_this_name"):
        bone_age_tf.nothing_of_this_name  # noqa: B018
    assert importlib.import_module("bone_age_tf").predict is bone_age_tf.predict


def test_the_model_of_a_run_tells_what_its_export_tells(run: Path, exported: Path) -> None:
    model = bone_age_tf.ExportedModel.open(exported)
    image = model.prepare((ROOT / "bone_age_tf/assets/golden_hand.png").read_bytes())
    network = bone_age_tf.load_model(run)
    months = network({"image": np.stack([image] * 2), "sex": np.array([0, 1], np.int32)})
    expected = model.months_of_prepared(np.stack([image] * 2), ["F", "M"])
    np.testing.assert_allclose(months, expected, atol=1e-3)
