"""Which files of two folders are the same radiograph, and which radiographs are sampled."""

from pathlib import Path

import numpy as np
import pytest
from conftest import encode
from dicom_files import dicom_of

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.dicom_headers import read_headers
from bone_age_tf.errors import InputDataError
from bone_age_tf.evaluation.stress.samples import pair_files, read_samples
from bone_age_tf.files.images import SourceFile

GREY = np.full((80, 70), 30_000, np.uint16)


def paired(first: dict[str, bytes], second: dict[str, bytes], at: Path) -> dict[str, str]:
    """Names of the pairs among files with these contents."""
    sides: list[list[SourceFile]] = []
    for name, files in (("first", first), ("second", second)):
        for file, content in files.items():
            path = at / name / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        sides.append([SourceFile(file, str(at / name / file)) for file in files])
    pairs = pair_files(sides[0], sides[1], read_headers([*sides[0], *sides[1]]))
    return {one.name: other.name for one, other in pairs.items()}


def names(*files: str) -> dict[str, bytes]:
    return dict.fromkeys(files, encode(np.full((80, 70), 90, np.uint8)))


def test_files_of_one_name_are_a_pair_whatever_the_ending(tmp_path: Path) -> None:
    first, second = names("a.png", "b.png", "x/c.png"), names("a.jpg", "y/c.tif", "d.png")
    assert paired(first, second, tmp_path) == {"a.png": "a.jpg", "x/c.png": "y/c.tif"}


def test_a_name_in_several_folders_is_joined_by_its_path(tmp_path: Path) -> None:
    first, second = names("p1/hand.png", "p2/hand.png"), names("p2/hand.png", "p3/hand.png")
    assert paired(first, second, tmp_path) == {"p2/hand.png": "p2/hand.png"}


def test_dicom_files_are_joined_by_what_their_headers_share(tmp_path: Path) -> None:
    by_number = {"AccessionNumber": "77", "PatientID": "p1", "StudyDate": "20240131"}
    by_patient = {"AccessionNumber": "", "PatientID": "p2", "StudyDate": "20240201"}
    first = {"1.2.3": dicom_of(GREY, **by_number), "1.2.4": dicom_of(GREY, **by_patient)}
    second = {"9.1": dicom_of(GREY, **by_patient), "9.2": dicom_of(GREY, **by_number)}
    assert paired(first, second, tmp_path) == {"1.2.3": "9.2", "1.2.4": "9.1"}


def test_one_name_of_two_patients_is_no_pair(tmp_path: Path) -> None:
    told = {"AccessionNumber": "", "StudyDate": "20240131"}
    first = {"IM0001": dicom_of(GREY, PatientID="p1", **told)}
    second = {"IM0001": dicom_of(GREY, PatientID="p2", **told)}
    assert paired(first, second, tmp_path) == {}
    assert paired(first, first, tmp_path) == {"IM0001": "IM0001"}


def test_two_radiographs_of_one_study_are_not_guessed(tmp_path: Path) -> None:
    told = {"AccessionNumber": "77", "PatientID": "p1", "StudyDate": "20240131"}
    first = {"a": dicom_of(GREY, **told), "b": dicom_of(GREY, **told)}
    second = {"c": dicom_of(GREY, **told), "d": dicom_of(GREY, **told)}
    assert paired(first, second, tmp_path) == {}


def test_folders_without_a_pair_are_an_error(tmp_path: Path) -> None:
    paired(names("a.png"), names("b.png"), tmp_path)
    with pytest.raises(
        InputDataError, match=r"None of the 1 radiographs .* among the 1 of --against"
    ):
        read_samples(
            [str(tmp_path / "first")],
            against=str(tmp_path / "second"),
            sex="F",
            labels=None,
            label_options=LabelOptions(),
        )


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    paired(names("a.png", "b.png", "c.png"), {}, tmp_path)
    (tmp_path / "labels.csv").write_text("id,sex,boneage\na,F,100\nb,X,90\n")
    samples, left_out = read_samples(
        [str(tmp_path / "first")],
        against=None,
        sex=None,
        labels=str(tmp_path / "labels.csv"),
        label_options=LabelOptions(),
    )
    assert [(one.id, one.sex, one.bone_age_months, one.age_months) for one in samples] == [
        ("a", "F", 100, 100)
    ]
    assert left_out == {"bad_label": 1, "no_sex": 1}
