"""The mask of the hand."""

import dataclasses
import gzip
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from dicom_checkers import errors_of, written
from dicom_results import result_of_phantom

from bone_age_tf.config import DicomOutputConfig
from bone_age_tf.dicom_output.segmentation import segmentation_of

CONFIG = DicomOutputConfig()


def test_the_mask_is_read_back(tmp_path: Path) -> None:
    result = result_of_phantom(1)
    dataset = segmentation_of(result, CONFIG)
    assert dataset is not None and result.mask is not None
    path = written(dataset, tmp_path)
    assert (pydicom.dcmread(path).pixel_array == result.mask).all()
    read = highdicom.seg.segread(path)
    source = str(result.source.SOPInstanceUID)
    pixels = read.get_pixels_by_source_instance([source], combine_segments=True)
    assert (pixels[0] == result.mask).all()


def test_the_segment_is_the_hand_of_its_side() -> None:
    for side, code in (("L", "7771000"), ("R", "24028007")):
        dataset = segmentation_of(result_of_phantom(1, ImageLaterality=side), CONFIG)
        assert dataset is not None
        (segment,) = dataset.SegmentSequence
        kind = segment.SegmentedPropertyTypeCodeSequence[0]
        assert kind.CodeValue == "85562004"
        assert kind.SegmentedPropertyTypeModifierCodeSequence[0].CodeValue == code
        assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    unknown = segmentation_of(result_of_phantom(1, without=("ImageLaterality",)), CONFIG)
    assert unknown is not None
    kind = unknown.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0]
    assert "SegmentedPropertyTypeModifierCodeSequence" not in kind


def test_the_algorithm_is_the_model() -> None:
    dataset = segmentation_of(result_of_phantom(1), CONFIG)
    assert dataset is not None
    (segment,) = dataset.SegmentSequence
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (segment.SegmentAlgorithmType, algorithm.AlgorithmName) == ("AUTOMATIC", "bone_age")
    assert algorithm.AlgorithmVersion == "1"


def test_no_position_in_a_frame_of_reference_is_claimed(tmp_path: Path) -> None:
    dataset = segmentation_of(result_of_phantom(1, FrameOfReferenceUID="1.2.3.4"), CONFIG)
    assert dataset is not None and "FrameOfReferenceUID" not in dataset
    assert errors_of(written(dataset, tmp_path)) == []


@pytest.mark.parametrize(("number", "spacing"), [(1, 0.4959), (4, 1.0)])
def test_viewers_get_a_plane(number: int, spacing: float, tmp_path: Path) -> None:
    """Without one OHIF shows a black page, and dcmqi reads nothing."""
    result = result_of_phantom(number)
    dataset = segmentation_of(result, CONFIG)
    assert dataset is not None and result.mask is not None
    shared = dataset.SharedFunctionalGroupsSequence[0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == pytest.approx([spacing] * 2)
    program = Path(str(pytest.importorskip("dcmqi").__file__)).parent / "bin" / "segimage2itkimage"
    if not program.exists():
        pytest.skip("this dcmqi has no segimage2itkimage")
    command = [str(program), "--inputDICOM", str(written(dataset, tmp_path))]
    command += ["--outputDirectory", str(tmp_path), "-t", "nii"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (mask,) = tmp_path.glob("*.nii.gz")
    voxels = np.frombuffer(gzip.decompress(mask.read_bytes())[352:], np.int16)
    assert (voxels != 0).sum() == result.mask.sum()


def test_there_is_none_without_a_hand_inside_the_radiograph() -> None:
    result = result_of_phantom(1)
    border = np.array([[0.0, 0.0], [409.0, 0.0], [409.0, 511.0], [0.0, 511.0]])
    outside = np.array([[-50.0, -50.0], [-40.0, -50.0], [-40.0, -40.0]])
    assert segmentation_of(dataclasses.replace(result, outline=None), CONFIG) is None
    assert segmentation_of(dataclasses.replace(result, outline=outside), CONFIG) is None
    assert segmentation_of(dataclasses.replace(result, outline=border), CONFIG) is None
