"""Changes of a radiograph as they occur in clinical practice, by group.

They are those under which published models were found to fail (Santomartino et al. 2024, Beheshtian et al. 2022), and
what devices of other vendors do to grey levels (`data.processing`), at several strengths. A picture is float32
[height, width] with grey values from 0 to 1; so is a changed one, of any size.
"""

from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np

from bone_age_tf.data import processing
from bone_age_tf.data.processing import COMMON_SIDE
from bone_age_tf.errors import UsageError

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
"""Grey values of a radiograph -> those of a changed one."""


def inverted(picture: np.ndarray) -> np.ndarray:
    """Bone dark."""
    return 1 - picture


def brightened(picture: np.ndarray, by: float) -> np.ndarray:
    """With `by` added to every grey value, within 0 and 1."""
    return np.clip(picture + by, 0, 1)


def rotated(picture: np.ndarray, degrees: float, grey: float | None = None) -> np.ndarray:
    """Rotated counter-clockwise on a larger canvas of one grey value; None: the median of the picture's border."""
    height, width = picture.shape
    cos, sin = (abs(f(np.deg2rad(degrees))) for f in (np.cos, np.sin))
    size = round(width * cos + height * sin), round(width * sin + height * cos)
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    matrix[:, 2] += [(size[0] - width) / 2, (size[1] - height) / 2]
    if grey is None:
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        grey = float(np.median(border))
    return cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderValue=grey)


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur with SD `sigma` in pixels, for a longer side of `COMMON_SIDE` pixels."""
    return cv2.GaussianBlur(picture, (0, 0), sigma * max(picture.shape) / COMMON_SIDE)


def coarsened(picture: np.ndarray, side: int) -> np.ndarray:
    """Reduced until the longer side has `side` pixels; smaller ones are unchanged."""
    factor = side / max(picture.shape)
    if factor >= 1:
        return picture
    size = [max(1, round(length * factor)) for length in picture.shape[::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def with_contrast(picture: np.ndarray, factor: float) -> np.ndarray:
    """Further from (or nearer to) the mean grey, within 0 and 1."""
    return np.clip(picture.mean() + factor * (picture - picture.mean()), 0, 1)


def noisy(picture: np.ndarray, random: np.random.Generator, share: float) -> np.ndarray:
    """With normal noise whose SD is `share` of the range of grey that the picture uses (percentiles 1 to 99)."""
    low, high = np.percentile(picture, (1, 99))
    noise = random.normal(0, share * (high - low), picture.shape)
    return np.clip(picture + noise.astype(np.float32), 0, 1)


def _fixed(function: Callable[..., np.ndarray], *settings: float) -> Change:
    """A change without chance."""
    return lambda picture, random: function(picture, *settings)


def _noise(share: float) -> Change:
    return lambda picture, random: noisy(picture, random, share)


_ROTATIONS = (-10, 10, -30, 30, 90, 180)
_BORDERS = (("grey", 0.5), ("white", 1.0))

GROUPS: Mapping[str, Mapping[str, Change]] = {
    "geometry": {
        **{f"rotation {d:+d}\N{DEGREE SIGN}": _fixed(rotated, d) for d in _ROTATIONS},
        "mirrored": _fixed(np.fliplr),
    },
    "exposure": {
        **{f"brightness {b:+.0%}": _fixed(brightened, b) for b in (-0.3, -0.15, 0.15, 0.3)},
        **{f"contrast {f:.0%}": _fixed(with_contrast, f) for f in (0.5, 0.75, 1.25, 1.5)},
        **{f"gamma {e:g}": _fixed(processing.gamma, e) for e in (0.6, 1.6)},
        "inverted": _fixed(inverted),
    },
    "sharpness": {
        **{f"blur {s:g} px": _fixed(blurred, s) for s in (1, 2, 4)},
        **{f"resolution {n}": _fixed(coarsened, n) for n in (512, 256, 128)},
    },
    "noise": {
        **{f"noise {share:.0%}": _noise(share) for share in (0.02, 0.05, 0.1)},
    },
    "processing": {
        **{f"CLAHE clip {c}": _fixed(processing.clahe, c) for c in (2, 4)},
        "equalisation": _fixed(processing.equalised),
        **{f"unsharp {a:g}": _fixed(processing.unsharp, a, 6) for a in (1, 2)},
        **{f"multi-scale {e:g}": _fixed(processing.multiscale, e) for e in (0.7, 0.5)},
        **{f"film curve {m:g}": _fixed(processing.film_curve, m, 6) for m in (0.4, 0.55)},
    },
    "borders": {
        **{f"border {name}": _fixed(processing.bordered, 0.06, grey) for name, grey in _BORDERS},
        **{f"shutters {n}": _fixed(processing.collimated, 0.03, grey) for n, grey in _BORDERS},
        **{f"tilted {name}": _fixed(rotated, 7, grey) for name, grey in _BORDERS},
    },
}
"""Group -> name -> change; `docs/evaluation.md` says what the numbers are."""

CHANGES: Mapping[str, Change] = {
    n: change for group in GROUPS.values() for n, change in group.items()
}

GROUP_OF: Mapping[str, str] = {name: group for group, names in GROUPS.items() for name in names}


def select_changes(words: Sequence[str] = ()) -> list[str]:
    """Names of the changes that are called so, or begin so, or whose group does, in the order of `CHANGES`; all without
    words. Upper and lower case are the same.

    Raises `UsageError` where a word is none of these.
    """
    chosen = {name for word in words for name in _named(word)}
    return [name for name in CHANGES if name in chosen or not words]


def _named(word: str) -> list[str]:
    start = word.strip().casefold()
    if not start:
        raise UsageError(f"--changes: expected {_expected()}. Received an empty word.")
    names = [
        name
        for name, group in GROUP_OF.items()
        if start == name.casefold() or group.startswith(start)
    ] or [name for name in CHANGES if name.casefold().startswith(start)]
    if not names:
        raise UsageError(f"--changes: expected {_expected()}. Received {word!r}.")
    return names


def _expected() -> str:
    return f"groups ({', '.join(GROUPS)}) or changes ({', '.join(CHANGES)})"
