"""The rows of a table for the files at hand."""

from pathlib import Path

import pytest

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.file_labels import FileLabels, read_file_labels
from bone_age_tf.errors import InputDataError
from bone_age_tf.files.images import SourceFile

UNLABELLED = LabelOptions(unlabelled=True)


def _files(*names: str) -> list[SourceFile]:
    return [SourceFile(name, f"hands/{name}") for name in names]


def _read(folder: Path, content: str, *names: str) -> FileLabels:
    (folder / "t.csv").write_text(content)
    return read_file_labels(str(folder / "t.csv"), UNLABELLED, _files(*names))


def test_rows_problems_and_rows_without_a_file_are_told_apart(tmp_path: Path) -> None:
    labels = _read(tmp_path, "id,sex\na,F\nb,x\nlost,M\n", "a.png", "b.png", "c.png")
    a, b, c = _files("a.png", "b.png", "c.png")
    assert [labels.rows[a].row, labels.problems[b].row] == [2, 3]
    assert c not in labels.rows
    assert c not in labels.problems
    assert [(problem.row, problem.code) for problem in labels.without_file] == [(4, "no_image")]
    assert [labels.ids[file] for file in (a, b, c)] == ["a", "b", "c"]


def test_a_file_that_a_row_might_mean_is_not_taken_for_one_without_a_row(tmp_path: Path) -> None:
    labels = _read(tmp_path, "id,sex\n12,F\n", "012.png", "0012.png")
    assert labels.rows == {}
    assert {problem.code for problem in labels.problems.values()} == {"ambiguous_id"}
    assert len(labels.problems) == 2


def test_the_column_that_names_the_files_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = "id,picture,sex\n901,a.png,F\n902,b.png,M\n"
    labels = _read(tmp_path, content, "a.png", "b.png")
    assert labels.rows == {}
    (message,) = caplog.messages
    assert (
        "'id' names no file, but 'picture' does, in 2 rows: pass --id-column 'picture'" in message
    )
    caplog.clear()
    _read(tmp_path, content, "c.png")
    assert caplog.messages == []


def test_a_table_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputDataError, match="cannot be used(.|\n)*no column for the sex"):
        _read(tmp_path, "id\na\n", "a.png")
