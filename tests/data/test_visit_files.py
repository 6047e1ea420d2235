import shutil
from pathlib import Path
from typing import Any

from conftest import draw_phantom, encode

from bone_age_tf.data.visit_files import locate, needs_model, with_file_faults
from bone_age_tf.growth.visits import Visit, VisitFault


def visit(row: int, file: str, **told: Any) -> Visit:
    return Visit(row, "a", file=file, **told)


def folder_of(tmp_path: Path) -> str:
    (tmp_path / "hands").mkdir()
    for number in (1, 2):
        content = encode(draw_phantom(100 + number, number))
        (tmp_path / f"hands/h{number}.png").write_bytes(content)
    shutil.copy(tmp_path / "hands/h1.png", tmp_path / "hands/copy.png")
    return str(tmp_path / "visits.csv")


def test_paths_are_below_the_folder_of_the_table(tmp_path: Path) -> None:
    table = folder_of(tmp_path)
    visits = [visit(2, "hands/h1.png"), visit(3, "hands\\h2.png"), visit(4, "h1.png"), visit(5, "")]
    found = locate(visits, table, None)
    assert {row: file.name for row, file in found.items()} == {2: "h1.png", 3: "h2.png"}


def test_names_are_joined_with_a_folder_or_zip(tmp_path: Path) -> None:
    table = folder_of(tmp_path)
    visits = [visit(2, "h1"), visit(3, "elsewhere/h2.png"), visit(4, "gone")]
    zipped = shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "hands")
    for radiographs in (str(tmp_path / "hands"), zipped):
        found = locate(visits, table, radiographs)
        assert {row: file.stem for row, file in found.items()} == {2: "h1", 3: "h2"}


def test_only_rows_with_nothing_but_a_file_need_the_model() -> None:
    assert needs_model(visit(2, "h1"))
    assert not needs_model(visit(2, ""))
    assert not needs_model(visit(2, "h1", bone_age_months=100.0))
    assert not needs_model(visit(2, "h1", faults=(VisitFault("bad_age", "x"),)))
    assert not needs_model(visit(2, "h1", faults=(VisitFault("bad_sex", "x", is_fatal=True),)))


def test_the_same_radiograph_in_two_rows_is_that_of_none(tmp_path: Path) -> None:
    table = folder_of(tmp_path)
    names = ("hands/h1.png", "hands/copy.png", "hands/h2.png", "hands/../hands/h2.png")
    visits = [visit(row, name) for row, name in enumerate(names, start=2)]
    visits[3] = visit(5, names[3], bone_age_months=100.0)
    found = with_file_faults(visits, locate(visits, table, None), None)
    assert [[fault.code for fault in one.faults] for one in found] == [
        ["same_picture"],
        ["same_picture"],
        ["same_picture"],
        [],
    ]
    assert "row 3" in found[0].faults[0].message
    assert "row 5" in found[2].faults[0].message


def test_a_file_that_is_missing_is_said_without_its_name(tmp_path: Path) -> None:
    (found,) = with_file_faults([visit(2, "gone.png")], {}, None)
    assert (found.status, found.faults[0].code) == ("incomplete", "no_image")
    assert "gone" not in found.faults[0].message
    (found,) = with_file_faults([visit(2, "gone.png", bone_age_months=100.0)], {}, None)
    assert found.faults == ()


def test_a_name_that_the_system_refuses_is_a_missing_file(tmp_path: Path) -> None:
    table = folder_of(tmp_path)
    visits = [visit(2, "x" * 300 + ".png"), visit(3, "a\0.png"), visit(4, "hands/h1.png")]
    found = locate(visits, table, None)
    assert list(found) == [4]
    codes = [[fault.code for fault in one.faults] for one in with_file_faults(visits, found, None)]
    assert codes == [["no_image"], ["no_image"], []]


def test_a_path_may_be_absolute(tmp_path: Path) -> None:
    table = folder_of(tmp_path)
    found = locate([visit(2, str(tmp_path / "hands/h1.png"))], str(tmp_path / "x/v.csv"), None)
    assert found[2].path == str(Path(table).parent / "hands/h1.png")
