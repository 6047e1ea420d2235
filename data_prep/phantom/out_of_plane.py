"""A hand that is turned out of the plane of the picture: oblique at 45 degrees, lateral at 90.

The skeleton is flat; here its rays get a plausible depth (z, towards the palm, in hand units): the arch
of the metacarpals, the thumb in front of the palm, fingers that flex the more the further the hand
is turned. It turns about the y axis, which runs through capitate and middle finger, and is projected.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from bone_age_tf.data_prep.phantom.bones import Bone
from bone_age_tf.data_prep.phantom.skeleton import RAYS, SEGMENTS, Individual, Point, Segment, turn
from bone_age_tf.data_prep.phantom.soft_tissue import SoftPart

METACARPAL_DEPTHS = {
    1: (0.050, 0.150), 2: (0.004, 0.000), 3: (-0.010, -0.016), 4: (0.000, 0.002), 5: (0.020, 0.036),
}  # fmt: skip
"""Ray -> depth of the base and of the head of its metacarpal."""
FLEXION_DEGREES = {1: (18, 10), 2: (6, 7, 4), 3: (10, 10, 6), 4: (15, 14, 8), 5: (20, 16, 8)}
"""Ray -> flexion of each joint from the knuckle on in a lateral view, where the fingers are fanned out."""
CARPAL_DEPTHS = {
    "trapezium": 0.055, "trapezoid": 0.012, "capitate": 0.0, "hamate": 0.012,
    "scaphoid": 0.030, "lunate": 0.0, "triquetrum": 0.0, "pisiform": 0.070,
}  # fmt: skip
FOREARM_DEPTHS = {"radius": 0.0, "ulna": -0.022}
SESAMOID_IN_FRONT = 0.030
"""Of the head of the first metacarpal."""
DEPTH_PER_WIDTH = {"radius": 0.68, "ulna": 0.9, "capitate": 1.2, "lunate": 1.1, "scaphoid": 0.8}
OTHERS_DEPTH_PER_WIDTH = 0.86
PALM_HALF_WIDTH = 0.2
FOREARM_DEPTH_PER_WIDTH = 0.74
"""Thickness over width, seen flat."""


def turned_segments(segments: Mapping[str, Segment], degrees: float) -> dict[str, Segment]:
    """The tubular bones as the turned hand shows them."""
    found: dict[str, Segment] = {}
    for ray in RAYS:
        found |= _ray(ray, segments, degrees)
    for name, depth in FOREARM_DEPTHS.items():
        base, head = segments[name].base, segments[name].head
        found[name] = Segment(_seen(base, depth, degrees), _seen(head, depth, degrees))
    return {name: found[name] for name in segments}


def _ray(ray: int, segments: Mapping[str, Segment], degrees: float) -> dict[str, Segment]:
    metacarpal = segments[f"metacarpal_{ray}"]
    base_depth, depth = METACARPAL_DEPTHS[ray]
    end = _seen(metacarpal.head, depth, degrees)
    found = {f"metacarpal_{ray}": Segment(_seen(metacarpal.base, base_depth, degrees), end)}
    place, flexion = metacarpal.head, 0.0
    names = [f"{kind}_{ray}" for kind in SEGMENTS[1:] if f"{kind}_{ray}" in segments]
    for name, joint in zip(names, FLEXION_DEGREES[ray], strict=True):
        flexion += np.radians(joint) * abs(np.sin(np.radians(degrees)))
        bone = segments[name].head - segments[name].base
        place = place + bone * np.cos(flexion)
        depth += float(np.hypot(*bone)) * float(np.sin(flexion))
        start, end = end, _seen(place, depth, degrees)
        found[name] = Segment(start, end)
    return found


def _seen(point: Point, depth: float, degrees: float) -> Point:
    angle = np.radians(degrees)
    return np.array([point[0] * np.cos(angle) + depth * np.sin(angle), point[1]])


def turned_bones(
    bones: Sequence[Bone],
    flat: Mapping[str, Segment],
    turned: Mapping[str, Segment],
    degrees: float,
) -> list[Bone]:
    """The bones of a flat hand as the turned hand shows them; `turned` are its segments."""
    return [
        _tubular(bone, flat[bone.name], turned[bone.name], degrees)
        if bone.name in flat
        else _small(bone, flat, turned, degrees)
        for bone in bones
    ]


def _narrower(name: str, degrees: float) -> float:
    """Seen width of a turned bone over its width."""
    return _turned_width(DEPTH_PER_WIDTH.get(name, OTHERS_DEPTH_PER_WIDTH), degrees)


def _turned_width(depth_per_width: float, degrees: float) -> float:
    angle = np.radians(degrees)
    return float(np.hypot(np.cos(angle), depth_per_width * np.sin(angle)))


def _tubular(bone: Bone, flat: Segment, turned: Segment, degrees: float) -> Bone:
    narrower, shorter = _narrower(bone.name, degrees), turned.length / flat.length
    from_base = bool(bone.axis @ flat.axis > 0)
    origin, axis = (turned.base, turned.axis) if from_base else (turned.head, -turned.axis)
    before = np.stack([turn(bone.axis, 90), bone.axis], axis=1)
    after = np.stack([narrower * turn(axis, 90), shorter * axis])
    return dataclasses.replace(
        bone,
        outlines=tuple(origin + (at - bone.origin) @ before @ after for at in bone.outlines),
        origin=origin,
        axis=axis,
        length=turned.length,
        half_depth=bone.half_depth / narrower,
        lines=tuple(
            dataclasses.replace(line, distance=line.distance * shorter) for line in bone.lines
        ),
        epiphysis=bone.epiphysis * shorter,
        plate=bone.plate * shorter,
    )


def _small(
    bone: Bone, flat: Mapping[str, Segment], turned: Mapping[str, Segment], degrees: float
) -> Bone:
    narrower = _narrower(bone.name, degrees)
    if bone.name == "sesamoid":
        depth = METACARPAL_DEPTHS[1][1] + SESAMOID_IN_FRONT
    else:
        depth = CARPAL_DEPTHS[bone.name]
    origin = _seen(bone.origin, depth, degrees)
    outlines = tuple(origin + (at - bone.origin) * [narrower, 1.0] for at in bone.outlines)
    return dataclasses.replace(
        bone, outlines=outlines, origin=origin, half_depth=bone.half_depth / narrower
    )


def turned_individual(child: Individual, degrees: float) -> Individual:
    """The child with the direction of the forearm that the turned hand shows."""
    aside = np.tan(np.radians(child.wrist_degrees)) * np.cos(np.radians(degrees))
    return dataclasses.replace(child, wrist_degrees=float(np.degrees(np.arctan(aside))))


def turned_parts(parts: Sequence[SoftPart], degrees: float) -> list[SoftPart]:
    """Soft parts that were laid around turned segments, with the palm's and the forearm's depth there."""
    *fingers, palm, thenar, forearm = parts
    return [*fingers, _palm(palm, degrees), _palm(thenar, degrees), _forearm(forearm, degrees)]


def _palm(part: SoftPart, degrees: float) -> SoftPart:
    angle = np.radians(degrees)
    hull = cv2.convexHull(part.outline.astype(np.float32))[:, 0].astype(float)
    depth = float(np.hypot(part.half_depth * np.cos(angle), PALM_HALF_WIDTH * np.sin(angle)))
    return dataclasses.replace(part, outline=hull, half_depth=depth)


def _forearm(part: SoftPart, degrees: float) -> SoftPart:
    narrower = _turned_width(FOREARM_DEPTH_PER_WIDTH, degrees)
    middle = 0.5 * (part.outline + part.outline[::-1])
    return dataclasses.replace(
        part,
        outline=middle + narrower * (part.outline - middle),
        half_depth=part.half_depth / narrower,
    )
