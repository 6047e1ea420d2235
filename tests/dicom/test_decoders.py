"""One decoder per transfer syntax; what is not read is refused by name."""

import io
from pathlib import Path
from typing import Any

import cv2
import encoded_files as files
import numpy as np
import pydicom
import pytest
from encoded_files import LOSSLESS, as_file, data_set, drawn_levels, opened
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.pixels import convert_color_space, get_decoder

from bone_age_tf.dicom import decoding, reader
from bone_age_tf.dicom.decoders import SYNTAXES, stored_values
from bone_age_tf.dicom.fault import DAMAGED, Fault
from bone_age_tf.dicom.inflate import inflated

ROOT = "1.2.840.10008.1.2"


def jpeg(picture: np.ndarray, quality: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture.astype(np.uint8)).save(stream, "JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def colours() -> np.ndarray:
    levels = drawn_levels(8)
    return np.stack([levels, 255 - levels, levels * 3 % 256], -1)


def read(encoded: bytes) -> np.ndarray:
    values = stored_values(opened(encoded))
    assert isinstance(values, np.ndarray), values
    return values


# === Which decoder ===


@pytest.mark.parametrize("uid", SYNTAXES)
def test_every_compressed_syntax_names_a_plugin_that_the_extra_installs(uid: str) -> None:
    plugin = SYNTAXES[uid].plugin
    assert not plugin or plugin in get_decoder(pydicom.uid.UID(uid)).available_plugins


def test_no_other_plugin_is_tried_where_the_named_one_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, encode = LOSSLESS["JPEG-LS, pyjpegls"]
    dataset = opened(encode(data_set(drawn_levels(12), 12), tmp_path))
    decoder = get_decoder(dataset.file_meta.TransferSyntaxUID)
    assert "gdcm" in decoder.available_plugins
    monkeypatch.delitem(decoder._available, "pyjpegls")
    fault = stored_values(dataset)
    assert isinstance(fault, Fault)
    assert fault.reason == "dicom_not_installed"
    assert "JPEG-LS Lossless needs pyjpegls" in fault.explanation


# === Lossless ===


@pytest.mark.parametrize("bits, allocated", [(8, 16), (6, 8), (7, 8), (10, 16), (16, 16)])
@pytest.mark.parametrize(
    "name",
    [
        "RLE, DCMTK",
        "JPEG Lossless, DCMTK",
        "JPEG Lossless P14, DCMTK",
        "JPEG-LS, DCMTK",
        "JPEG 2000, pylibjpeg",
    ],
)
def test_bits_stored_may_be_fewer_than_those_allocated(
    name: str, bits: int, allocated: int, tmp_path: Path
) -> None:
    """GDCM aborts the process on JPEG Lossless of 6 bits in 8 where it is told so."""
    levels = drawn_levels(bits)
    encoded = LOSSLESS[name][1](data_set(levels, bits, allocated=allocated), tmp_path)
    np.testing.assert_array_equal(read(encoded), levels)


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("name", LOSSLESS)
def test_bits_above_bits_stored_are_masked_whatever_the_codestream_holds(
    name: str, signed: int, tmp_path: Path
) -> None:
    levels = drawn_levels(12)
    words = levels.copy()
    words[20:40, 20:40] |= 1 << 12  # an overlay in an unused bit
    words[60:80, 20:40] |= 1 << 15
    dataset = opened(LOSSLESS[name][1](data_set(words, 16), tmp_path))
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, signed
    expected = np.where(levels >= 2048, levels - 4096, levels) if signed else levels
    found = stored_values(dataset)
    assert isinstance(found, np.ndarray)
    assert found.dtype == (np.int16 if signed else np.uint16)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["RLE, pydicom", "RLE, DCMTK"])
def test_high_bit_above_bits_stored_is_read_where_the_words_are_those_of_the_file(
    name: str, tmp_path: Path
) -> None:
    levels = drawn_levels(12)
    dataset = opened(LOSSLESS[name][1](data_set(levels << 4 | 5, 16), tmp_path))
    dataset.BitsStored, dataset.HighBit = 12, 15
    np.testing.assert_array_equal(stored_values(dataset), levels)


@pytest.mark.parametrize("name", ["JPEG Lossless, GDCM", "JPEG-LS, pyjpegls", "JPEG 2000, GDCM"])
def test_high_bit_that_a_codestream_cannot_tell_is_refused(name: str, tmp_path: Path) -> None:
    dataset = opened(LOSSLESS[name][1](data_set(drawn_levels(12), 12), tmp_path))
    dataset.HighBit = 15
    fault = stored_values(dataset)
    assert isinstance(fault, Fault)
    assert fault.reason == "unsupported_pixels"
    assert "High Bit 15" in fault.explanation


@pytest.mark.parametrize("uid", [ROOT + ".4.201", ROOT + ".4.202", ROOT + ".4.203"])
def test_htj2k_is_read(uid: str) -> None:
    dataset = data_set(files.HTJ2K_WORDS, 12)
    np.testing.assert_array_equal(
        read(files.encapsulated(dataset, uid, files.HTJ2K)), files.HTJ2K_WORDS
    )


# === Lossy ===


@pytest.mark.parametrize("allocated", [8, 16])
@pytest.mark.parametrize("uid", [ROOT + ".4.50", ROOT + ".4.51"])
def test_jpeg_of_8_bits_is_decoded_as_a_jpeg_file_is(uid: str, allocated: int) -> None:
    codestream = jpeg(drawn_levels(8))
    dataset = data_set(drawn_levels(8), 8, allocated=allocated)
    expected = cv2.imdecode(np.frombuffer(codestream, np.uint8), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(read(files.encapsulated(dataset, uid, codestream)), expected)


def test_near_lossless_jpeg_ls_is_within_its_error_and_as_gdcm_decodes_it(tmp_path: Path) -> None:
    levels = drawn_levels(12)
    encoded = files.NEAR_LOSSLESS(data_set(levels, 12), tmp_path)
    found = read(encoded).astype(int)
    assert 0 < np.abs(found - levels).max() <= 3
    decoder = get_decoder(pydicom.uid.JPEGLSNearLossless)
    other, _ = decoder.as_array(opened(encoded), index=0, decoding_plugin="gdcm")
    np.testing.assert_array_equal(found, other)


def test_lossy_jpeg_2000_is_near_and_as_gdcm_decodes_it(tmp_path: Path) -> None:
    levels = drawn_levels(12)
    encoded = files.JPEG_2000_LOSSY(data_set(levels, 12), tmp_path)
    found = read(encoded).astype(int)
    assert 0 < np.abs(found - levels).mean() < 60
    other, _ = get_decoder(pydicom.uid.JPEG2000).as_array(
        opened(encoded), index=0, decoding_plugin="gdcm"
    )
    assert np.abs(found - other).max() <= 1


def test_jpeg_extended_of_12_bits_is_refused_by_name_with_a_way_out(tmp_path: Path) -> None:
    encoded = files.JPEG_EXTENDED_12(data_set(drawn_levels(12), 12), tmp_path)
    fault = reader.read_pixels(encoded)
    assert isinstance(fault, Fault)
    assert fault.reason == "unsupported_transfer_syntax"
    assert "JPEG Extended of 12 bit" in fault.explanation
    assert "dcmdjpeg" in fault.explanation


# === Colour ===


def test_rgb_is_read_whatever_its_planes() -> None:
    rgb = colours()
    planes = data_set(rgb, 8, allocated=8, PlanarConfiguration=1)
    planes.PixelData = np.ascontiguousarray(rgb.astype(np.uint8).transpose(2, 0, 1)).tobytes()
    for dataset in (data_set(rgb, 8, allocated=8), planes):
        np.testing.assert_array_equal(read(as_file(dataset)), rgb)


@pytest.mark.parametrize("name", LOSSLESS)
def test_rgb_is_read_in_every_lossless_transfer_syntax(name: str, tmp_path: Path) -> None:
    encoded = LOSSLESS[name][1](data_set(colours(), 8, allocated=8), tmp_path)
    np.testing.assert_array_equal(read(encoded), colours())


def test_ybr_full_becomes_rgb() -> None:
    ybr = convert_color_space(colours().astype(np.uint8), "RGB", "YBR_FULL")
    dataset = data_set(ybr, 8, allocated=8, PhotometricInterpretation="YBR_FULL")
    assert np.abs(read(as_file(dataset)).astype(int) - colours()).max() <= 1


def test_ybr_rct_becomes_rgb(tmp_path: Path) -> None:
    dataset = data_set(colours(), 8, allocated=8, PhotometricInterpretation="YBR_RCT")
    encoded = LOSSLESS["JPEG 2000, pylibjpeg"][1](dataset, tmp_path)
    np.testing.assert_array_equal(read(encoded), colours())


@pytest.mark.parametrize("marker", ["JFIF", "Adobe", "neither"])
def test_ycbcr_of_a_jpeg_becomes_rgb_once(marker: str) -> None:
    """pydicom converts those with an Adobe marker twice: Pillow has done so before."""
    codestream = jpeg(colours())
    end = 4 + int.from_bytes(codestream[4:6], "big")
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00\x01"
    start = {"JFIF": codestream[2:end], "Adobe": adobe, "neither": b""}[marker]
    changed = codestream[:2] + start + codestream[end:]
    dataset = data_set(colours(), 8, allocated=8, PhotometricInterpretation="YBR_FULL_422")
    found = read(files.encapsulated(dataset, ROOT + ".4.50", changed))
    expected = np.asarray(Image.open(io.BytesIO(codestream)))
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_jpeg_in_rgb_is_left_as_it_is(tmp_path: Path) -> None:
    encoded = files.JPEG_RGB(data_set(colours(), 8, allocated=8), tmp_path)
    assert opened(encoded).PhotometricInterpretation == "RGB"
    assert np.abs(read(encoded).astype(int) - colours()).mean() < 3


# === Not read ===


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"HighBit": 10}, "High Bit 10"),
        ({"HighBit": 16}, "High Bit 16"),
        ({"PhotometricInterpretation": "RGB"}, "colour of 12 bits"),
    ],
)
def test_other_pixels_are_refused_before_they_are_decoded(
    change: dict[str, Any], expected: str
) -> None:
    dataset = data_set(drawn_levels(12), 12, **change)
    del dataset.PixelData
    fault = stored_values(dataset)
    assert isinstance(fault, Fault)
    assert fault.reason == "unsupported_pixels"
    assert expected in fault.explanation
    assert "export 8 to 16 bit grey" in fault.explanation


@pytest.mark.parametrize("kind", ["PALETTE COLOR", "CMYK"])
def test_grey_levels_are_never_made_of_what_is_none(kind: str) -> None:
    """`admission` refuses them by name."""
    dataset = data_set(drawn_levels(8), 8, allocated=8, PhotometricInterpretation=kind)
    assert decoding.decode(as_file(dataset)) == DAMAGED


@pytest.mark.parametrize("name", ["implicit", "explicit", "big endian", "RLE, pydicom"])
def test_truncated_pixels_are_damaged(name: str, tmp_path: Path) -> None:
    encoded = LOSSLESS[name][1](data_set(drawn_levels(12), 12), tmp_path)
    assert decoding.decode(encoded[: len(encoded) * 2 // 3]) == DAMAGED


def test_grey_that_claims_three_samples_is_damaged() -> None:
    dataset = data_set(colours(), 8, allocated=8, PhotometricInterpretation="MONOCHROME2")
    assert decoding.decode(as_file(dataset)) == DAMAGED


def test_a_data_set_without_meta_header_is_read() -> None:
    dataset = data_set(drawn_levels(12), 12)
    encoded = as_file(dataset)
    start = encoded.index(b"\x08\x00\x16\x00UI")
    np.testing.assert_array_equal(
        stored_values(pydicom.dcmread(io.BytesIO(encoded[start:]), force=True)), drawn_levels(12)
    )


# === Files of others ===

GREY = (
    "693_J2KI",
    "CT_small",
    "J2K_pixelrep_mismatch",
    "JPEG2000",
    "JPEGLSNearLossless_08",
    "JPEGLSNearLossless_16",
    "MR_small",
    "MR_small_RLE",
    "MR_small_bigendian",
    "MR_small_expb",
    "MR_small_implicit",
    "MR_small_jp2klossless",
    "MR_small_jpeg_ls_lossless",
    "MR_small_padded",
    "image_dfl",
    "examples_overlay",
)
COLOURED = (
    "ExplVR_BigEnd",
    "GDCMJ2K_TextGBR",
    "SC_jpeg_no_color_transform",
    "SC_jpeg_no_color_transform_2",
    "SC_rgb_dcmtk_+eb+cr",
    "SC_rgb_dcmtk_+eb+cy+n1",
    "SC_rgb_dcmtk_+eb+cy+n2",
    "SC_rgb_dcmtk_+eb+cy+np",
    "SC_rgb_dcmtk_+eb+cy+s2",
    "SC_rgb_dcmtk_+eb+cy+s4",
    "SC_rgb_gdcm_KY",
    "SC_rgb_jls_lossy_line",
    "SC_rgb_jls_lossy_sample",
    "SC_rgb_jpeg",
    "SC_rgb_jpeg_app14_dcmd",
    "SC_rgb_jpeg_dcmd",
    "SC_rgb_jpeg_dcmtk",
    "SC_rgb_jpeg_gdcm",
    "SC_rgb_jpeg_lossy_gdcm",
    "SC_rgb_rle",
    "SC_rgb_rle_2frame",
    "SC_rgb_small_odd",
    "SC_rgb_small_odd_big_endian",
    "SC_rgb_small_odd_jpeg",
    "SC_ybr_full_422_uncompressed",
    "examples_jpeg2k",
    "examples_rgb_color",
    "examples_ybr_color",
)
"""Files that pydicom brings along, whatever their class and number of frames."""


@pytest.mark.filterwarnings("ignore")  # pydicom's, of its own files
@pytest.mark.parametrize("name", GREY)
def test_stored_values_of_others_are_those_that_pydicom_gives(name: str) -> None:
    encoded = inflated(_file_of_pydicom(name))
    assert isinstance(encoded, bytes)
    dataset = opened(encoded)
    np.testing.assert_array_equal(stored_values(dataset), dataset.pixel_array)


@pytest.mark.filterwarnings("ignore")
def test_files_that_pydicom_brings_along_are_read_or_have_a_reason() -> None:
    folder = Path(get_testdata_file("CT_small.dcm", download=False)).parent
    names = {path.stem for path in folder.glob("*.dcm")}
    assert len(names) > 70
    outcomes = {name: decoding.decode(_file_of_pydicom(name)) for name in sorted(names)}
    read = {name for name, found in outcomes.items() if isinstance(found, np.ndarray)}
    assert read == {*GREY, *COLOURED}
    reasons = {found.reason for found in outcomes.values() if isinstance(found, Fault)}
    assert reasons == {"damaged", "unsupported_pixels"}  # those of `admission` are its own


def _file_of_pydicom(name: str) -> bytes:
    path = get_testdata_file(f"{name}.dcm", download=False)
    assert isinstance(path, str)
    return Path(path).read_bytes()
