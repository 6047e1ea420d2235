"""Tables are read as text, without type inference."""

from pathlib import Path

import openpyxl
import pytest

from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile
from bone_age_tf.files.tables import EXCEL_ERROR, Table, read_text_table


def read(path: Path, content: str) -> Table:
    path.write_text(content, newline="")
    return read_text_table(SourceFile(path.name, str(path)))


def test_every_cell_stays_the_text_that_it_is(tmp_path: Path) -> None:
    words = ["007", "NA", "nan", "1e3", "True", "2024-01-02", "None", "94,5"]
    table = read(tmp_path / "t.csv", "id;word\n" + "".join(f"{w};{w}\n" for w in words))
    assert table.columns == ("id", "word")
    assert table.rows["id"].tolist() == table.rows["word"].tolist() == words


def test_the_index_is_the_row_number_of_a_spreadsheet(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", 'id,note\n1,"two\nlines"\n\n , \n4,\n\n')
    assert table.rows.index.tolist() == [2, 5]
    assert table.rows["note"].tolist() == ["two\nlines", ""]


def test_columns_without_a_name_are_left_out(tmp_path: Path) -> None:
    """Such as the index that pandas writes."""
    table = read(tmp_path / "t.csv", ",id,,sex\n0,a,x,F\n1,b\n")
    assert table.columns == ("id", "sex")
    assert table.rows.to_numpy().tolist() == [["a", "F"], ["b", ""]]


@pytest.mark.parametrize("content", ["", "\n", "\nid,sex\n1,F\n", " , \n1,2\n"])
def test_a_table_without_names_of_columns_is_rejected(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputDataError, match=r"t\.csv: expected the names of the columns"):
        read(tmp_path / "t.csv", content)


def test_excel_cells_become_text_and_errors_are_not_empty(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["id", "age", "male"], [12.0, 94.5, True], [None] * 3, [" a ", "NA", "#N/A"]):
        book.active.append(row)
    book.active["C4"].data_type = "e"
    book.save(tmp_path / "t.xlsx")
    rows = read_text_table(SourceFile("t.xlsx", str(tmp_path / "t.xlsx"))).rows
    assert rows.index.tolist() == [2, 4]
    assert rows.to_numpy().tolist() == [["12", "94.5", "True"], ["a", "NA", EXCEL_ERROR]]


def test_columns_that_pandas_named_have_no_name(tmp_path: Path) -> None:
    """`Unnamed: 0`: an index that was written and read again."""
    table = read(tmp_path / "t.csv", "Unnamed: 0,id,Unnamed: 2,sex\n0,a,x,F\n")
    assert table.columns == ("id", "sex")
    assert table.has_nameless


def test_separators_at_the_end_of_every_row_are_no_column(tmp_path: Path) -> None:
    table = read(tmp_path / "t.csv", "id;sex;;\na;F;;\n")
    assert (table.columns, table.has_nameless) == (("id", "sex"), False)


@pytest.mark.parametrize(
    ("content", "row"),
    [
        ("Bone age study 2024\nid,sex\na,F\n", 2),
        ("Bone age study 2024,,\n,,\nid,sex,age\na,F,9\n", 3),
        ("Study; of 2024\nClinic X\nid;sex;age\na;F;9\n", 3),
        ("\n\nid\tsex\na\tF\n", 3),
        ("Studie\n\nBild;Alter\n1;9\n", 3),
        ("sep=;\rid;sex\r1;F\r", 2),
    ],
)
def test_a_header_below_a_title_is_named(content: str, row: int, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(content, newline="")
    with pytest.raises(InputDataError, match=rf"t\.csv: .*seem to be in row {row} .*Delete"):
        read_text_table(SourceFile(path.name, str(path)), {"id", "sex"})


def test_a_header_below_a_title_in_excel_is_named(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["Study"], [], ["Bild", "Geschlecht"], [1, "w"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    with pytest.raises(InputDataError, match=r"row 3 \(Bild, Geschlecht\)"):
        read_text_table(SourceFile("t.xlsx", str(tmp_path / "t.xlsx")))


def test_a_first_row_with_a_known_name_is_the_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id\nid,sex\n")
    table = read_text_table(SourceFile("t.csv", str(tmp_path / "t.csv")), {"id", "sex"})
    assert table.rows["id"].tolist() == ["id"]


def test_unicode_text_of_excel_is_read(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_bytes("id\tsexo\n1\tniña\n".encode("utf-16"))
    table = read_text_table(SourceFile("t.txt", str(tmp_path / "t.txt")))
    assert table.rows.to_numpy().tolist() == [["1", "niña"]]


def test_an_old_excel_table_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "t.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(InputDataError, match="Save it as .xlsx or CSV"):
        read_text_table(SourceFile("t.xls", str(tmp_path / "t.xls")))
