"""How large a picture may be, whatever the format of its file."""

MIN_SIDE = 64
MAX_SIDE = 12_000
MAX_PIXELS = 40_000_000
TOO_LARGE = (
    f"more than {MAX_PIXELS // 10**6} million pixels or a side over {MAX_SIDE}; height and width"
)


def is_too_large(height: int, width: int) -> bool:
    """Whether a picture of so many pixels is not decoded."""
    return max(height, width) > MAX_SIDE or height * width > MAX_PIXELS
