"""The sex is read in the usual words of several languages, or not guessed."""

import pytest

from bone_age_tf.data.sex_column import SexColumn
from bone_age_tf.sex import Sex


@pytest.mark.parametrize(
    ("header", "cell", "sex"),
    [
        *[("male", cell, Sex.M) for cell in ("True", "TRUE", "true", "1", "1.0", "M", "male")],
        *[("male", cell, Sex.F) for cell in ("False", "FALSE", "0", "F", "female", "girl")],
        *[("female", cell, Sex.F) for cell in ("True", "1", "F")],
        *[("female", cell, Sex.M) for cell in ("False", "0", "M", "boy")],
        *[("Sex", cell, Sex.M) for cell in ("M", "m", "Male", "boy")],
        *[("Sex", cell, Sex.F) for cell in ("F", "f", "Female", "girl")],
        *[("Sex", cell, Sex.UNKNOWN) for cell in ("unknown", "U")],
        *[("sex", cell, None) for cell in ("1", "0", "True", "x", "", "mf", "2")],
        *[("male", cell, None) for cell in ("", "2", "yes", "nan")],
        *[("Geschlecht", cell, Sex.F) for cell in ("w", "W", "weiblich", "Weibl.", "Mädchen")],
        *[("Geschlecht", cell, Sex.M) for cell in ("männlich", "maennlich", "MÄNNLICH", "Junge")],
        *[("Geschlecht", cell, None) for cell in ("d", "divers", "wm")],
        *[("sexo", cell, Sex.F) for cell in ("Mujer", "Femenino", "niña", "Feminino", "Mulher")],
        *[("sexo", cell, Sex.M) for cell in ("Hombre", "Masculino", "varón", "Varon", "Homem")],
        *[("sexe", cell, Sex.F) for cell in ("femme", "Féminin", "fille")],
        *[("sexe", cell, Sex.M) for cell in ("homme", "masculin", "garçon")],
        *[("sesso", cell, Sex.F) for cell in ("femmina", "Femminile")],
        *[("sesso", cell, Sex.M) for cell in ("maschio", "Maschile")],
        *[("geslacht", cell, Sex.F) for cell in ("vrouw", "V", "meisje")],
        *[("geslacht", cell, Sex.M) for cell in ("man", "M", "jongen")],
        ("männlich", "WAHR", Sex.M),
        ("Weiblich", "0", Sex.M),
        ("is_male", "1", Sex.M),
    ],
)
def test_a_cell_is_read_or_not_guessed(header: str, cell: str, sex: Sex | None) -> None:
    assert SexColumn.of(header, [cell]).sex_of(cell) == sex


@pytest.mark.parametrize(
    ("header", "cells", "sexes"),
    [
        ("sexo", "HMH", [None, None, None]),
        ("sex", "HM", [None, None]),
        ("sexe", "HF", [Sex.M, Sex.F]),
        ("sexe", "MF", [Sex.M, Sex.F]),
        ("sexo", "MF", [Sex.M, Sex.F]),
        ("sexo", "MM", [None, None]),
        ("sexo", "VM", [None, None]),
        ("geslacht", "VM", [Sex.F, Sex.M]),
        ("Geschlecht", "wm", [Sex.F, Sex.M]),
        ("sesso", "UD", [None, None]),
        ("sex", "FMU", [Sex.F, Sex.M, Sex.UNKNOWN]),
        ("sexo", ["Hombre", "M"], [Sex.M, None]),
        ("sexo", ["Hombre", "M", "F"], [Sex.M, Sex.M, Sex.F]),
    ],
)
def test_a_letter_is_read_as_the_column_uses_it(
    header: str, cells: list[str], sexes: list[Sex | None]
) -> None:
    column = SexColumn.of(header, cells)
    assert [column.sex_of(cell) for cell in cells] == sexes


def test_the_map_goes_first_and_decides_only_its_own_words() -> None:
    column = SexColumn.of("sexo", ["H", "M"], {"h": "M"})
    assert [column.sex_of(cell) for cell in ("H", "M")] == [Sex.M, None]
    column = SexColumn.of("sexo", ["H", "M"], {"h": "M", "m": "F"})
    assert [column.sex_of(cell) for cell in ("H", "M")] == [Sex.M, Sex.F]
    column = SexColumn.of("sex", ["0", "1.0"], {"0": "F", "1": "M"})
    assert [column.sex_of(cell) for cell in ("0", "1.0")] == [Sex.F, Sex.M]


@pytest.mark.parametrize(
    ("header", "cells", "cell", "way_out"),
    [
        ("sex", ["0", "1"], "1", "Rename the header to male or female.*--sex-map 0=F,1=M"),
        ("sexo", ["H", "M"], "M", "--sex-map H=M,M=F"),
        ("sex", ["x"], "x", "'x' in column 'sex' is not known; expected F, M.*--sex-map x=F"),
    ],
)
def test_a_fault_names_the_way_out(header: str, cells: list[str], cell: str, way_out: str) -> None:
    with pytest.raises(ValueError, match=way_out):
        raise ValueError(SexColumn.of(header, cells).fault(cell))
