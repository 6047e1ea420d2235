"""Outlines of the bones at each stage."""

import dataclasses

import cv2
import numpy as np
import pytest

from bone_age_tf.data_prep.phantom import bones, maturation, skeleton, small_bones

GRID = 500


def _bones(age: float, sex: str = "F", seed: int = 0) -> dict[str, bones.Bone]:
    child = skeleton.draw_individual(np.random.default_rng(seed))
    growth = maturation.growth(age, sex)
    segments = skeleton.pose(child, growth)
    stages = maturation.stages(age, sex)
    found = [
        *bones.tubular_bones(segments, stages, child, growth),
        *small_bones.carpal_bones(stages, child),
        *small_bones.sesamoid(segments, stages["sesamoid"], child),
    ]
    return {bone.name: bone for bone in found}


def _raster(*rendered: bones.Bone) -> np.ndarray:
    mask = np.zeros((2 * GRID, 2 * GRID), np.uint8)
    for bone in rendered:
        for outline in bone.outlines:
            points = np.round((outline * [1, -1] + [0.8, 1.2]) * GRID).astype(np.int32)
            cv2.fillPoly(mask, [points], (1,))
    return mask


def _pieces(*rendered: bones.Bone) -> int:
    return cv2.connectedComponents(_raster(*rendered))[0] - 1


@pytest.mark.parametrize(
    "name", ["proximal_3", "metacarpal_2", "metacarpal_1", "distal_4", "radius"]
)
def test_an_epiphysis_appears_apart_and_fuses(name: str) -> None:
    pieces = [_pieces(_bones(age)[name]) for age in (6, 60, 120, 216)]
    assert pieces == [1, 2, 2, 1]


def test_metacarpal_1_grows_at_its_base_and_the_others_at_their_heads() -> None:
    rendered = _bones(60)
    for ray in skeleton.RAYS:
        shaft, epiphysis = (
            outline.mean(axis=0) for outline in rendered[f"metacarpal_{ray}"].outlines
        )
        nearer_to_wrist = np.hypot(*epiphysis) < np.hypot(*shaft)
        assert nearer_to_wrist == (ray == 1)


@pytest.mark.parametrize("sex", ["F", "M"])
def test_carpal_bones_show_one_after_the_other(sex: str) -> None:
    order: list[str] = []
    for month in range(0, 200):
        stages = maturation.stages(month, sex)
        rendered = small_bones.carpal_bones(
            stages, skeleton.draw_individual(np.random.default_rng(0))
        )
        order += [bone.name for bone in rendered if bone.name not in order]
    assert order[:4] == ["capitate", "hamate", "triquetrum", "lunate"]
    assert set(order[4:7]) == {"trapezium", "trapezoid", "scaphoid"}
    assert order[7] == "pisiform"


def test_carpal_bones_grow_from_apart_to_overlapping() -> None:
    def share(age: float) -> tuple[int, float]:
        rendered = [bone for name, bone in _bones(age).items() if name in skeleton.CARPALS]
        alone = sum(int(_raster(bone).sum()) for bone in rendered)
        return _pieces(*rendered), float(_raster(*rendered).sum()) / alone

    apart, cover = share(60)
    assert apart >= 6
    assert cover > 0.99
    apart, cover = share(170)
    assert apart <= 2
    assert cover < 0.97


def test_epiphyses_and_carpal_bones_grow_with_bone_age() -> None:
    def grown(age: float) -> int:
        rendered = _bones(age)
        small = [rendered[name] for name in skeleton.CARPALS if name in rendered]
        epiphyses = [
            dataclasses.replace(rendered[name], outlines=rendered[name].outlines[1:2])
            for name in (*skeleton.BONES, "radius", "ulna")
        ]
        return sum(int(_raster(bone).sum()) for bone in (*small, *epiphyses))

    areas = [grown(age) for age in range(0, 170, 10)]
    assert areas == sorted(areas)
    assert areas[0] < 0.05 * areas[-1]


def test_the_sesamoid_lies_beside_the_head_of_the_first_metacarpal() -> None:
    assert "sesamoid" not in _bones(120)
    rendered = _bones(160)
    head = skeleton.pose(skeleton.draw_individual(np.random.default_rng(0)), 1.0)[
        "metacarpal_1"
    ].head
    assert np.hypot(*(rendered["sesamoid"].outlines[0].mean(axis=0) - head)) < 0.06
