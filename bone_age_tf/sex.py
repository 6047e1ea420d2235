"""The sex of a child, as the model reads it and as files name it; without TensorFlow."""

import enum


class Sex(enum.IntEnum):
    """Sex as the model reads it; in files, options and signatures it is one of `SEX_NAMES`."""

    F = 0
    M = 1
    UNKNOWN = 2

    @property
    def label(self) -> str:
        """`F`, `M` or `unknown`."""
        return SEX_NAMES[self]


SEX_NAMES = ("F", "M", "unknown")


def sex_from_label(label: str) -> Sex:
    """The sex that one of `SEX_NAMES` stands for. Raises `ValueError` for any other text."""
    return Sex(SEX_NAMES.index(label))
