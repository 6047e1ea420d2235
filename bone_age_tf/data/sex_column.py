"""A column of a label table that tells the sex, read as a whole: some letters depend on the others.

H and M are hombre and mujer, F and H femme and homme; V and M are varón and mujer, or vrouw and man. Nothing is
guessed: where the column does not decide, the user does, by `--sex-map`.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping

from bone_age_tf.config.sex_words import EXPECTED, plain, sex_of_word
from bone_age_tf.sex import Sex, sex_from_label

HEADERS = (
    *("male", "sex", "female", "gender"),
    *("geschlecht", "sexo", "género", "genero", "sexe", "genre", "sesso", "genere", "geslacht"),
)
"""Known headers, in lower case; the first that a table has is taken."""
_TRUE = {"true", "1", "1.0", "wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar"}
_FALSE = {"false", "0", "0.0", "falsch", "faux", "falso", "onwaar"}

_M_MAY_BE_FEMALE = {"hombre", "mujer", "varon", "homem", "mulher"}
"""Words beside which M may be mujer or mulher, unless F stands there, too."""
_SPANISH_HEADERS = {"sexo", "genero"}
_DUTCH_HEADER = "geslacht"


@dataclasses.dataclass(frozen=True)
class SexColumn:
    """How the cells of a column are read."""

    header: str
    seen: frozenset[str]
    """All words in it, as `plain` writes them."""
    sex_map: Mapping[str, str]
    """What the user says of words: F, M or unknown. It goes before all that is known."""

    @classmethod
    def of(
        cls, header: str, cells: Iterable[str], sex_map: Mapping[str, str] | None = None
    ) -> "SexColumn":
        """Of a column with these cells."""
        meant = {_key(word): sex for word, sex in (sex_map or {}).items()}
        return cls(header.strip(), frozenset(map(plain, cells)) - {""}, meant)

    def sex_of(self, cell: str) -> Sex | None:
        """The sex, None where the cell is empty or does not tell it for certain."""
        word = plain(cell)
        label = self.sex_map.get(_key(cell)) or self._known(word)
        return None if label is None else sex_from_label(label)

    def fault(self, cell: str) -> str:
        """Why `sex_of` gives None, and what to do."""
        word, where = plain(cell), f"the sex {cell!r} in column {self.header!r}"
        if not word:
            return "the sex is empty; expected F, M or unknown"
        if re.fullmatch(r"\d+(\.0+)?", word) or word in _TRUE | _FALSE:
            return (
                f"{where} is a code that does not name a sex. Rename the header to male or female, whichever "
                "1 stands for, or give the meaning, as in --sex-map 0=F,1=M"
            )
        if word in {"m", "h", "v", "u"}:
            return (
                f"{where} has different meanings in different languages, as M in H and M (hombre, mujer) and "
                "in F and M. Give the meaning, as in --sex-map H=M,M=F"
            )
        return (
            f"{where} is not known; expected {EXPECTED}. Give the meaning, as in --sex-map {cell}=F"
        )

    def _known(self, word: str) -> str | None:
        named = self._named_by_header()
        if named and word in _TRUE | _FALSE:
            return named if word in _TRUE else {"F": "M", "M": "F"}[named]
        if word == "h":
            return "M" if "f" in self.seen and "m" not in self.seen else None
        if word == "v":
            return "F" if plain(self.header) == _DUTCH_HEADER else None
        if (word == "m" and self._m_may_be_female()) or (word == "u" and "d" in self.seen):
            return None
        return sex_of_word(word)

    def _named_by_header(self) -> str | None:
        """F or M below a header that is one of its words, such as `male`; None below any other."""
        header = plain(self.header).removeprefix("is_").removeprefix("is ")
        label = sex_of_word(header) if len(header) > 1 else None
        return label if label in ("F", "M") else None

    def _m_may_be_female(self) -> bool:
        header = plain(self.header)
        if "h" in self.seen or ("v" in self.seen and header != _DUTCH_HEADER):
            return True
        alone = header in _SPANISH_HEADERS and self.seen == {"m"}
        return alone or ("f" not in self.seen and bool(self.seen & _M_MAY_BE_FEMALE))


def _key(word: str) -> str:
    """A word of a map or cell: Excel and pandas may write the code 1 as 1.0."""
    return re.sub(r"^(\d+)\.0+$", r"\1", plain(word))
