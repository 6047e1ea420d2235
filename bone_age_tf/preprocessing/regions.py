"""Named regions of the prepared frame, as in Iglovikov et al. 2018.

Rows and columns are pixels of the frame at scale 1 (2080 x 1600), in which the capitate is at
(1600, 800) and the middle fingertip at (100, 800).
"""

from typing import NamedTuple

from bone_age_tf.config import FRAME_HEIGHT, FRAME_WIDTH
from bone_age_tf.errors import UsageError


class Region(NamedTuple):
    """A rectangle of the frame at scale 1."""

    centre: tuple[int, int]
    """Row and column."""
    size: tuple[int, int]
    """Rows and columns."""


REGIONS = {
    "frame": Region((FRAME_HEIGHT // 2, FRAME_WIDTH // 2), (FRAME_HEIGHT, FRAME_WIDTH)),
    "hand": Region((1040, 800), (2000, 1500)),
    "carpal": Region((1600, 800), (750, 750)),
    "metacarpal": Region((1040, 800), (600, 1400)),
}
"""The whole frame, and the paper's A (whole hand), B (carpal bones), C (metacarpal bones and proximal
phalanges). The paper gives no centre for C; here it is the middle between the bases of the
metacarpals (about row 1480) and the heads of the proximal phalanges (about row 600)."""


def crop_of(name: str, frame: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows to cut off ((above, below), (left, right)) so that the region is left.

    Raises `UsageError` for an unknown name.
    """
    if name not in REGIONS:
        raise UsageError(
            f"data.region: there is no region {name!r}. Expected one of: {', '.join(REGIONS)}."
        )
    centre, size = REGIONS[name]
    cuts = []
    for middle, length, whole, scaled in zip(
        centre, size, (FRAME_HEIGHT, FRAME_WIDTH), frame, strict=True
    ):
        first = round((middle - length / 2) * scaled / whole)
        kept = round(length * scaled / whole)
        cuts.append((max(first, 0), max(scaled - first - kept, 0)))
    return cuts[0], cuts[1]
