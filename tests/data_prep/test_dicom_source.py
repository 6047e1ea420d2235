"""`prepare` on folders that hold DICOM: joins, ids, patients, what headers say, and what is written."""

import csv
import io
import logging
import pickle
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_phantom, encode

pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
from dicom_files import dicom_of
from pydicom import dcmread
from pydicom.uid import UID, RLELossless

from bone_age_tf.config import LabelOptions, PrepareConfig, PreprocessingConfig
from bone_age_tf.data.manifest import load_data_set
from bone_age_tf.data.problems import Problem
from bone_age_tf.data_prep.checks import check
from bone_age_tf.data_prep.deidentification import deidentified
from bone_age_tf.data_prep.prepare import PrepareReport, prepare
from bone_age_tf.data_prep.rows import CheckedRow
from bone_age_tf.data_prep.sources import find_source
from bone_age_tf.data_prep.sources.source import Source
from bone_age_tf.dicom.salt import Salt
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.sex import Sex

DEFLATED = "1.2.840.10008.1.2.1.99"
SALT = "a salt of the tests, long enough"
ID = Salt(SALT.encode())


def _uid(number: int) -> str:
    return f"1.2.826.0.1.3680043.8.498.77.{number}"


def _dicom(number: int, **attributes: Any) -> bytes:
    """A drawn hand whose identity ends in a number."""
    picture = draw_phantom(60 + 10 * number, number)
    told = {
        "SOPInstanceUID": _uid(number),
        "PatientID": f"P-{number}",
        "AccessionNumber": f"ACC{number}",
        "StudyDate": f"202401{number + 1:02}",
    }
    return dicom_of(picture, **told | attributes)


def _encoded(number: int, transfer_syntax: str) -> bytes:
    """The same of the third patient in another transfer syntax."""
    dataset = dcmread(io.BytesIO(_dicom(number, PatientID="P-2")))
    if transfer_syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax)
    stream = io.BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()


def _write(folder: Path, files: Mapping[str, bytes], table: str = "") -> Path:
    """A folder of files, the salt of the tests beside it, and a label table."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder.parent / "out.salt").write_text(SALT)
    if table:
        (folder / "ages.csv").write_text(table)
    return folder


def _config(folder: Path, *, options: LabelOptions | None = None, **settings: Any) -> PrepareConfig:
    return PrepareConfig(
        source=str(folder),
        output=str(folder.parent / "out"),
        label_options=options or LabelOptions(),
        preprocessing=PreprocessingConfig(scale=0.05),
        jobs=2,
        **settings,
    )


def _check(
    folder: Path, options: LabelOptions | None = None
) -> tuple[Source, list[CheckedRow], list[Problem]]:
    config = _config(folder, options=options)
    source = deidentified(
        find_source(config), config, on_progress=lambda done, total: None, is_dry_run=True
    )
    rows, problems = check(source, config.label_options, limit=None, seed=0, jobs=2)
    return source, rows, problems


# === Joining with the table ===


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("SOP Instance UID", "1.2.826.0.1.3680043.8.498.77.{0}"),
        ("Accession Number", "ACC{0}"),
        ("Patient ID,Study Date", "P-{0},2024-01-0{1}"),
        ("file", "IM{0}"),
        ("file", "study{0}/IM{0}.dcm"),
        ("id", "ACC{0}"),
    ],
)
def test_rows_find_their_files_and_are_called_by_salted_ids(
    tmp_path: Path, header: str, row: str
) -> None:
    lines = [f"{row.format(n, n + 1)},{100 + n}" for n in range(3)]
    files = {f"study{n}/IM{n}.dcm": _dicom(n) for n in range(3)}
    folder = _write(tmp_path / "raw", files, "\n".join([f"{header},boneage", *lines]))
    source, rows, problems = _check(folder)
    assert problems == []
    assert source.layout == "dicom"
    assert {row.id: row.label.bone_age_months for row in rows} == {
        ID.radiograph(_uid(n)): 100 + n for n in range(3)
    }
    assert {row.file.name for row in rows} == {row.id for row in rows}
    assert {row.label.group for row in rows} == {ID.patient(f"P-{n}") for n in range(3)}


def test_png_and_jpeg_beside_dicom_keep_their_names(tmp_path: Path) -> None:
    files = {
        "a/1": _dicom(1),
        "b/hand.png": encode(draw_phantom(90, 8)),
        "b/other.jpg": encode(draw_phantom(99, 9), ".jpg"),
    }
    table = f"id,sex,boneage\n{_uid(1)},F,100\nhand,F,101\nother,M,102\n"
    _, rows, problems = _check(_write(tmp_path / "raw", files, table))
    assert problems == []
    assert {row.id for row in rows} == {ID.radiograph(_uid(1)), "hand", "other"}
    assert {row.label.group for row in rows} == {ID.patient("P-1"), ""}


def test_kaggles_columns_with_dicom_files_are_their_layout(tmp_path: Path) -> None:
    files = {f"boneage-training-dataset/{n}.dcm": _dicom(n) for n in range(2)}
    table = "id,boneage,male\n0,100,False\n1,110,False\n"
    source, rows, problems = _check(_write(tmp_path / "raw", files, table))
    assert (source.layout, problems) == ("rsna", [])
    assert {row.id for row in rows} == {ID.radiograph(_uid(n)) for n in range(2)}


def test_a_zip_and_files_without_an_ending_are_read(tmp_path: Path) -> None:
    folder = _write(
        tmp_path / "raw", {"IM1": _dicom(1)}, "accession number,boneage\nACC1,90\nACC2,99"
    )
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("DOE_JANE/IM2", _dicom(2))
    _, rows, problems = _check(folder)
    assert problems == []
    assert {row.id for row in rows} == {ID.radiograph(_uid(n)) for n in (1, 2)}
    assert all(row.file.read() for row in pickle.loads(pickle.dumps(rows)))


# === What headers say ===


def test_sex_is_that_of_the_header_where_the_table_is_silent(tmp_path: Path) -> None:
    sexes = ["F", "M", "O", None, "O"]
    files = {f"{n}.dcm": _dicom(n, PatientSex=sex) for n, sex in enumerate(sexes)}
    lines = [f"{n},90,{'F' if n == 4 else ''}" for n in range(5)]
    folder = _write(tmp_path / "raw", files, "\n".join(["id,boneage,sex", *lines]))
    _, rows, problems = _check(folder)
    assert problems == []
    assert {row.label.row: row.label.sex for row in rows} == {
        **{2: Sex.F, 3: Sex.M, 4: Sex.UNKNOWN, 5: Sex.UNKNOWN, 6: Sex.F}
    }
    assert {row.label.row for row in rows if row.warnings == ("sex_other",)} == {4}


def test_sex_of_the_option_is_taken_where_table_and_header_are_silent(tmp_path: Path) -> None:
    files = {f"{n}.dcm": _dicom(n, PatientSex=sex) for n, sex in enumerate(["F", None])}
    folder = _write(tmp_path / "raw", files, "id,boneage\n0,90\n1,90")
    _, rows, problems = _check(folder, LabelOptions(sex="M"))
    assert problems == []
    found = {row.label.row: (row.label.sex, row.warnings) for row in rows}
    assert found == {2: (Sex.F, ("sex_differs",)), 3: (Sex.M, ())}


def test_sex_of_the_table_wins_and_the_contradiction_is_a_warning(tmp_path: Path) -> None:
    files = {f"{n}.dcm": _dicom(n, PatientSex="F") for n in range(3)}
    folder = _write(tmp_path / "raw", files, "id,sex,boneage\n0,M,90\n1,F,90\n2,,90")
    _, rows, problems = _check(folder)
    assert problems == []
    found = {row.label.row: (row.label.sex, row.warnings) for row in rows}
    assert found == {2: (Sex.M, ("sex_differs",)), 3: (Sex.F, ()), 4: (Sex.F, ())}


def test_png_without_a_sex_is_a_problem_beside_dicom(tmp_path: Path) -> None:
    files = {"1.dcm": _dicom(1), "2.png": encode(draw_phantom(90, 8))}
    folder = _write(tmp_path / "raw", files, "id,boneage\n1,90\n2,90")
    _, rows, problems = _check(folder)
    assert [(p.id, p.row, p.code) for p in problems] == [("2", 3, "missing_sex")]
    assert [row.label.row for row in rows] == [2]


def test_a_group_column_goes_before_patient_ids_and_is_salted(tmp_path: Path) -> None:
    files = {"1.dcm": _dicom(1), "2.dcm": _dicom(2), "3.png": encode(draw_phantom(90, 8))}
    table = "id,sex,boneage,child\n1,F,90,Jane\n2,F,91,\n3,F,92,Jane\n"
    _, rows, problems = _check(
        _write(tmp_path / "raw", files, table), LabelOptions(group_column="child")
    )
    assert problems == []
    jane = ID.patient("Jane")
    assert {row.label.row: row.label.group for row in rows} == {
        2: jane,
        3: ID.patient("P-2"),
        4: jane,
    }


# === Problems name no file and no identifier of the table ===


def test_problems_have_salted_ids_and_no_names(tmp_path: Path) -> None:
    files = {
        "DOE^JANE/1.dcm": _dicom(1),
        "DOE^JANE/2.dcm": _dicom(2)[:700],  # truncated
        "DOE^JANE/3.dcm": b"",
        "DOE^JANE/4.dcm": _dicom(4),
        "DOE^JANE/stray.dcm": _dicom(5),
        "DOE^JANE/copy/4.dcm": _dicom(4),
    }
    rows = [f"ACC{n},{'DOE' if n == 1 else 90}" for n in (1, 2, 4, 9, 9)]
    folder = _write(tmp_path / "raw", files, "\n".join(["accession number,boneage", *rows]))
    _, rows, problems = _check(folder)
    assert rows == []
    text = repr([(p.id, p.file, p.message) for p in problems]).replace("'DOE'", "")
    assert not [word for word in ("ACC", "DOE", ".dcm", "P-", "498", str(tmp_path)) if word in text]
    assert {p.code for p in problems} >= {"bad_age", "no_image", "no_row", "empty", "two_images"}
    assert "missing_sex" not in {p.code for p in problems}


def test_a_file_that_cannot_be_opened_is_not_named(tmp_path: Path) -> None:
    folder = _write(tmp_path / "raw", {"1.dcm": _dicom(1), "DOE": _dicom(2)}, "id,boneage\n1,90")
    (folder / "DOE").unlink()
    (folder / "DOE").mkdir()
    (folder / "DOE" / "JANE").symlink_to(tmp_path / "nowhere")
    with zipfile.ZipFile(folder / "x.zip", "w") as archive:
        archive.writestr("DOE_JANE.dcm", _dicom(2))
    damaged = (folder / "x.zip").read_bytes().replace(b"Canary^Name", b"Canary^Nome")
    (folder / "x.zip").write_bytes(damaged)
    _, _, problems = _check(folder)
    assert "unreadable" in {problem.code for problem in problems}
    assert "DOE" not in repr(problems)


def test_one_instance_twice_is_a_problem_without_a_table(tmp_path: Path) -> None:
    folder = _write(tmp_path / "raw", {"a/1.dcm": _dicom(1), "b/2.dcm": _dicom(1), "3": _dicom(3)})
    _, rows, problems = _check(folder, LabelOptions(unlabelled=True))
    assert [row.id for row in rows] == [ID.radiograph(_uid(3))]
    assert [(p.id, p.code) for p in problems] == [(ID.radiograph(_uid(1)), "two_images")]
    assert "same SOP Instance UID" in problems[0].message


# === The data set ===


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Six DICOM files of three patients in three transfer syntaxes, two PNG, and a chest."""
    files = {f"DOE^JANE/IM{n}": _dicom(n, PatientID=f"P-{n // 2}") for n in range(4)}
    files |= {f"CD/IM{n}.dcm": _encoded(n, uid) for n, uid in ((4, DEFLATED), (5, RLELossless))}
    files |= {f"{n}.png": encode(draw_phantom(90, n)) for n in (7, 8)}
    files["DOE^JANE/IM9"] = _dicom(9, BodyPartExamined="CHEST")
    lines = [f"ACC{n},,{60 + 10 * n}" for n in (0, 1, 2, 3, 4, 5, 9)] + ["7,F,90", "8,M,91"]
    return _write(tmp_path / "raw", files, "\n".join(["id,sex,boneage", *lines]))


def _prepare(folder: Path, **settings: Any) -> PrepareReport:
    return prepare(_config(folder, skip_bad=True, **settings))


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_same_salt_same_bytes_and_patients_stay_in_one_split(mixed: Path, tmp_path: Path) -> None:
    split = {"train": 0.5, "test": 0.5}
    report = _prepare(mixed, split=split)
    assert sum(report.splits.values()) == 8
    first = _bytes(tmp_path / "out")
    with (tmp_path / "out/splits.csv").open() as stream:
        rows = [*csv.DictReader(stream)]
    of_patient: dict[str, set[str]] = {}
    for row in rows:
        of_patient.setdefault(row["group"] or row["id"], set()).add(row["split"])
    assert len(of_patient) == 5
    assert all(len(found) == 1 for found in of_patient.values())
    assert _prepare(mixed, split=split).already_complete
    (tmp_path / "out").rename(tmp_path / "before")
    _prepare(mixed, split=split)
    assert _bytes(tmp_path / "out") == first


def test_another_salt_is_another_data_set(mixed: Path, tmp_path: Path) -> None:
    _prepare(mixed)
    other = tmp_path / "other.salt"
    with pytest.raises(UsageError, match="made from other data"):
        _prepare(mixed, salt=str(other))
    assert other.exists()


def test_the_table_of_ids_beside_the_salt_names_every_file(
    mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "out.salt").unlink()
    with caplog.at_level(logging.INFO):
        _prepare(mixed)
    salt = Salt((tmp_path / "out.salt").read_bytes().strip())
    path = tmp_path / "out.ids.csv"
    assert f"{path} names the file of each" in caplog.text
    assert {stat.S_IMODE(p.stat().st_mode) for p in (path, tmp_path / "out.salt")} == {0o600}
    with path.open() as stream:
        found = {row["id"]: row for row in csv.DictReader(stream)}
    assert {row["file"] for row in found.values()} == {
        *(str(mixed / f"DOE^JANE/IM{n}") for n in (0, 1, 2, 3, 9)),
        *(str(mixed / f"CD/IM{n}.dcm") for n in (4, 5)),
    }
    assert found[salt.radiograph(_uid(2))]["sop_instance_uid"] == _uid(2)
    assert found[salt.radiograph(_uid(2))]["group"] == salt.patient("P-1")


def test_the_table_of_ids_keeps_other_data_sets_and_refuses_other_tables(
    mixed: Path, tmp_path: Path
) -> None:
    table = "id,boneage\n1,90\n2,91"
    other = _write(tmp_path / "more/raw", {"1.dcm": _dicom(10), "2.dcm": _dicom(11)}, table)
    salt = str(tmp_path / "out.salt")
    _prepare(mixed)
    _prepare(other, salt=salt, split={"train": 1.0})
    assert len((tmp_path / "out.ids.csv").read_text().splitlines()) == 1 + 7 + 2
    (tmp_path / "out.ids.csv").write_text("id,age\n1,2\n")
    with pytest.raises(InputDataError, match="table of ids"):
        _prepare(mixed)


def test_a_dry_run_writes_no_salt(mixed: Path, tmp_path: Path) -> None:
    (tmp_path / "out.salt").unlink()
    prepare(_config(mixed, skip_bad=True), dry_run=True)
    assert {path.name for path in tmp_path.iterdir()} == {"raw"}


def test_the_header_rejects_before_decoding_and_can_be_overruled(
    mixed: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputDataError, match="body part"):
        prepare(_config(mixed))
    _prepare(mixed)
    rejects = load_data_set(tmp_path / "out").rejects
    chest = ID.radiograph(_uid(9))
    assert [(p["id"], p["file"], p["row"], p["code"]) for p in rejects] == [
        (chest, chest, 8, "body_part")
    ]
    (tmp_path / "out").rename(tmp_path / "before")
    report = prepare(_config(mixed, accept_dicom=("body_part",)))
    assert report.problems == ()
    assert any("[body_part_differs]" in line for line in report.warnings)
    with pytest.raises(InputDataError, match="body part"):  # of that call alone
        prepare(_config(mixed, split={"train": 1.0}))


def test_header_warnings_are_counted_by_code(mixed: Path) -> None:
    for number in range(4):
        (mixed / f"DOE^JANE/IM{number}").write_bytes(
            _dicom(number, PatientID="P-1", BurnedInAnnotation="YES")
        )
    warnings = _prepare(mixed).warnings
    assert [
        w
        for w in warnings
        if w.startswith("4 radiographs (row 2, row 3, row 4, ...): ") and w.endswith("[burned_in]")
    ]


def test_one_patient_id_for_all_and_none_are_said(tmp_path: Path) -> None:
    for name, patient, text in (
        ("a", "ANON", "3 DICOM radiographs have the same Patient ID"),
        ("b", None, "3 of 3 DICOM radiographs have no Patient ID"),
    ):
        files = {f"{n}.dcm": _dicom(n, PatientID=patient) for n in range(3)}
        folder = _write(tmp_path / name / "raw", files, "id,boneage\n0,90\n1,91\n2,92")
        report = prepare(_config(folder), dry_run=True)
        assert [w for w in report.warnings if text in w and "--group-column" in w]


def test_a_salt_inside_the_data_set_is_refused(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="outside the data set"):
        _prepare(mixed, salt=str(tmp_path / "out/site.salt"))
