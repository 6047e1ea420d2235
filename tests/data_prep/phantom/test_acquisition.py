"""Positioning and exposure, and the variation of the style `varied`."""

import dataclasses

import numpy as np
import pytest

from bone_age_tf.data_prep.phantom import acquisition, draw, scene, skeleton
from bone_age_tf.data_prep.phantom.acquisition import Acquisition
from bone_age_tf.data_prep.phantom.rendering import Camera
from bone_age_tf.data_prep.phantom.soft_tissue import soft_parts


def _taken(style: str, count: int = 400, bone_age_months: float = 120) -> list[Acquisition]:
    rng = np.random.default_rng(0)
    return [acquisition.draw_acquisition(rng, style, bone_age_months) for _ in range(count)]


def test_clean_is_clean() -> None:
    for taken in _taken("clean", 50):
        assert not (taken.mirrored or taken.inverted or taken.marker or taken.tape)
        kinds = taken.collimation, taken.border, taken.holder, taken.immobiliser
        assert set(kinds) == {"none"}
        assert abs(taken.rotation_degrees) < 10


def test_varied_holds_everything_in_its_share() -> None:
    taken = _taken("varied")
    for name in ("mirrored", "inverted", "half_resolution", "tape"):
        share = np.mean([getattr(one, name) for one in taken])
        assert 0.01 < share < 0.25, name
    assert np.mean([one.marker for one in taken]) > 0.7
    assert {one.collimation for one in taken} == set(acquisition.COLLIMATIONS)
    assert {one.border for one in taken} == set(acquisition.BORDERS)
    assert max(abs(one.rotation_degrees) for one in taken) > 30
    assert min(one.white - one.black for one in taken) < 60  # low contrast


def test_infants_are_held_taped_and_immobilised_more_often() -> None:
    infants, older = _taken("varied", bone_age_months=6), _taken("varied", bone_age_months=150)
    assert {one.holder for one in infants} == set(acquisition.HOLDERS)
    assert {one.immobiliser for one in infants} == set(acquisition.IMMOBILISERS)

    def share(taken: list[Acquisition], name: str) -> float:
        return float(np.mean([getattr(one, name) not in ("none", False) for one in taken]))

    for name in ("holder", "tape", "immobiliser"):
        assert share(infants, name) > 0.2, name
        assert share(older, name) < 0.12, name


@pytest.mark.parametrize("style", ["clean", "varied"])
def test_the_whole_hand_is_in_the_picture(style: str) -> None:
    for seed in range(25):
        rng = np.random.default_rng([1, seed])
        radiograph, truth = draw(12 + 8 * seed, "FM"[seed % 2], rng, size=160, style=style)
        height, width = radiograph.shape
        for name, (x, y) in truth.key_points.items():
            assert 0 <= x < width, (seed, name)
            assert 0 <= y < height, (seed, name)


def _expose(**changes) -> np.ndarray:
    attenuation = np.zeros((100, 100), np.float32)
    attenuation[:, 30:70] = 0.4
    attenuation[:, 45:55] = 1.0
    return _exposed(attenuation, dataclasses.replace(Acquisition(detail=0.0), **changes))


def _exposed(attenuation: np.ndarray, taken: Acquisition) -> np.ndarray:
    height, width = attenuation.shape
    camera = Camera(np.array([[100.0, 0, 0], [0, -100.0, 100]]), height, width)
    segments = skeleton.pose(skeleton.draw_individual(np.random.default_rng(0)), 1.0)
    parts = soft_parts(segments, skeleton.draw_individual(np.random.default_rng(0)), 1.0)
    where = scene.place(parts, segments, (attenuation > 0).astype(np.uint8), camera, 160.0)
    grey, exposed = acquisition.expose(attenuation, where, taken, np.random.default_rng(0))
    assert exposed.all()
    return grey


def test_more_tissue_is_brighter_and_inversion_turns_it_round() -> None:
    grey = _expose().astype(float)
    assert grey[50, 50] > grey[50, 38] + 30 > grey[50, 10] + 40
    inverted = _expose(inverted=True).astype(float)
    assert inverted[50, 50] < inverted[50, 10]


def test_noise_scatter_and_contrast_do_what_they_say() -> None:
    def contrast(grey: np.ndarray) -> float:
        return float(grey[:, 48:52].mean()) - float(grey[:, 34:40].mean())

    assert _expose(noise=0.05)[:, :20].std() > 3 * _expose(noise=0.002)[:, :20].std()
    assert contrast(_expose(white=80)) < 0.5 * contrast(_expose())
    assert contrast(_expose(scatter=0.8)) < contrast(_expose(scatter=0.0))


def test_half_resolution_has_less_detail() -> None:
    sharp = np.abs(np.diff(_expose(noise=0.05).astype(int), axis=1)).mean()
    coarse = np.abs(np.diff(_expose(noise=0.05, half_resolution=True).astype(int), axis=1)).mean()
    assert coarse < 0.6 * sharp


def test_half_resolution_moves_nothing() -> None:
    attenuation = np.zeros((100, 101), np.float32)
    attenuation[:, 60:90] = 1.0
    centres = []
    for half in (False, True):
        taken = Acquisition(detail=0.0, noise=0.0, scatter=0.0, half_resolution=half)
        weight = _exposed(attenuation, taken).astype(float).sum(axis=0) - 600
        centres.append((weight * np.arange(101)).sum() / weight.sum())
    assert centres[1] == pytest.approx(centres[0], abs=0.3)
