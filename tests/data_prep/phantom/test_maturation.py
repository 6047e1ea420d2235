"""The maturation schedule: published orders, girls earlier than boys, monotonic in bone age."""

import itertools

import numpy as np
import pytest

from bone_age_tf.data_prep.phantom import maturation
from bone_age_tf.data_prep.phantom.maturation import (
    Centre,
    centres,
    growth,
    hand_unit_millimetres,
    stages,
    table_text,
)
from bone_age_tf.data_prep.phantom.skeleton import ALL_BONES, CARPALS

APPEARS = {
    "capitate": ((1.5, 2.5), (3.5, 4.5)),
    "hamate": ((1.5, 2.5), (3.5, 4.5)),
    "radius": ((10, 10), (12, 14)),
    **{f"proximal_{ray}": ((10, 12), (15, 18)) for ray in (2, 3, 4, 5)},
    **{f"metacarpal_{ray}": ((13, 16), (19, 26)) for ray in (2, 3, 4, 5)},
    "distal_1": ((12, 12), (18, 18)),
    **{f"middle_{ray}": ((15, 22), (24, 40)) for ray in (2, 3, 4, 5)},
    **{f"distal_{ray}": ((18, 23), (29, 39)) for ray in (2, 3, 4, 5)},
    "metacarpal_1": ((19, 19), (32, 32)),
    "triquetrum": ((20.4, 24), (28.8, 36)),
    "lunate": ((31.2, 36), (48, 48)),
    **{name: ((47.5, 49.5), (66, 72)) for name in ("trapezium", "trapezoid", "scaphoid")},
    "ulna": ((60, 66), (72, 84)),
    "pisiform": ((96, 120), (120, 144)),
    "sesamoid": ((126, 132), (150, 156)),
}
"""Centre -> published range of the age of appearance in months, girls and boys."""
FUSED = {
    "distal": ((160, 164), (184, 188)),
    "metacarpal": ((174, 180), (198, 204)),
    "proximal": ((174, 180), (198, 204)),
    "radius": ((192, 204), (210, 228)),
}
SEXES = pytest.mark.parametrize("sex", ["F", "M"])


@SEXES
def test_carpal_bones_appear_in_the_published_order(sex: str) -> None:
    age = {name: centres(sex)[name].appears for name in CARPALS}
    first = ["capitate", "hamate", "triquetrum", "lunate"]
    late = ["trapezium", "trapezoid", "scaphoid"]
    assert sorted(age, key=age.__getitem__)[:4] == first
    assert all(age["lunate"] < age[name] < age["pisiform"] for name in late)
    assert max(age[name] for name in late) - min(age[name] for name in late) <= 12


@SEXES
def test_radius_comes_before_triquetrum_and_ulna_before_pisiform(sex: str) -> None:
    table = centres(sex)
    assert table["radius"].appears < table["triquetrum"].appears
    assert table["ulna"].appears < table["pisiform"].appears < table["sesamoid"].appears


@SEXES
def test_middle_finger_comes_first_and_little_finger_last(sex: str) -> None:
    table = centres(sex)
    for kind in ("proximal", "middle"):
        age = {ray: table[f"{kind}_{ray}"].appears for ray in (2, 3, 4, 5)}
        assert min(age, key=age.__getitem__) == 3
        assert max(age, key=age.__getitem__) == 5


@pytest.mark.parametrize("name", APPEARS)
def test_every_centre_appears_at_its_published_age(name: str) -> None:
    for sex, (earliest, latest) in zip("FM", APPEARS[name], strict=True):
        assert earliest <= centres(sex)[name].appears <= latest


def test_every_growth_plate_closes_at_its_published_age() -> None:
    for index, sex in enumerate("FM"):
        for name, centre in centres(sex).items():
            kind = name.split("_")[0]
            if kind in FUSED:
                earliest, latest = FUSED[kind][index]
                assert earliest <= centre.fused <= latest, name


@SEXES
def test_the_fifth_middle_phalanx_is_the_last_of_the_phalanges(sex: str) -> None:
    ages = {name: c.appears for name, c in centres(sex).items() if name[-1] in "2345"}
    phalanges = {name: age for name, age in ages.items() if not name.startswith("metacarpal")}
    assert max(phalanges, key=phalanges.__getitem__) == "middle_5"


@SEXES
def test_growth_plates_close_in_the_published_order(sex: str) -> None:
    table = centres(sex)
    groups = [
        [table[f"distal_{ray}"].fused for ray in (1, 2, 3, 4, 5)],
        [table[f"{kind}_{ray}"].fused for kind in ("proximal", "metacarpal") for ray in (2, 3, 4, 5)],
        [table[f"middle_{ray}"].fused for ray in (2, 3, 4, 5)],
        [table["ulna"].fused],
        [table["radius"].fused],
    ]  # fmt: skip
    for earlier, later in itertools.pairwise(groups):
        assert max(earlier) < min(later)


def test_girls_are_ahead_at_every_stage() -> None:
    for name, girl in centres("F").items():
        boy = centres("M")[name]
        for stage in ("appears", "full_width", "caps", "fusion_begins", "fused"):
            if getattr(girl, stage) is not None:
                assert getattr(girl, stage) < getattr(boy, stage), (name, stage)


@SEXES
def test_the_stages_of_one_centre_follow_each_other(sex: str) -> None:
    assert set(centres(sex)) == set(ALL_BONES)
    for centre in centres(sex).values():
        ages = [centre.appears, centre.full_width, centre.caps, centre.fusion_begins, centre.fused]
        known = [age for age in ages if age is not None]
        assert known == sorted(set(known)), centre.name


@SEXES
def test_nothing_runs_backwards_in_any_child(sex: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        scatter = {name: float(rng.uniform(-2, 2)) for name in ALL_BONES}
        before = stages(0, sex, scatter)
        for month in range(1, 241):
            now = stages(month, sex, scatter)
            for name, stage in now.items():
                assert stage.size >= before[name].size, (name, month)
                assert stage.cap >= before[name].cap, (name, month)
                assert stage.fusion >= before[name].fusion, (name, month)
            before = now


def test_known_ages_look_as_they_should() -> None:
    infant, child, adult = (stages(month, "F") for month in (6, 72, 216))
    assert {name for name in CARPALS if infant[name].size > 0} == {"capitate", "hamate"}
    assert child["pisiform"].size == 0 < child["scaphoid"].size < 1
    assert all(stage.size == 1 for stage in adult.values())
    assert all(
        stage.fusion == 1 for name, stage in adult.items() if name not in (*CARPALS, "sesamoid")
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"full_width": 10.0}, "rising"),
        ({"caps": None}, "or all of"),
        ({"growth_exponent": 0.0}, "positive"),
    ],
)
def test_a_row_that_cannot_be_is_rejected(changes: dict, named: str) -> None:
    good = {
        "appears": 10.0,
        "full_width": 60.0,
        "caps": 90.0,
        "fusion_begins": 150.0,
        "fused": 160.0,
    }
    with pytest.raises(ValueError, match=f"x: .*{named}"):
        Centre(**{"name": "x", **good, "growth_exponent": 0.5, **changes})


def test_a_table_without_its_columns_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    semicolons = table_text().replace(",", ";")
    monkeypatch.setattr(maturation, "table_text", lambda: semicolons)
    with pytest.raises(ValueError, match="separated by commas"):
        centres.__wrapped__("F")


def test_girls_have_adult_proportions_earlier() -> None:
    assert growth(0, "F") == growth(0, "M") == 0
    assert growth(140, "F") == 1 > growth(140, "M")


@SEXES
def test_hands_grow(sex: str) -> None:
    lengths = [hand_unit_millimetres(month, sex) for month in range(0, 241, 12)]
    assert lengths == sorted(lengths)
    assert hand_unit_millimetres(216, "M") > hand_unit_millimetres(216, "F")
