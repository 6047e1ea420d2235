"""Results in an archive: pynetdicom, DCMTK and DICOMweb store them in Orthanc, which returns them unchanged."""

import functools
import struct
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from dicom_results import dataset_of_phantom, objects_of, result_of_phantom
from dicomweb_client import DICOMwebClient
from orthanc_peer import AE_TITLE, DICOM_PORT, Orthanc, dcmtk
from pydicom import Dataset
from pynetdicom import AE

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.objects import MAKERS

pytestmark = pytest.mark.large
REJECTED = "two_hands: there is more than one hand in the picture"


@functools.cache
def objects(**changes: Any) -> list[Dataset]:
    """All that are made of a result and of a rejection."""
    config = DicomOutputConfig(objects=tuple(MAKERS), **changes)
    results = result_of_phantom(1), result_of_phantom(2), result_of_phantom(3, rejected=REJECTED)
    return [one for result in results for one in objects_of(result, config).values()]


def by_c_store(datasets: Sequence[Dataset], folder: Path) -> None:
    node = AE()
    for dataset in datasets:
        node.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
    association = node.associate("127.0.0.1", DICOM_PORT, ae_title=AE_TITLE)
    assert association.is_established
    assert [association.send_c_store(one).Status for one in datasets] == [0] * len(datasets)
    association.release()


def by_dcmtk(name: str, *options: str) -> Callable[[Sequence[Dataset], Path], None]:
    def send(datasets: Sequence[Dataset], folder: Path) -> None:
        program = dcmtk(name)
        files = [folder / f"{number}.dcm" for number in range(len(datasets))]
        for path, dataset in zip(files, datasets, strict=True):
            path.write_bytes(encoded(dataset))
        words = [program, *options, "-aec", AE_TITLE, "127.0.0.1", str(DICOM_PORT), *files]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr

    return send


def by_stow(datasets: Sequence[Dataset], folder: Path) -> None:
    answer = DICOMwebClient(Orthanc.dicomweb).store_instances(list(datasets))
    assert len(answer.ReferencedSOPSequence) == len(datasets)
    assert not answer.get("FailedSOPSequence")


WAYS = {
    "pynetdicom": by_c_store,
    "storescu": by_dcmtk("storescu", "-R"),
    "dcmsend": by_dcmtk("dcmsend"),
    "stow": by_stow,
}


@pytest.mark.parametrize("way", WAYS)
def test_stored_once_and_returned_unchanged(orthanc: Orthanc, tmp_path: Path, way: str) -> None:
    sent = objects()
    WAYS[way](sent, tmp_path)
    WAYS[way](sent, tmp_path)  # again
    assert orthanc.instances() == sorted(str(one.SOPInstanceUID) for one in sent)
    for one in sent:
        assert data_set_of(orthanc.file(one.SOPInstanceUID)) == data_set_of(encoded(one))


def test_found_beside_the_radiograph(orthanc: Orthanc, tmp_path: Path) -> None:
    radiograph = dataset_of_phantom(1)
    (report,) = objects_of(result_of_phantom(1), DicomOutputConfig(objects=("report",))).values()
    by_stow([radiograph, report], tmp_path)
    client = DICOMwebClient(Orthanc.dicomweb)
    (study,) = client.search_for_studies()
    assert value(study, "StudyInstanceUID") == radiograph.StudyInstanceUID
    (series,) = client.search_for_series(search_filters={"Modality": "SR"})
    assert value(series, "SeriesInstanceUID") == report.SeriesInstanceUID
    found = client.retrieve_series(radiograph.StudyInstanceUID, report.SeriesInstanceUID)
    assert [data_set_of(encoded(one)) for one in found] == [data_set_of(encoded(report))]


@pytest.mark.parametrize("way", WAYS)
def test_the_form_for_older_viewers(orthanc: Orthanc, tmp_path: Path, way: str) -> None:
    (report,) = [one for one in objects(sr="comprehensive") if one.Modality == "SR"][:1]
    assert report.SOPClassUID == "1.2.840.10008.5.1.4.1.1.88.33"
    WAYS[way]([report], tmp_path)
    assert orthanc.instances() == [report.SOPInstanceUID]


def value(found: dict[str, Any], keyword: str) -> Any:
    return Dataset.from_json(found)[keyword].value


def data_set_of(encoded: bytes) -> bytes:
    """A file without its preamble and meta header, which the receiver writes anew."""
    (length,) = struct.unpack_from("<I", encoded, 140)
    return encoded[144 + length :]
