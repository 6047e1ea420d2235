"""The status of a radiograph: `ok`, or the reason why it gets no bone age.

These are reasons that are seen in the pixels; `radiograph.guard` refuses what is no radiograph file.
"""

OK = "ok"
BLANK = "blank"

EXPLANATIONS = {
    BLANK: "all pixels have nearly the same grey level",
    "not_a_hand": "no hand was found in the picture",
    "no_whole_hand": "a part of the hand is missing from the picture",
    "two_hands": "there is more than one hand in the picture",
    "too_low_resolution": "the hand has too few pixels to be read",
    "implausible_key_points": "fingertips, knuckles and wrist were not found where a hand has them",
    "mask_touches_top": "the fingers are cut by the edge of the picture",
}
"""Reason -> one line for a person."""
