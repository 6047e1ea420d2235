"""The files of a localizer, and the network with folded batch normalization."""

import dataclasses
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from bone_age_tf.config import OWN_LOCALIZER, PreprocessingConfig
from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.preprocessing.localizer import weights as localizer
from bone_age_tf.preprocessing.localizer.network import (
    CHANNELS,
    OUTPUTS,
    POINTS,
    STRIDE,
    VIEW,
    build_hand_localizer,
    fold_normalization,
)
from bone_age_tf.preprocessing.localizer.weights import DESCRIPTION, SHIPPED, WEIGHTS, Limits
from bone_age_tf.preprocessing.quality import FREE_POINTS

COUNT = 2 * len(FREE_POINTS)
LIMITS = Limits(
    hand=0.61,
    certainty=0.52,
    distance=4.3,
    coverage=0.7,
    edge=0.04,
    wrist=0.03,
    tilt=0.2,
    resolution=33.5,
    mean=tuple(np.linspace(-1, 1, COUNT).tolist()),
    precision=tuple(map(tuple, (np.eye(COUNT) * 3.5 + 0.1).tolist())),
)


def views(count: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *VIEW, CHANNELS)).astype(np.uint8)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    return build_hand_localizer()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory, network: keras.Model) -> Path:
    """A localizer with random weights. Read only."""
    folder = tmp_path_factory.mktemp("localizer")
    localizer.save(folder, network, LIMITS, {"trained_on": {"phantoms": 7}})
    return folder


def test_outputs_have_their_shapes(network: keras.Model) -> None:
    shapes = {name: tuple(logits.shape) for name, logits in network(views(2)).items()}
    height, width = VIEW
    assert shapes == {
        OUTPUTS.mask: (2, height, width, 1),
        OUTPUTS.heat: (2, height // STRIDE, width // STRIDE, len(POINTS)),
        OUTPUTS.image_class: (2, 4),
        OUTPUTS.inverted: (2, 1),
        OUTPUTS.tilt: (2, 1),
    }


def test_folding_keeps_the_function() -> None:
    keras.utils.set_random_seed(4)
    rng = np.random.default_rng(4)
    trained = build_hand_localizer(for_training=True)
    for layer in trained.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, gamma.shape),
                    rng.normal(0, 0.2, beta.shape),
                    rng.normal(0, 0.2, mean.shape),
                    rng.uniform(0.3, 2.0, variance.shape),
                ]
            )
    folded = fold_normalization(trained)
    assert not any(isinstance(x, keras.layers.BatchNormalization) for x in folded.layers)
    before, after = trained(views(2), training=False), folded(views(2), training=False)
    for name in OUTPUTS:
        expected = keras.ops.convert_to_numpy(before[name])
        tolerance = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(after[name], expected, atol=tolerance, err_msg=name)


def test_the_mask_s_quarters_lie_side_by_side() -> None:
    """Four channels of a low-resolution pixel become the 2 x 2 pixels that it covers."""
    network = build_hand_localizer()
    split = keras.Model(
        network.get_layer("mask_quarters").output, network.get_layer("mask_whole").output
    )
    quarters = np.arange(VIEW[0] * VIEW[1], dtype=np.float32)
    quarters = quarters.reshape(1, VIEW[0] // STRIDE, VIEW[1] // STRIDE, 4)
    whole = keras.ops.convert_to_numpy(split(quarters))[0, ..., 0]
    np.testing.assert_array_equal(whole[10:12, 20:22].ravel(), quarters[0, 5, 10])


# === Files ===


def test_saved_and_loaded_it_is_the_same(saved: Path, network: keras.Model) -> None:
    loaded = localizer.load(str(saved))
    assert loaded.limits == LIMITS
    answers, expected = loaded(views()), network(views(), training=False)
    for name in OUTPUTS:
        np.testing.assert_array_equal(answers[name], expected[name], err_msg=name)


def test_weights_are_stored_in_half_precision(saved: Path, network: keras.Model) -> None:
    assert (saved / WEIGHTS).stat().st_size < 2.5 * network.count_params()
    for weight in network.get_weights():
        np.testing.assert_array_equal(weight, np.float16(weight))
    assert keras.config.dtype_policy().name == "float32"


def test_its_description_says_what_it_was_trained_on(saved: Path) -> None:
    description = json.loads((saved / DESCRIPTION).read_text())
    assert description["trained_on"] == {"phantoms": 7}
    assert description["points"] == list(POINTS)


def test_the_digest_is_of_weights_and_limits_alone(
    saved: Path, network: keras.Model, tmp_path: Path
) -> None:
    before = localizer.digest(str(saved))
    copy = shutil.copytree(saved, tmp_path / "copy")
    description = json.loads((copy / DESCRIPTION).read_text())
    (copy / DESCRIPTION).write_text(json.dumps(description | {"trained_on": "other data"}))
    assert localizer.digest(str(copy)) == before
    other_limits = tmp_path / "limits"
    other_limits.mkdir()
    localizer.save(other_limits, network, dataclasses.replace(LIMITS, edge=0.05), {})
    assert localizer.digest(str(other_limits)) != before
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    assert localizer.digest(str(copy)) != before


def test_the_shipped_one_loads_and_vouches_for_reasonable_limits() -> None:
    limits = localizer.load("shipped").limits
    assert 0 < limits.hand < 1
    assert 0 < limits.certainty < 1
    assert limits.resolution > 0
    assert -0.05 < limits.edge < 0.03, "less than the skin over a fingertip"
    assert 0 < limits.wrist < 0.1
    assert 0.3 < limits.tilt < 0.6
    assert len(limits.mean) == len(limits.precision) == COUNT
    assert (np.linalg.eigvalsh(np.array(limits.precision)) > 0).all()
    assert SHIPPED.is_dir()


@pytest.mark.filterwarnings("ignore:Skipping")
@pytest.mark.parametrize("content", ["no weights", "garbage", "another network"])
def test_other_weights_are_rejected(content: str, saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "other")
    (folder / WEIGHTS).unlink()
    if content == "garbage":
        (folder / WEIGHTS).write_bytes(b"no weights at all")
    if content == "another network":
        small = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
        small.save_weights(folder / WEIGHTS)
    with pytest.raises(ModelRefusedError, match=r"hand.localizer"):
        localizer.load(str(folder))


def without(values: dict, *names: str) -> dict:
    return {name: value for name, value in values.items() if name not in names}


@pytest.mark.parametrize(
    "change",
    [
        lambda values: {},
        lambda values: [],
        lambda values: values | {"schema": "bone-age-tf/hand-localizer/0"},
        lambda values: values | {"points": values["points"][::-1]},
        lambda values: without(values, "limits"),
        lambda values: values | {"limits": without(values["limits"], "edge")},
        lambda values: values | {"limits": values["limits"] | {"speed": 1}},
    ],
    ids=["empty", "a list", "schema", "points", "no limits", "a limit too few", "one too many"],
)
def test_another_description_is_rejected(change, saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "other")
    values = json.loads((folder / DESCRIPTION).read_text())
    (folder / DESCRIPTION).write_text(json.dumps(change(values)))
    for use in (localizer.load, localizer.digest):
        with pytest.raises(ModelRefusedError, match=r"hand_localizer\.json: not a localizer"):
            use(str(folder))


def test_a_folder_without_a_localizer_is_rejected_with_the_command(tmp_path: Path) -> None:
    for use in (localizer.load, localizer.digest):
        with pytest.raises(ModelRefusedError, match="--recipe hand_localizer"):
            use(str(tmp_path / "nowhere"))


# === Beside a data set ===


def test_an_own_localizer_is_kept_beside_and_found_there(saved: Path, tmp_path: Path) -> None:
    config = PreprocessingConfig(localizer=str(saved))
    localizer.keep_beside(config, tmp_path)
    localizer.keep_beside(config.portable().resolved(tmp_path), tmp_path)  # the same file
    resolved = config.portable().resolved(tmp_path)
    assert config.portable().localizer == OWN_LOCALIZER
    assert resolved.localizer == str(tmp_path / OWN_LOCALIZER)
    assert localizer.digest(resolved.localizer) == localizer.digest(str(saved))


@pytest.mark.parametrize("method", ["registered", "letterbox"])
def test_the_shipped_localizer_is_not_copied(method: str, tmp_path: Path) -> None:
    config = PreprocessingConfig(method=method)
    localizer.keep_beside(config, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert config.portable().resolved(tmp_path) == config


def test_the_letterbox_forgets_a_localizer_it_does_not_use(saved: Path, tmp_path: Path) -> None:
    config = PreprocessingConfig(method="letterbox", localizer=str(saved))
    localizer.keep_beside(config, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert config.portable().localizer == "shipped"
