"""`predict --dicomweb` with Orthanc: a study is found and read, and its results are stored in it."""

import io
from pathlib import Path

import pydicom
import pytest
from dicom_results import phantom_file
from orthanc_peer import Orthanc

from bone_age_tf.cli import main as cli
from bone_age_tf.config.dicomweb import DicomwebConfig
from bone_age_tf.dicom_output.archive import Archive
from bone_age_tf.dicom_output.dicomweb import Study, retrieve
from bone_age_tf.dicom_output.stow import Verdicts, store
from bone_age_tf.errors import InputDataError

pytestmark = pytest.mark.large
STUDY = "1.2.826.0.1.3680043.9.1"
REPORT = "1.2.840.10008.5.1.4.1.1.88.34"
CONFIG = DicomwebConfig(url=Orthanc.dicomweb, attempts=1)


def files_of_study(count: int = 2) -> dict[str, bytes]:
    files = {}
    for number in range(1, count + 1):
        dataset = pydicom.dcmread(io.BytesIO(phantom_file(number)))
        dataset.StudyInstanceUID = STUDY
        stream = io.BytesIO()
        dataset.save_as(stream)
        files[str(dataset.SOPInstanceUID)] = stream.getvalue()
    return files


def stored(objects: dict[str, bytes]) -> Verdicts:
    return store(Archive(CONFIG), objects)


def test_a_mixed_batch_is_read_object_by_object(orthanc: Orthanc) -> None:
    files = files_of_study(3)
    bad = list(files)[1]
    dataset = pydicom.dcmread(io.BytesIO(files[bad]))
    del dataset.SOPInstanceUID
    stream = io.BytesIO()
    dataset.save_as(stream)
    found = stored({**files, bad: stream.getvalue()})
    assert [uid for uid, verdict in found.items() if verdict] == [bad]
    assert orthanc.instances() == sorted(set(files) - {bad})


def test_the_study_is_read_as_it_was_stored(orthanc: Orthanc, tmp_path: Path) -> None:
    files = files_of_study()
    assert stored(files) == dict.fromkeys(files)
    retrieve(CONFIG, Study(STUDY), tmp_path)
    assert len([*tmp_path.iterdir()]) == len(files)
    for path in tmp_path.iterdir():
        received = pydicom.dcmread(path)
        assert received == pydicom.dcmread(io.BytesIO(files[received.SOPInstanceUID]))
    with pytest.raises(InputDataError, match="no such study"):
        retrieve(CONFIG, Study("1.2.3"), tmp_path)


def test_results_go_into_the_study_once(orthanc: Orthanc, exported: Path, tmp_path: Path) -> None:
    files = files_of_study()
    stored(files)
    words = ["predict", "--dicomweb", Orthanc.dicomweb, "--study", STUDY, "--model", str(exported)]
    for output in ("1", "2"):
        assert cli.run([*words, "--output", str(tmp_path / output)]) == 0
        reports = orthanc.instances(SOPClassUID=REPORT, StudyInstanceUID=STUDY)
        assert len(reports) == len(files)
    made = [path.read_bytes() for path in (tmp_path / "1/dicom/objects").iterdir()]
    assert len(orthanc.instances(StudyInstanceUID=STUDY)) == len(files) + len(made)
    again = [path.read_bytes() for path in (tmp_path / "2/dicom/objects").iterdir()]
    assert sorted(again) == sorted(made)
