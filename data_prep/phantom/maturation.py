"""When the bones of the hand appear, grow and fuse: `maturation.csv` as functions of bone age.

The table has a row for each ossification centre, ages in months for girls (`_f`) and boys (`_m`):

| column          | age at which                                                                       |
|-----------------|------------------------------------------------------------------------------------|
| `appears`       | the centre appears as a dot                                                        |
| `full_width`    | an epiphysis is as wide as its metaphysis; a carpal bone has its adult outline     |
| `caps`          | the edges of the epiphysis embrace the metaphysis                                  |
| `fusion_begins` | the growth plate begins to close, from its middle                                  |
| `fused`         | bone has replaced the plate                                                        |

`growth_exponent` bends a centre's growth: below 1 it grows fast at first. Correct a number in the
table and all phantoms change accordingly. Ages of appearance are published medians; the later ones are
taken from atlas descriptions and less precise.
"""

import csv
import dataclasses
import functools
import hashlib
import importlib.resources
import itertools
from collections.abc import Mapping

import numpy as np

TABLE = "maturation.csv"
AGES = ("appears", "full_width", "caps", "fusion_begins", "fused")
DOT = 0.16
"""Size of a centre when it first shows, as a fraction of its adult size."""
SCAR_MONTHS = 42.0
"""Time in which the line that a growth plate leaves fades."""
SCATTER_MONTHS = 0.7
SCATTER_PER_MONTH = 0.035
"""Standard deviation of one centre against the bone age of the whole hand: constant + share of it.

Less than the spread of bone age among healthy children of one age, as what all centres share is the
bone age itself. A guess: no published value was found.
"""


@dataclasses.dataclass(frozen=True)
class Centre:
    """One row of the table for one sex; ages in months, None where a bone has no such stage."""

    name: str
    appears: float
    full_width: float
    caps: float | None
    fusion_begins: float | None
    fused: float | None
    growth_exponent: float

    def __post_init__(self) -> None:
        ages = [getattr(self, stage) for stage in AGES]
        known = [age for age in ages if age is not None]
        if any(later <= earlier for earlier, later in itertools.pairwise(known)):
            raise ValueError(f"{self.name}: expected rising ages, received {known}.")
        if len(known) not in (2, len(AGES)) or None in ages[:2]:
            raise ValueError(f"{self.name}: expected {AGES[:2]} or all of {AGES}, received {ages}.")
        if self.growth_exponent <= 0:
            raise ValueError(f"{self.name}: growth_exponent must be positive.")


@dataclasses.dataclass(frozen=True)
class Stage:
    """Maturation of one centre; all numbers but `scar` are non-decreasing in bone age."""

    size: float
    """0: not there; `DOT`: a dot; 1: full width (epiphysis), adult outline (carpal)."""
    cap: float
    """0: flat edges; 1: embraces the metaphysis."""
    fusion: float
    """0: open growth plate; 1: closed."""
    scar: float
    """Strength of the line left by the growth plate: 1 when it has just closed, 0 when faded."""


def table_text() -> str:
    """The text of `maturation.csv`."""
    return (
        importlib.resources.files("bone_age_tf.data_prep.phantom")
        .joinpath(TABLE)
        .read_text("utf-8-sig")
    )


def table_sha256() -> str:
    """Identifies the maturation schedule of a phantom."""
    return hashlib.sha256(table_text().encode()).hexdigest()


@functools.cache
def centres(sex: str) -> Mapping[str, Centre]:
    """The table for `sex` (F or M), by name of the centre.

    Raises `ValueError` naming the missing column or the invalid row.
    """
    suffix = {"F": "_f", "M": "_m"}[sex]
    reader = csv.DictReader(table_text().splitlines())
    needed = {"centre", "growth_exponent", *(age + suffix for age in AGES)}
    if missing := needed - set(reader.fieldnames or ()):
        raise ValueError(f"{TABLE}: expected columns {sorted(missing)}, separated by commas.")
    return {row["centre"]: _centre(row, suffix) for row in reader}


def _centre(row: Mapping[str, str], suffix: str) -> Centre:
    ages = {age: float(row[age + suffix]) if row[age + suffix] else None for age in AGES}
    return Centre(row["centre"], growth_exponent=float(row["growth_exponent"]), **ages)  # type: ignore[arg-type]


def stages(
    bone_age_months: float, sex: str, scatter: Mapping[str, float] | None = None
) -> dict[str, Stage]:
    """The stage of every centre at a bone age.

    `scatter` says by how many standard deviations a centre is late in this child (0 where missing).
    """
    scatter = scatter or {}
    spread = SCATTER_MONTHS + SCATTER_PER_MONTH * bone_age_months
    return {
        name: _stage(centre, bone_age_months - scatter.get(name, 0.0) * spread)
        for name, centre in centres(sex).items()
    }


def _stage(centre: Centre, age: float) -> Stage:
    grown = np.clip((age - centre.appears) / (centre.full_width - centre.appears), 0, 1)
    size = DOT + (1 - DOT) * grown**centre.growth_exponent if age >= centre.appears else 0.0
    if centre.caps is None or centre.fusion_begins is None or centre.fused is None:
        return Stage(size=float(size), cap=0.0, fusion=0.0, scar=0.0)
    return Stage(
        size=float(size),
        cap=_ramp(age, centre.full_width, centre.caps),
        fusion=_ramp(age, centre.fusion_begins, centre.fused),
        scar=1 - _ramp(age, centre.fused, centre.fused + SCAR_MONTHS),
    )


def _ramp(age: float, start: float, end: float) -> float:
    return float(np.clip((age - start) / (end - start), 0, 1))


GROWN_UP_MONTHS = {"F": 138.0, "M": 162.0}
"""Bone age at which a hand has its adult proportions: about when its fingers stop growing fast."""
HAND_MILLIMETRES = {
    "F": ((0, 57), (12, 68), (60, 94), (120, 124), (156, 142), (192, 147)),
    "M": ((0, 58), (12, 69), (60, 95), (120, 124), (168, 150), (210, 163)),
}
"""(bone age in months, length of one hand unit in mm).

0.86 of the hand's length (wrist crease to middle fingertip), which grows from 7 cm in the first
year through 11 cm at 5 and 14.5 cm at 10 years to 17 (girls) or 19 cm (boys).
"""


def hand_unit_millimetres(bone_age_months: float, sex: str) -> float:
    """Mean distance from the capitate's centre to the tip of the middle finger's bone."""
    ages, lengths = zip(*HAND_MILLIMETRES[sex], strict=True)
    return float(np.interp(bone_age_months, ages, lengths))


def growth(bone_age_months: float, sex: str) -> float:
    """Share of the way from a newborn's proportions (0) to an adult's (1)."""
    return min(bone_age_months / GROWN_UP_MONTHS[sex], 1.0)
