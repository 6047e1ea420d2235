"""Mid-parental height and target range, by a convention that is named with every answer.

| convention        | boys                               | girls                     | range    | regression to the mean |
|-------------------|------------------------------------|---------------------------|----------|------------------------|
| `tanner`          | (F + M + 13) / 2                   | (F + M - 13) / 2          | 8.5 cm   | no                     |
| `luo`             | 45.99 + 0.78 (F + M) / 2           | 37.85 + 0.75 (F + M) / 2  | 10 cm    | yes                    |
| `hermanussen_cole`| SDS = 0.72 x mean SDS of parents   | the same                  | 1.6 SD   | yes                    |
| `van_dommelen`    | 44.5 + 0.376 F + 0.411 M           | 47.1 + 0.334 F + 0.364 M  | none     | yes                    |
| `wright`          | SDS = 0.5 x mean SDS of parents    | the same                  | none     | yes                    |

F and M are the heights of father and mother in centimetres. Tanner 1970 is the default: it is the usual one, and can be checked by hand; but it
overdoes very tall and short pairs of parents, whose children are nearer to the mean. Its range, 3rd to 97th centile, is printed
as 10 or 5 cm, too. Luo et al. 1998 (Sweden); Hermanussen and Cole; van Dommelen et al. 2012 (Netherlands); Wright 1999 (United Kingdom).
For research and education. Not a medical device.
"""

import dataclasses

from bone_age_tf.errors import ArgumentValueError
from bone_age_tf.growth.inputs import ADULT_CM, centimetres_of, sex_of
from bone_age_tf.sex import Sex


@dataclasses.dataclass(frozen=True)
class Adults:
    """Mean and SD of the heights of the adults of a population, in centimetres."""

    population: str
    men_mean_cm: float
    men_sd_cm: float
    women_mean_cm: float
    women_sd_cm: float


BRITISH_ADULTS = Adults("British adults", 177.3, 7.0, 163.6, 6.0)
"""As in Cole and Wright, Ann Hum Biol 2011;38:662."""

TANNER, LUO, HERMANUSSEN_COLE = "tanner", "luo", "hermanussen_cole"
VAN_DOMMELEN, WRIGHT = "van_dommelen", "wright"
DEFAULT_CONVENTION = TANNER


@dataclasses.dataclass(frozen=True)
class Linear:
    """`constant + father x F + mother x M` in centimetres, for boys and for girls."""

    boys: tuple[float, float, float]
    girls: tuple[float, float, float]
    range_cm: float | None
    title: str


@dataclasses.dataclass(frozen=True)
class Score:
    """SD score of the child = `factor` x mean SD score of the parents."""

    factor: float
    range_sd: float | None
    title: str


CONVENTIONS: dict[str, Linear | Score] = {
    TANNER: Linear((6.5, 0.5, 0.5), (-6.5, 0.5, 0.5), 8.5, "Tanner 1970, 3rd to 97th centile"),
    LUO: Linear((45.99, 0.39, 0.39), (37.85, 0.375, 0.375), 10.0, "Luo 1998"),
    HERMANUSSEN_COLE: Score(0.72, 1.6, "Hermanussen and Cole"),
    VAN_DOMMELEN: Linear((44.5, 0.376, 0.411), (47.1, 0.334, 0.364), None, "van Dommelen 2012"),
    WRIGHT: Score(0.5, None, "Wright 1999"),
}


@dataclasses.dataclass(frozen=True)
class TargetHeight:
    """The adult height that the parents' heights suggest, in centimetres."""

    centimetres: float
    low_cm: float | None
    high_cm: float | None
    """Target range; None where the convention has none."""
    convention: str
    """A key of `CONVENTIONS`."""
    title: str
    """The convention by its authors, with what its range is, and the population it is scored by."""


def mid_parental_height(
    father_cm: float,
    mother_cm: float,
    sex: Sex | str,
    *,
    convention: str = DEFAULT_CONVENTION,
    adults: Adults = BRITISH_ADULTS,
) -> TargetHeight | None:
    """Mid-parental height of a girl or a boy; None for an unknown sex.

    `adults` is the population of the parents, for the conventions in SD scores (`hermanussen_cole`, `wright`).
    For research and education; not a medical device.

    Raises `ArgumentValueError` for an unknown convention, and where a height is impossible or in another unit.
    """
    rule = CONVENTIONS.get(convention)
    if rule is None:
        raise ArgumentValueError(
            f"convention: expected one of {', '.join(CONVENTIONS)}. Received {convention!r}."
        )
    father = centimetres_of("father_cm", father_cm, ADULT_CM)
    mother = centimetres_of("mother_cm", mother_cm, ADULT_CM)
    child = sex_of(sex)
    if child == Sex.UNKNOWN:
        return None
    if isinstance(rule, Linear):
        height, half, title = _linear(rule, father, mother, child)
    else:
        height, half, title = _score(rule, father, mother, child, adults)
    low, high = (None, None) if half is None else (height - half, height + half)
    return TargetHeight(height, low, high, convention, title)


def _linear(
    rule: Linear, father: float, mother: float, sex: Sex
) -> tuple[float, float | None, str]:
    constant, of_father, of_mother = rule.girls if sex == Sex.F else rule.boys
    return constant + of_father * father + of_mother * mother, rule.range_cm, rule.title


def _score(
    rule: Score, father: float, mother: float, sex: Sex, adults: Adults
) -> tuple[float, float | None, str]:
    of_father = (father - adults.men_mean_cm) / adults.men_sd_cm
    of_mother = (mother - adults.women_mean_cm) / adults.women_sd_cm
    mean, sd = adults.women_mean_cm, adults.women_sd_cm
    if sex == Sex.M:
        mean, sd = adults.men_mean_cm, adults.men_sd_cm
    half = None if rule.range_sd is None else rule.range_sd * sd
    title = f"{rule.title}, {adults.population}"
    return mean + sd * rule.factor * (of_father + of_mother) / 2, half, title
