"""Rows of a table find the DICOM file whose header has what they say, or it is said why not."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_files import dicom_of

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.dicom_joining import date_in
from bone_age_tf.data.file_labels import join_table, without_file
from bone_age_tf.data.joining import How, Match
from bone_age_tf.data.label_table import LabelTable, read_table
from bone_age_tf.data.problems import Problem
from bone_age_tf.dicom.reader import Header, read_header
from bone_age_tf.files.images import SourceFile

READ = read_header(dicom_of(np.zeros((64, 64), np.uint8)))


def header(uid: str = "", accession: str = "", patient: str = "", date: str = "") -> Header:
    assert isinstance(READ, Header)
    return dataclasses.replace(
        READ,
        sop_instance_uid=uid,
        accession_number=accession,
        patient_id=patient,
        study_date=date,
    )


FILES = {
    SourceFile("IM1", "f/IM1"): header("1.2.1", "A1", "P1", "20240131"),
    SourceFile("IM2", "f/IM2"): header("1.2.2", "A2", "P1", "20250131"),
    SourceFile("deep/IM3", "f/deep/IM3"): header("1.2.3", "A3", "P2", "20240131"),
    SourceFile("IM4", "f/IM4"): header("1.2.4", "A3", "P2", "20240131"),
    SourceFile("IM5", "f/IM5"): header("1.2.5", "007", "0042", "20240301"),
    SourceFile("IM6", "f/IM6"): header("1.2.6"),
}
NAMES = [file.name for file in FILES]


def table(folder: Path, content: str, **options: Any) -> LabelTable:
    (folder / "t.csv").write_text(content)
    return read_table(SourceFile("t.csv", str(folder / "t.csv")), LabelOptions(**options))


def joined(of: LabelTable, *more: str) -> list[Match]:
    files = [*FILES, *(SourceFile(name, f"f/{name}") for name in more)]
    return list(join_table(of, files, FILES).values())


def found(of: LabelTable, *more: str) -> list[str | None]:
    """The name of each row's file."""
    names = [*NAMES, *more]
    return [None if m.place is None else names[m.place] for m in joined(of, *more)]


def problems(of: LabelTable) -> list[Problem]:
    return without_file(of, join_table(of, list(FILES), FILES), list(FILES), FILES)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("SOP Instance UID,sex\n1.2.2,F\n1.2.9,F\n", ["IM2", None]),
        ("SOPInstanceUID;sex\n1.2.6;F\n", ["IM6"]),
        ("Accession Number,sex\nA2,F\nA1,M\nA9,M\n", ["IM2", "IM1", None]),
        ("id,sex\nA2,F\n1.2.1,M\nIM6,F\n", ["IM2", "IM1", "IM6"]),
        ("id,AccessionNumber,sex\nchild 1,A2,F\nchild 2,,F\n", ["IM2", None]),
        ("id,Accession Number,SOP Instance UID,sex\nx,A3,1.2.3,F\n", ["deep/IM3"]),
        ("Patient ID,Study Date,sex\nP1,2025-01-31,F\nP1,31.01.2024,F\n", ["IM2", "IM1"]),
        ("PatientID,Study_Date,sex\nP1,20240131,F\nP1,20240201,F\n", ["IM1", None]),
        ("id,Study Date,sex\nP1,2024-01-31 00:00:00,F\n", ["IM1"]),
        ("Patient ID,sex\nP1,F\nP2,F\n0042,F\n", [None, None, None]),
        ("id,sex\nIM3,F\ndeep/IM3.dcm,M\n", ["deep/IM3", "deep/IM3"]),
    ],
)
def test_a_row_finds_its_file(content: str, expected: list[str | None], tmp_path: Path) -> None:
    assert found(table(tmp_path, content)) == expected


def test_several_radiographs_of_one_accession_are_joined_with_none(tmp_path: Path) -> None:
    of = table(tmp_path, "Accession Number,sex\nA3,F\n")
    (match,) = joined(of)
    assert (match.how, match.place, match.others) == (How.SHARED, None, (2, 3))
    (problem,) = problems(of)
    assert problem.code == "two_images"
    assert problem.message.startswith("2 radiographs have this Accession Number: name the right")
    assert not any(name in problem.message for name in (*NAMES, "1.2.3", "P2"))
    (match,) = joined(table(tmp_path, "Patient ID,Study Date,sex\nP2,2024-01-31,F\n"))
    assert (match.how, match.others) == (How.SHARED, (2, 3))


def test_other_objects_of_a_study_do_not_make_its_radiograph_unclear(tmp_path: Path) -> None:
    """As reports, presentation states and images For Processing, which have its Accession Number."""
    report = dataclasses.replace(header("1.2.7", "A1", "P1", "20240131"), sop_class="1.2.840.1")
    chest = dataclasses.replace(header("1.2.8", "A8"), body_part="CHEST")
    files = {**FILES, SourceFile("SR", "f/SR"): report, SourceFile("CR", "f/CR"): chest}
    of = table(tmp_path, "Accession Number,Patient ID,Study Date,sex\nA1,P1,2024-01-31,F\nA8,,,F\n")
    matches = join_table(of, list(files), files)
    assert [match.place for match in matches.values()] == [0, 7]


def test_the_name_of_a_file_goes_first_in_its_column_only(tmp_path: Path) -> None:
    """`A2` is the name of one file, and the Accession Number of another."""
    assert found(table(tmp_path, "id,sex\nA2,F\n"), "A2.png") == ["A2.png"]
    assert found(table(tmp_path, "Accession Number,sex\nA2,F\nA8,F\n"), "A2.png", "A8.png") == [
        "IM2",
        "A8.png",
    ]
    of = table(tmp_path, "id,Accession Number,sex\nIM1,A1,F\nIM2,A1,F\nIM6,A9,F\n")
    assert [match.how for match in joined(of)] == [How.NAME, How.CONTRADICTION, How.NAME]
    (problem,) = problems(of)
    assert (problem.row, problem.code) == (3, "ambiguous_id")
    assert "2 different DICOM files, by file name, Accession Number" in problem.message


def test_columns_that_contradict_each_other_join_nothing(tmp_path: Path) -> None:
    of = table(tmp_path, "id,Accession Number,Patient ID,Study Date,sex\nx,A1,P1,2025-01-31,F\n")
    assert [(match.how, match.others) for match in joined(of)] == [(How.CONTRADICTION, (0, 1))]
    of = table(tmp_path, "id,Accession Number,Patient ID,Study Date,sex\nx,A1,pseudonym,,F\n")
    assert found(of) == ["IM1"]


def test_two_rows_of_one_file_join_neither(tmp_path: Path) -> None:
    of = table(tmp_path, "id,sex\nA1,F\n1.2.1,M\nA2,F\n")
    assert [match.how for match in joined(of)] == [How.TWO_ROWS, How.TWO_ROWS, How.HEADER]
    assert {problem.code for problem in problems(of)} == {"ambiguous_id"}


def test_leading_zeros_are_joined_where_no_other_may_be_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "bone_age_tf")
    assert found(table(tmp_path, "Accession Number,sex\n7,F\n")) == ["IM5"]
    assert found(table(tmp_path, "Patient ID,Study Date,sex\n42,2024-03-01,F\n")) == ["IM5"]
    (first, second) = caplog.messages
    assert first == second
    assert "1 identifiers and file names were joined" in first
    assert not any(text in first for text in ("IM5", "007", "42"))
    of = table(tmp_path, "Accession Number,sex\n7,F\n007,F\n")
    assert [match.how for match in joined(of)] == [How.ZEROS_UNCLEAR, How.HEADER]
    (match,) = joined(table(tmp_path, "id,sex\n7,F\n"), "07.png")
    assert (match.how, match.others) == (How.SHARED, (4, 6))


def test_a_study_date_with_two_readings_is_not_guessed(tmp_path: Path) -> None:
    of = table(tmp_path, "Patient ID,Study Date,sex\n0042,01/03/2024,F\nP1,31/01/2024,F\nP2,,F\n")
    assert found(of) == [None, "IM1", None]
    first, second = problems(of)
    assert {first.code, second.code} == {"bad_study_date"}
    assert "'01/03/2024'" in first.message
    assert "2024-01-31" in first.message


def test_messages_about_the_names_of_dicom_files_do_not_tell_them(tmp_path: Path) -> None:
    files = {SourceFile(f"{name}.dcm", f"f/{name}.dcm"): header() for name in ("0314", "00314")}
    more = {SourceFile(f"{name}/Jane.dcm", f"f/{name}/Jane.dcm"): header() for name in "ab"}
    of = table(tmp_path, "id,sex\n314,F\nJane,F\nc/Jane,F\n")
    every = {**files, **more}
    found = without_file(of, join_table(of, list(every), every), list(every), every)
    assert [problem.code for problem in found] == ["ambiguous_id", "two_images", "no_image"]
    assert not any(word in problem.message for problem in found for word in ("314", "Jane"))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("20240131", "20240131"),
        ("2024-01-31", "20240131"),
        ("2024/1/31", "20240131"),
        ("2024.01.31", "20240131"),
        ("2024-01-31 10:22:00", "20240131"),
        ("31.1.2024", "20240131"),
        ("05.06.2024", "20240605"),
        ("05/06/2024", None),
        ("05/05/2024", "20240505"),
        ("1/31/2024", "20240131"),
        ("31-01-2024", "20240131"),
        ("31.02.2024", None),
        ("20241301", None),
        ("2024013", None),
        ("31.01.24", None),
        ("", None),
    ],
)
def test_dates(cell: str, expected: str | None) -> None:
    assert date_in(cell) == expected


def test_a_patient_with_several_rows_has_an_identifier_for_each(tmp_path: Path) -> None:
    of = table(tmp_path, "Patient ID,Study Date,sex\nP1,2024-01-31,F\nP1,2025-01-31,F\n")
    assert of.ids().tolist() == ["P1 2024-01-31", "P1 2025-01-31"]
    of = table(tmp_path, "Patient ID,Study Date,sex\nP1,2024-01-31,F\nP2,2024-01-31,F\n")
    assert of.ids().tolist() == ["P1", "P2"]


def test_without_dicom_nothing_changes(tmp_path: Path) -> None:
    of = table(tmp_path, "id,Accession Number,sex\na,A1,F\nlost,A2,F\n")
    files = [SourceFile("a.png", "a.png")]
    matches = join_table(of, files)
    assert [(match.how, match.place) for match in matches.values()] == [
        (How.NAME, 0),
        (How.NONE, None),
    ]
    (problem,) = without_file(of, matches, files)
    assert problem.message == "no image; expected a file named lost.png, .jpg, .tif or alike"


def test_a_column_with_accession_numbers_of_another_name_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    joined(table(tmp_path, "id,order,sex\n1,A1,F\n2,A2,F\n"))
    assert "'order' does, in 2 rows: pass --id-column 'order'" in caplog.text
    assert found(table(tmp_path, "id,order,sex\n1,A1,F\n", id_column="order")) == ["IM1"]
