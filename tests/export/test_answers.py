import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import draw_phantom, encode

from bone_age_tf.data.training_ages import TrainingAges
from bone_age_tf.errors import ArgumentTypeError, ArgumentValueError, BoneAgeError, InputDataError
from bone_age_tf.export.answers import answer_of
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.preprocessing import radiographs
from bone_age_tf.preprocessing.rejections import Rejection

HAND = draw_phantom(120, 1)
COLUMNS = [
    "file", "sex", "bone_age_months", "bone_age_low_months", "bone_age_high_months", "status", "reason", "warning",
]  # fmt: skip


@pytest.fixture(scope="module")
def model(exported: Path) -> ExportedModel:
    return ExportedModel.open(exported)


@pytest.fixture(scope="module")
def months(model: ExportedModel) -> float:
    """Of the hand as a PNG file, for F."""
    return model.predict(encode(HAND), sex="F").bone_age_months[0]


def test_the_ages_that_it_was_trained_on_are_known(model: ExportedModel) -> None:
    ages = model.training_ages
    assert ages is not None
    assert ages.counts.sum() == model.manifest["data"]["training"]


def test_one_file_is_one_row(model: ExportedModel, months: float, tmp_path: Path) -> None:
    (tmp_path / "hand.png").write_bytes(encode(HAND))
    for path in (tmp_path / "hand.png", str(tmp_path / "hand.png")):
        table = model.predict(path, sex="F")
        assert list(table.columns) == COLUMNS
        row = table.iloc[0]
        assert (row.file, row.sex, row.status, row.reason) == ("hand.png", "F", "ok", "")
        assert row.bone_age_months == months
    expected = model.months_of_prepared(model.prepare(encode(HAND))[np.newaxis], ["F"])
    assert months == expected[0]


@pytest.mark.parametrize(
    "pixels",
    [
        HAND,
        np.asfortranarray(HAND),
        HAND[:, ::-1][:, ::-1],
        HAND.astype(np.uint16) * 257,
        (HAND.astype(np.uint16) * 257).astype(">u2"),
    ],
    ids=["uint8", "by columns", "a view", "uint16", "big-endian"],
)
def test_an_array_is_answered_as_its_png(
    pixels: np.ndarray, model: ExportedModel, months: float
) -> None:
    assert model.predict(pixels, sex="F").bone_age_months[0] == months


def test_sixteen_bits_are_kept(model: ExportedModel) -> None:
    fine = (HAND.astype(np.uint32) * 250 + np.arange(HAND.shape[1])).astype(np.uint16)
    of_array, of_file = (model.predict(one, sex="M") for one in (fine, encode(fine)))
    assert of_array.bone_age_months[0] == of_file.bone_age_months[0]


def test_all_kinds_together_each_with_its_sex(
    model: ExportedModel, months: float, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.png", encode(HAND))
        archive.writestr("b.png", b"no picture")
    given = [HAND, tmp_path / "two.zip", encode(HAND)]
    table = model.predict(iter(given), sex=["F", "F", "unknown"])
    assert table.file.tolist() == ["0", "two.zip/a.png", "two.zip/b.png", "2"]
    assert table.sex.tolist() == ["F", "F", "F", "unknown"]
    assert table.status.tolist() == ["ok", "ok", "rejected", "ok"]
    np.testing.assert_allclose(table.bone_age_months[:2], months, atol=1e-3)
    assert table.reason[2].startswith("not_png_or_jpeg: ")
    assert np.isnan(table.bone_age_months[2])


def test_more_than_one_batch_keeps_the_order(
    model: ExportedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hands = [draw_phantom(40 + 30 * number, number) for number in range(5)]
    together = model.predict(hands, sex="M").bone_age_months
    monkeypatch.setattr(radiographs, "FILES_IN_PARALLEL", 2)
    np.testing.assert_allclose(model.predict(hands, sex="M").bone_age_months, together, atol=1e-3)
    alone = [model.predict(hand, sex="M").bone_age_months[0] for hand in hands]
    np.testing.assert_allclose(together, alone, atol=1e-3)


def test_a_rejected_radiograph_has_a_reason_and_no_number(model: ExportedModel) -> None:
    table = model.predict([np.zeros((99, 99), np.uint8), np.zeros((9, 99), np.uint8)], sex="F")
    assert table.status.tolist() == ["rejected"] * 2
    assert table.reason[0] == "blank: all pixels have nearly the same grey level"
    assert table.reason[1].startswith("too_small: ")
    assert (
        table[["bone_age_months", "bone_age_low_months", "bone_age_high_months"]]
        .isna()
        .all(axis=None)
    )


@pytest.mark.parametrize(
    ("given", "error", "received"),
    [
        (None, TypeError, "NoneType"),
        (3, TypeError, "int"),
        ([HAND, 3.5], TypeError, "radiograph 1: .*float"),
        (HAND / 255, TypeError, "float64"),
        (HAND > 9, TypeError, "bool"),
        (HAND.astype(np.int16), TypeError, "int16"),
        (np.stack([HAND] * 3, axis=-1), ValueError, r"\[340, 260, 3\]"),
        (HAND[0], ValueError, r"\[260\]"),
        (np.zeros((0, 9), np.uint8), ValueError, r"\[0, 9\]"),
        ([], ValueError, "none"),
    ],
)
def test_anything_else_is_an_error_that_says_what_was_expected(
    given: Any, error: type[Exception], received: str, model: ExportedModel
) -> None:
    with pytest.raises(error, match=received) as caught:
        model.predict(given, sex="F")
    assert isinstance(caught.value, BoneAgeError)
    assert isinstance(caught.value, ArgumentTypeError | ArgumentValueError)
    assert ": expected " in str(caught.value)
    assert "Received " in str(caught.value)


@pytest.mark.parametrize(
    ("sex", "error"),
    [("H", ValueError), (["F"], ValueError), (["F", 1], TypeError), (None, TypeError)],
)
def test_another_sex_is_an_error(sex: Any, error: type[Exception], model: ExportedModel) -> None:
    with pytest.raises(error, match="sex: expected F, M or unknown, .*Received"):
        model.predict([HAND, HAND], sex=sex)


def test_a_path_that_leads_nowhere_is_an_error(model: ExportedModel, tmp_path: Path) -> None:
    for path in (tmp_path / "none.png", tmp_path):
        with pytest.raises(InputDataError):
            model.predict(path, sex="F")


def test_a_model_without_intervals_has_no_ends() -> None:
    outputs = {"bone_age_months": 90.0, "bone_age_low_months": -1.0, "bone_age_high_months": -1.0}
    answer = answer_of("a.png", "F", outputs)
    assert answer.bone_age_months == 90
    assert answer.bone_age_low_months is answer.bone_age_high_months is None
    rejected = answer_of("a.png", "F", Rejection("blank", "one grey"))
    assert (rejected.bone_age_months, rejected.reason) == (None, "blank: one grey")


def outputs(months: float, high: float = -1.0) -> dict[str, float]:
    """Of a model, with or without an interval."""
    low = -1.0 if high < 0 else 0.0
    return {"bone_age_months": months, "bone_age_low_months": low, "bone_age_high_months": high}


@pytest.mark.parametrize(
    ("sex", "months", "high", "warning"),
    [
        ("F", 23.9, 45, "infant near_end_of_scale"),
        ("F", 24, 45, "near_end_of_scale"),
        ("M", 48, 70, ""),
        ("F", 120, 140, ""),
        ("F", 185, 203.9, ""),
        ("F", 185, 204, "mature"),
        ("M", 185, 215.9, ""),
        ("M", 204, 216, "near_end_of_scale mature"),
        ("unknown", 185, 204, "mature"),
        ("M", 216, -1, "near_end_of_scale mature"),  # without an interval, the estimate alone
    ],
)
def test_an_answer_near_an_end_says_so(sex: str, months: float, high: float, warning: str) -> None:
    everyone = np.repeat([0, 1], 170)
    ages = TrainingAges.of(everyone, np.tile(np.linspace(30, 209, 170), 2))
    assert answer_of("a.png", sex, outputs(months, high), ages).warning == warning


def test_without_training_ages_only_the_hand_gives_warnings() -> None:
    assert answer_of("a.png", "F", outputs(30)).warning == ""
    assert answer_of("a.png", "F", outputs(8)).warning == "infant"
    assert answer_of("a.png", "F", Rejection("blank", "one grey")).warning == ""
