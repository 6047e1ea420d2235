"""DICOM files of drawn hands, for tests."""

import io
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from bone_age_tf.dicom import packages

packages.pydicom()


def dataset_of(pixels: np.ndarray, **attributes: Any) -> FileDataset:
    """A DX image of grey levels uint8 or uint16 [height, width], bone bright, with these attributes.

    By default of a left hand, PA, of a girl of ten years. An attribute of None is left out.
    """
    bits = 8 * pixels.dtype.itemsize
    dataset = Dataset()
    values = {
        "SOPClassUID": DigitalXRayImageStorageForPresentation,
        "SOPInstanceUID": generate_uid(entropy_srcs=[pixels.tobytes().hex(), repr(attributes)]),
        "Modality": "DX",
        "PatientName": "Canary^Name",
        "PatientID": "canary-patient",
        "PatientSex": "F",
        "PatientAge": "010Y",
        "PatientBirthDate": "20140131",
        "StudyDate": "20240131",
        "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.1",
        "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.2",
        "AccessionNumber": "canary-accession",
        "BodyPartExamined": "HAND",
        "ImageLaterality": "L",
        "ViewPosition": "PA",
        "PresentationIntentType": "FOR PRESENTATION",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        **attributes,
    }
    for keyword, value in values.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return FileDataset("", dataset, file_meta=meta, preamble=b"\0" * 128)


def dicom_of(pixels: np.ndarray, **attributes: Any) -> bytes:
    """The bytes of such a file, explicit VR, little endian."""
    stream = io.BytesIO()
    dataset_of(pixels, **attributes).save_as(stream, enforce_file_format=False)
    return stream.getvalue()
