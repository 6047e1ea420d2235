"""The status of a radiograph: `ok`, or the reason why it is rejected and gets no bone age.

Reasons that are seen in the pixels are a status that the graph gives (`EXPLANATIONS`). A file that is
no radiograph at all (`decoding.guard`) fails the graph with an assertion whose text is `refused
(REASON): EXPLANATION`: the wire format of exported models, which clients of a server read, so that
it does not change.
"""

import re
from typing import NamedTuple, Protocol

OK = "ok"
BLANK = "blank"

EXPLANATIONS = {
    BLANK: "all pixels have nearly the same grey level",
    "not_a_hand": "no hand was found in the picture",
    "no_whole_hand": "a part of the hand is missing from the picture",
    "two_hands": "there is more than one hand in the picture",
    "too_low_resolution": "the hand has too few pixels to be read",
    "oblique": "the hand is turned out of the plane of the picture",
    "implausible_key_points": "fingertips, knuckles and wrist were not found where a hand has them",
    "mask_touches_top": "the fingers are cut by the edge of the picture",
}
"""Reason -> one line for a person."""

_ASSERTION = re.compile(r"refused \((?P<reason>\w+)\): (?P<explanation>[^\]']*)\]?(?P<data>[^\n]*)")


class Rejection(NamedTuple):
    """Why a radiograph gets no bone age."""

    reason: str
    """A stable code: a key of `EXPLANATIONS`, or of the file `empty`, `not_png_or_jpeg`, `too_small`,
    `too_large`, `damaged`, `multi_page`, `unsupported_pixels`."""
    explanation: str
    """One line for a person."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.explanation}"


def assertion_text(reason: str, explanation: str) -> str:
    """Text of the graph's assertion; `rejection_from` parses it."""
    return f"refused ({reason}): {explanation}"


class GraphError(Protocol):
    """INVALID_ARGUMENT of a graph: TensorFlow's error in Python, or that of its C API."""

    @property
    def message(self) -> str:
        """With the text of the assertion that failed, where it was one."""
        ...


def rejection_from(error: GraphError) -> Rejection:
    """The reason inside an error that preparing a radiograph raised."""
    match = _ASSERTION.search(error.message)
    if match is None:
        return Rejection("damaged", "the pixels cannot be decoded")
    numbers = " x ".join(re.findall(r"\d+", match["data"]))
    return Rejection(match["reason"], f"{match['explanation']} {numbers}".strip())
