"""Words of the sex that stand alone, and the map of the user's own."""

import pytest

from bone_age_tf.config.sex_words import parse_sex_map, require_sex_word, sex_of_word
from bone_age_tf.errors import UsageError


@pytest.mark.parametrize(
    ("word", "label"),
    [
        *[("F", "F"), ("M", "M"), ("unknown", "unknown"), ("m", "M"), (" Female ", "F")],
        *[("WEIBLICH", "F"), ("maennlich", "M"), ("Mujer", "F"), ("garçon", "M"), ("w", "F")],
        *[("H", None), ("V", None), ("", None), ("0", None), ("x", None)],
    ],
)
def test_a_word_alone_is_known_or_not_guessed(word: str, label: str | None) -> None:
    assert sex_of_word(word) == label


def test_a_word_that_is_not_known_is_an_error() -> None:
    assert require_sex_word("hombre") == "M"
    with pytest.raises(UsageError, match="--sex must be F, M or unknown.*'H'"):
        require_sex_word("H")


def test_a_map_has_words_and_their_meaning() -> None:
    assert parse_sex_map("w=F, m=M,?=unknown,1=girl") == {
        "w": "F", "m": "M", "?": "unknown", "1": "F"
    }  # fmt: skip


@pytest.mark.parametrize("text", ["", "w", "w=", "=F", "w=x", "w=F,m"])
def test_a_map_that_cannot_be_read_is_an_error(text: str) -> None:
    with pytest.raises(UsageError, match="--sex-map: expected WORD=F"):
        parse_sex_map(text)
