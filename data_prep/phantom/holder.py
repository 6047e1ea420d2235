"""An adult who holds the child's hand: fingers of a grown-up hand, in the beam at their true size."""

import dataclasses

import numpy as np

from bone_age_tf.data_prep.phantom import bones, maturation, rendering, skeleton
from bone_age_tf.data_prep.phantom.scene import Scene
from bone_age_tf.data_prep.phantom.skeleton import Point
from bone_age_tf.data_prep.phantom.soft_tissue import finger

GROWN_UP = 300.0
"""Bone age in months: no line of a growth plate is left."""
SEVERAL = ((2,), (3,), (2, 3), (2, 3, 4), (3, 4))
THUMB = (1,)
PLACES_TRIED = 10


def holding_fingers(scene: Scene, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Attenuation by an adult's fingers, float32 [height, width].

    `edge`: fingertips at the edges of the picture; `grip`: fingers across the forearm, often with the
    thumb on its other side; `press`: a finger on a fingertip of the child.
    """
    attenuation = np.zeros(scene.mask.shape, np.float32)
    for tip, away, rays in {"edge": _at_edges, "grip": _grip, "press": _press}[kind](scene, rng):
        attenuation += _fingers(scene, tip, away, rays, rng)
    return attenuation


_Placed = tuple[Point, Point, tuple[int, ...]]
"""Where the first finger's tip lies, the direction its hand comes from, and its rays."""


def _some_rays(rng: np.random.Generator) -> tuple[int, ...]:
    return THUMB if rng.random() < 0.3 else SEVERAL[int(rng.integers(len(SEVERAL)))]


def _at_edges(scene: Scene, rng: np.random.Generator) -> list[_Placed]:
    placed = []
    for _ in range(int(rng.choice([1, 1, 2]))):
        tries = [_at_edge(scene, rng) for _ in range(PLACES_TRIED)]
        tip, away = min(tries, key=lambda one: _in_the_way(scene, *one))
        placed.append((tip, away, _some_rays(rng)))
    return placed


def _at_edge(scene: Scene, rng: np.random.Generator) -> tuple[Point, Point]:
    outwards = np.array(((-1, 0), (1, 0), (0, -1), (0, 1))[int(rng.integers(4))], float)
    middle, half = 0.5 * scene.size, 0.5 * scene.size
    edge = middle + outwards * half
    edge += rng.uniform(-0.95, 0.95) * half * np.abs(outwards[::-1])
    away = skeleton.turn(outwards, float(rng.normal(0, 28)))
    inside = rng.uniform(15, 60) / scene.millimetres * scene.unit
    return edge - inside * away, away


def _in_the_way(scene: Scene, tip: Point, away: Point) -> float:
    wide = 10 / scene.millimetres * scene.unit * np.array([-away[1], away[0]])
    far = tip + 0.6 * scene.unit * away
    return scene.covered(np.array([tip - wide, tip + wide, far + wide, far - wide]))


def _grip(scene: Scene, rng: np.random.Generator) -> list[_Placed]:
    across = rng.choice([-1, 1]) * skeleton.turn(scene.towards_elbow, 90)
    level = scene.wrist + rng.uniform(0.12, 0.6) * scene.unit * scene.towards_elbow
    level = np.clip(level, 0, scene.size)  # of a short forearm: at its end
    placed = [_across(level, across, SEVERAL[int(rng.integers(len(SEVERAL)))], scene, rng)]
    if rng.random() < 0.6:
        placed.append(_across(level, -across, THUMB, scene, rng))
    return placed


def _across(
    level: Point, side: Point, rays: tuple[int, ...], scene: Scene, rng: np.random.Generator
) -> _Placed:
    away = skeleton.turn(side, float(rng.normal(0, 22)))
    return level + rng.uniform(-0.14, 0.22) * scene.unit * away, away, rays


def _press(scene: Scene, rng: np.random.Generator) -> list[_Placed]:
    tip = scene.fingertips[int(rng.integers(len(scene.fingertips)))]
    finger_of_child = tip - scene.knuckles
    away = skeleton.turn(finger_of_child / np.hypot(*finger_of_child), float(rng.normal(0, 30)))
    start = tip + rng.uniform(-0.16, 0.05) * scene.unit * away
    return [(start, away, THUMB if rng.random() < 0.4 else SEVERAL[int(rng.integers(2))])]


def _fingers(
    scene: Scene, tip: Point, away: Point, rays: tuple[int, ...], rng: np.random.Generator
) -> np.ndarray:
    """Attenuation by some fingers of a random adult, float32 [height, width]."""
    adult = skeleton.draw_individual(rng)
    adult = dataclasses.replace(adult, spread=float(rng.uniform(0, 0.6)))
    sex = "FM"[int(rng.integers(2))]
    millimetres = maturation.hand_unit_millimetres(GROWN_UP, sex) * adult.size
    segments = skeleton.pose(adult, 1.0)
    first = segments[f"distal_{rays[0]}"]
    scale = scene.unit * millimetres / scene.millimetres
    camera = _camera(scene, scale, (first.head, -first.axis), (tip, away), rng.choice([-1, 1]))
    parts = [part for ray in rays for part in finger(ray, segments, adult.fatness)]
    mask = rendering.parts_mask(parts, camera)
    if not mask.any():
        return np.zeros(mask.shape, np.float32)
    chosen = {name: at for name, at in segments.items() if name[-1] in map(str, rays)}
    skeletal = bones.tubular_bones(chosen, maturation.stages(GROWN_UP, sex), adult, 1.0)
    bony = rendering.bone_attenuation(skeletal, camera, millimetres, rng)
    soft = rendering.soft_attenuation(parts, mask, camera, millimetres)
    return soft + np.float32(adult.density) * bony


def _camera(
    scene: Scene,
    scale: float,
    finger_at: tuple[Point, Point],
    picture_at: tuple[Point, Point],
    side: int,
) -> rendering.Camera:
    """Adult hand units -> pixels, such that a finger's tip and direction come to a place and a direction.

    `side` -1 shows the hand's other side.
    """
    (tip, axis), (place, away) = finger_at, picture_at
    mirror = np.diag([float(side), 1.0])
    before, after = (np.arctan2(at[1], at[0]) for at in (mirror @ axis, away))
    matrix = np.zeros((2, 3))
    matrix[:, :2] = scale * skeleton.rotation(np.degrees(before - after)) @ mirror
    matrix[:, 2] = place - matrix[:, :2] @ tip
    return rendering.Camera(matrix, scene.camera.height, scene.camera.width)
