from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from conftest import draw_phantom, encode

from bone_age_tf.config import PreprocessingConfig
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.preprocessing import pipeline
from bone_age_tf.preprocessing.localizer import weights
from bone_age_tf.preprocessing.preprocessor import Preprocessor, graph_of
from bone_age_tf.preprocessing.rejections import rejection_from

LETTERBOX = PreprocessingConfig(method="letterbox", scale=0.05)
REGISTERED = PreprocessingConfig(scale=0.05)


@pytest.fixture(scope="module")
def registered() -> Preprocessor:
    return Preprocessor(REGISTERED)


@pytest.mark.parametrize("config", [LETTERBOX, REGISTERED], ids=["letterbox", "registered"])
def test_fingerprint_needs_no_network(
    config: PreprocessingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "build_hand_localizer", lambda: pytest.fail("a network is built"))
    assert Preprocessor(config).fingerprint == pipeline.fingerprint(config)


def test_a_letterbox_has_no_localizer() -> None:
    assert Preprocessor(LETTERBOX).localizer is None


def test_it_keeps_its_localizer_and_shares_it_with_nobody(registered: Preprocessor) -> None:
    assert registered.localizer is registered.localizer
    assert registered.localizer is not Preprocessor(REGISTERED).localizer


def test_eager_graph_and_a_graph_around_it_agree(registered: Preprocessor) -> None:
    encoded = encode(draw_phantom(120, 1))
    around = graph_of(lambda content: registered(content).image)
    image = registered.graph(encoded).image
    assert image.shape == (*REGISTERED.frame, 1)
    np.testing.assert_array_equal(registered(tf.constant(encoded)).image, image)
    np.testing.assert_array_equal(around(encoded), image)


def test_a_graph_takes_other_formats_as_it_takes_their_png(registered: Preprocessor) -> None:
    hand = draw_phantom(120, 1)
    image = registered.graph(encode(hand)).image
    for ending in (".tif", ".bmp"):
        np.testing.assert_array_equal(registered.graph(encode(hand, ending)).image, image)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        registered.graph(encode(hand, ".webp"))
    assert rejection_from(caught.value) == (
        "not_png_or_jpeg", "the file is a WebP: save it as PNG"
    )  # fmt: skip


def test_a_folder_without_a_localizer_is_told_at_first_use(tmp_path: Path) -> None:
    nowhere = Preprocessor(PreprocessingConfig(scale=0.05, localizer=str(tmp_path)))
    with pytest.raises(ModelRefusedError, match="expected a hand localizer"):
        _ = nowhere.localizer


def test_the_shipped_localizer_is_not_copied(registered: Preprocessor, tmp_path: Path) -> None:
    registered.save_beside(tmp_path)
    assert list(tmp_path.iterdir()) == []
