import pytest

from bone_age_tf.errors import ArgumentValueError
from bone_age_tf.growth.parental_height import (
    BRITISH_ADULTS,
    CONVENTIONS,
    Adults,
    mid_parental_height,
)


def _height(father: float, mother: float, sex: str, convention: str) -> float:
    target = mid_parental_height(father, mother, sex, convention=convention)
    assert target is not None
    return target.centimetres


def test_tanner_is_the_default() -> None:
    boy, girl = (mid_parental_height(180, 165, sex) for sex in ("M", "F"))
    assert boy is not None
    assert girl is not None
    assert (boy.low_cm, boy.centimetres, boy.high_cm) == (170.5, 179.0, 187.5)
    assert (girl.low_cm, girl.centimetres, girl.high_cm) == (157.5, 166.0, 174.5)
    assert (boy.convention, boy.title) == ("tanner", "Tanner 1970, 3rd to 97th centile")


@pytest.mark.parametrize(
    ("convention", "boy", "girl", "half_boy", "half_girl"),
    [
        ("luo", 45.99 + 0.78 * 172.5, 37.85 + 0.75 * 172.5, 10, 10),
        ("van_dommelen", 44.5 + 0.376 * 180 + 0.411 * 165, 47.1 + 0.334 * 180 + 0.364 * 165, 0, 0),
        ("hermanussen_cole", 178.86, 164.94, 11.2, 9.6),
        ("wright", 178.38, 164.53, 0, 0),
    ],
)
def test_the_other_conventions(
    convention: str, boy: float, girl: float, half_boy: float, half_girl: float
) -> None:
    for sex, height, half in (("M", boy, half_boy), ("F", girl, half_girl)):
        target = mid_parental_height(180, 165, sex, convention=convention)
        assert target is not None
        assert target.centimetres == pytest.approx(height, abs=0.01)
        assert target.convention == convention
        if not half:
            assert target.low_cm is target.high_cm is None
        else:
            ends = (target.low_cm, target.high_cm)
            assert ends == pytest.approx((height - half, height + half), abs=0.01)


@pytest.mark.parametrize("sex", ["F", "M"])
def test_children_of_extreme_parents_are_nearer_to_the_mean(sex: str) -> None:
    """Short parents, as in the complaint of a paediatrician about the plain convention, and tall ones."""
    for convention in ("luo", "hermanussen_cole", "van_dommelen", "wright"):
        assert _height(167, 151, sex, convention) > _height(167, 151, sex, "tanner")
        assert _height(198, 183, sex, convention) < _height(198, 183, sex, "tanner")


def test_average_parents_have_average_children() -> None:
    adults = BRITISH_ADULTS
    for convention in ("hermanussen_cole", "wright"):
        parents = (adults.men_mean_cm, adults.women_mean_cm)
        assert _height(*parents, "M", convention) == pytest.approx(177.3)
        assert _height(*parents, "F", convention) == pytest.approx(163.6)


def test_another_population_is_used_and_named() -> None:
    adults = Adults("somewhere", 170, 6, 158, 5)
    target = mid_parental_height(176, 158, "M", convention="hermanussen_cole", adults=adults)
    assert target is not None
    assert target.centimetres == pytest.approx(170 + 6 * 0.72 / 2)
    assert target.title == "Hermanussen and Cole, somewhere"


def test_an_unknown_sex_has_no_target_height() -> None:
    assert mid_parental_height(180, 165, "unknown") is None


@pytest.mark.parametrize(
    ("father", "mother", "words"),
    [
        (1.8, 165, "father_cm: .*looks like metres: that would be 180.0 cm"),
        (180, 65, "mother_cm: .*looks like inches: that would be 165.1 cm"),
        (5.9, 165, "father_cm: .*looks like feet"),
        (180, 0, "mother_cm: expected a height in centimetres, 90 to 260. Received 0"),
        (float("nan"), 165, "father_cm: expected a number"),
    ],
)
def test_other_units_are_named(father: float, mother: float, words: str) -> None:
    with pytest.raises(ArgumentValueError, match=words):
        mid_parental_height(father, mother, "F")


def test_an_unknown_convention_is_named() -> None:
    assert len(CONVENTIONS) == 5
    with pytest.raises(
        ArgumentValueError, match="expected one of tanner, luo, .* Received 'usual'"
    ):
        mid_parental_height(180, 165, "F", convention="usual")
