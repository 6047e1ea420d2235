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
