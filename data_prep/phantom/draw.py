"""One synthetic radiograph with its ground truth."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from bone_age_tf.config import PHANTOM_STYLES
from bone_age_tf.data_prep.phantom import (
    acquisition,
    bones,
    maturation,
    out_of_plane,
    rendering,
    scene,
    skeleton,
    small_bones,
)
from bone_age_tf.data_prep.phantom.skeleton import ALL_BONES, RAYS, Segment
from bone_age_tf.data_prep.phantom.soft_tissue import SoftPart, soft_parts

OLDEST_MONTHS = 300
"""All growth plates have closed at 223 months in the mean child, and their scars have faded at 265."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """Ground truth of a synthetic radiograph."""

    bone_age_months: float
    sex: str
    """F or M."""
    mask: np.ndarray
    """uint8 [height, width]: 255 hand and forearm of the child, 0 everything else and where collimation or a
    border hides them."""
    bones: np.ndarray
    """uint8 [height, width], within the mask's limits: 0 no bone, 1 + position in `skeleton.ALL_BONES`."""
    key_points: Mapping[str, tuple[float, float]]
    """Name -> (x, y) in pixels, x = column; also where they lie outside the picture."""
    stages: Mapping[str, maturation.Stage]
    """Ossification centre -> how far it has come."""
    acquisition: acquisition.Acquisition
    """How the radiograph was taken: rotation, mirroring, inversion and the rest."""
    pixel_spacing_mm: float


def draw(
    bone_age_months: float,
    sex: str,
    rng: np.random.Generator,
    *,
    size: int = 768,
    style: str = "clean",
    with_bones: bool = True,
    out_of_plane_degrees: float = 0.0,
) -> tuple[np.ndarray, Truth]:
    """Draw a radiograph of a left hand, uint8 [height, width], its longer side `size` pixels.

    The same state of `rng` at two bone ages draws the same child twice. `style` is `clean` or
    `varied` (see `acquisition`). Without bones, only soft tissue is rendered: a negative control for what a
    network uses. `out_of_plane_degrees` turns the same hand about its long axis: 45 is oblique, 90 lateral.

    Raises `ValueError` for a bone age outside 0 to 300 months, a sex other than F and M, or an angle beyond 90
    degrees.
    """
    _require(bone_age_months, sex, size, style, out_of_plane_degrees)
    child = skeleton.draw_individual(rng)
    taken = acquisition.draw_acquisition(rng, style, bone_age_months)
    taken = dataclasses.replace(taken, out_of_plane_degrees=float(out_of_plane_degrees))
    hand = _mature(child, bone_age_months, sex, out_of_plane_degrees)
    camera = acquisition.aim(taken, hand.parts, size)
    mask = rendering.hand_mask(hand.parts, camera)
    attenuation = rendering.soft_attenuation(hand.parts, mask, camera, hand.millimetres)
    bony = rendering.bone_attenuation(hand.bones, camera, hand.millimetres, rng)
    if with_bones:
        attenuation = attenuation + bony * np.float32(child.density)
    where = scene.place(hand.parts, hand.segments, mask, camera, hand.millimetres)
    radiograph, exposed = acquisition.expose(attenuation, where, taken, rng)
    points = _key_points(hand.segments, {bone.name: bone for bone in hand.bones})
    return radiograph, Truth(
        bone_age_months=float(bone_age_months),
        sex=sex,
        mask=mask * exposed * np.uint8(255),
        bones=rendering.label_map(hand.bones, camera, ALL_BONES) * exposed,
        key_points={name: tuple(camera.project(at).tolist()) for name, at in points.items()},
        stages=hand.stages,
        acquisition=taken,
        pixel_spacing_mm=hand.millimetres / camera.pixels_per_unit,
    )


@dataclasses.dataclass(frozen=True)
class _Hand:
    """One child's hand at one bone age."""

    segments: Mapping[str, Segment]
    stages: Mapping[str, maturation.Stage]
    bones: Sequence[bones.Bone]
    parts: Sequence[SoftPart]
    millimetres: float
    """Length of a hand unit."""


def _mature(child: skeleton.Individual, bone_age_months: float, sex: str, degrees: float) -> _Hand:
    growth = maturation.growth(bone_age_months, sex)
    segments = skeleton.pose(child, growth)
    stages = maturation.stages(bone_age_months, sex, child.scatter)
    rendered = [
        *bones.tubular_bones(segments, stages, child, growth),
        *small_bones.carpal_bones(stages, child),
        *small_bones.sesamoid(segments, stages["sesamoid"], child),
    ]
    millimetres = maturation.hand_unit_millimetres(bone_age_months, sex) * child.size
    if degrees == 0:
        return _Hand(segments, stages, rendered, soft_parts(segments, child, growth), millimetres)
    turned = out_of_plane.turned_segments(segments, degrees)
    parts = soft_parts(turned, out_of_plane.turned_individual(child, degrees), growth)
    parts = out_of_plane.turned_parts(parts, degrees)
    rendered = out_of_plane.turned_bones(rendered, segments, turned, degrees)
    return _Hand(turned, stages, rendered, parts, millimetres)


def _require(bone_age_months: float, sex: str, size: int, style: str, degrees: float) -> None:
    if not 0 <= bone_age_months <= OLDEST_MONTHS:
        raise ValueError(
            f"bone_age_months: expected 0 to {OLDEST_MONTHS}, received {bone_age_months}."
        )
    if sex not in ("F", "M"):
        raise ValueError(f"sex: expected F or M, received {sex!r}.")
    if size < 64:
        raise ValueError(f"size: expected at least 64 pixels, received {size}.")
    if style not in PHANTOM_STYLES:
        raise ValueError(f"style: expected one of {PHANTOM_STYLES}, received {style!r}.")
    if not abs(degrees) <= 90:
        raise ValueError(f"out_of_plane_degrees: expected -90 to 90, received {degrees}.")


THUMB_HEAD = 0.075
"""Distance of the centre of the first metacarpal's head from its end, as a share of the bone."""
POINT_NAMES = {1: "thumb", 2: "index", 3: "middle", 4: "ring", 5: "little"}


def _key_points(
    segments: Mapping[str, Segment], by_name: Mapping[str, bones.Bone]
) -> dict[str, np.ndarray]:
    """Tips, joints, capitate and wrist in hand units.

    `*_mcp` is the centre of the metacarpal's epiphysis (of its head once fused, of the shaft's end
    before it shows; of the thumb: of the head); the other joints are the middle of the joint space;
    `wrist` is the middle of radius and ulna at the radius' growth plate.
    """
    points = {"capitate": np.zeros(2), "wrist": _wrist(by_name["radius"], by_name["ulna"])}
    if "capitate" in by_name:
        points["capitate"] = by_name["capitate"].origin
    for ray in RAYS:
        finger = POINT_NAMES[ray]
        metacarpal = segments[f"metacarpal_{ray}"]
        head = THUMB_HEAD * metacarpal.length
        points[f"{finger}_mcp"] = metacarpal.head - head * metacarpal.axis
        if ray > 1:
            bone = by_name[f"metacarpal_{ray}"]
            points[f"{finger}_mcp"] = bone.at(bone.epiphysis)
        points[f"{finger}_cmc"] = metacarpal.base
        names = [k for k in ("proximal", "middle", "distal") if f"{k}_{ray}" in segments]
        joints = ("ip",) if ray == 1 else ("pip", "dip")
        for name, joint in zip(names, joints, strict=False):
            points[f"{finger}_{joint}"] = segments[f"{name}_{ray}"].head
        last = by_name[f"distal_{ray}"]
        points[f"{finger}_tip"] = last.at(
            float(np.max((last.outlines[0] - last.origin) @ last.axis))
        )
    return points


def _wrist(radius: bones.Bone, ulna: bones.Bone) -> np.ndarray:
    middle = 0.5 * (radius.origin + ulna.origin)
    level = (radius.at(radius.plate) - middle) @ radius.axis
    return middle + level * radius.axis
