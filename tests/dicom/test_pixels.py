"""The rules of grey, each with numbers that can be checked by hand; all of them together at random."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, draw_phantom, encode
from encoded_files import LOSSLESS, as_file, data_set, lut, opened
from pydicom import Dataset, Sequence
from standard_grey import standard_grey

from bone_age_tf.dicom.pixels import grey
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.signatures import IMAGE_BYTES, PREPARE, SERVING
from bone_age_tf.preprocessing.conversion import to_png

SHIPPED = ROOT / "saved_models" / "bone_age" / "1"


def shown(values: list[int], bits: int = 12, **attributes: Any) -> list[int]:
    """Grey of a radiograph of one row."""
    found = grey(data_set(np.array([values]), bits, **attributes))
    assert isinstance(found, np.ndarray)
    return found[0].tolist()


# === The order of the steps ===


def test_n_bits_become_16_by_rounding_and_8_bits_are_multiplied_by_257() -> None:
    assert shown([0, 1, 128, 255], 8) == [0, 257, 128 * 257, 65535]
    assert shown([0, 1, 2048, 4095], 12) == [0, 16, 32776, 65535]
    assert shown([0, 1, 65535], 16) == [0, 1, 65535]


def test_mask_then_modality_then_voi_then_one_inversion() -> None:
    modality = Sequence([lut(0, [10, 20, 30, 40], 8)])
    voi = Sequence([lut(10, list(range(31)), 8)])  # 10 -> 0, 20 -> 10 ...
    steps = {"ModalityLUTSequence": modality, "VOILUTSequence": voi}
    words = [0x8000, 1, 0x1002, 3]
    expected = [0, 10 * 257, 20 * 257, 30 * 257]
    assert shown(words, **steps) == expected
    inverted = [65535 - level for level in expected]
    assert shown(words, PhotometricInterpretation="MONOCHROME1", **steps) == inverted


def test_a_voi_lut_comes_before_a_window_and_the_first_of_several_counts() -> None:
    window = {"WindowCenter": [2, 3000], "WindowWidth": [1, 1]}
    first, second = lut(0, [0, 0, 255, 255], 8), lut(0, [255] * 4, 8)
    assert shown([0, 1, 2, 3], **window) == [0, 0, 65535, 65535]
    assert shown([0, 1, 2, 3], VOILUTSequence=Sequence([first, second]), **window) == [
        0,
        0,
        65535,
        65535,
    ]


@pytest.mark.parametrize(
    "function, expected",
    [
        ("LINEAR", [0, 0, 16384, 32768, 49151, 65535, 65535]),  # C.11.2.1.2.1: 1.5 to 5.5 - 0.5
        ("LINEAR_EXACT", [0, 0, 13107, 26214, 39321, 52428, 65535]),
        ("SIGMOID", [2567, 5451, 11009, 20318, 32768, 45217, 54526]),
    ],
)
def test_the_three_functions_of_a_window(function: str, expected: list[int]) -> None:
    centre = {"LINEAR": 3.5, "LINEAR_EXACT": 3.5, "SIGMOID": 4}[function]
    found = shown(
        [0, 1, 2, 3, 4, 5, 6], WindowCenter=centre, WindowWidth=5, VOILUTFunction=function
    )
    assert found == expected


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": 2},
        {"WindowWidth": 2},
        {"WindowCenter": 2, "WindowWidth": 0},
        {"WindowCenter": 2, "WindowWidth": "0.5"},
        {"WindowCenter": 2, "WindowWidth": -4, "VOILUTFunction": "SIGMOID"},
        {"WindowCenter": 2, "WindowWidth": 4, "VOILUTFunction": "QUADRATIC"},
        {"WindowCenter": [], "WindowWidth": []},
        {"WindowCenter": None, "WindowWidth": None},
        {"VOILUTSequence": Sequence([])},
        {"VOILUTSequence": Sequence([Dataset()])},
    ],
)
def test_what_is_no_window_by_the_standard_is_none(window: dict[str, Any]) -> None:
    assert shown([0, 100, 4095], **window) == shown([0, 100, 4095])


@pytest.mark.filterwarnings("ignore")  # pydicom's, of these values
@pytest.mark.parametrize("value", [b"wide", b"1,5", b"1E999", b"1E-9999999", b" "])
@pytest.mark.parametrize("keyword", ["WindowWidth", "RescaleSlope"])
def test_what_is_no_number_is_absent(keyword: str, value: bytes) -> None:
    dataset = data_set(np.array([[0, 100, 4095]]), 12, WindowCenter=2)
    dataset.add_new(keyword, "DS", "987654321098"[: len(value)])
    encoded = as_file(dataset)
    element = b"DS" + bytes([(len(value) + 1) // 2 * 2, 0])
    at = encoded.rindex(element) + len(element)
    found = grey(opened(encoded[:at] + value + encoded[at + len(value) :]))
    assert isinstance(found, np.ndarray)
    assert found[0].tolist() == shown([0, 100, 4095])


@pytest.mark.parametrize("padding", [{}, {"PixelPaddingValue": 0}])
def test_a_window_or_lut_that_leaves_nothing_to_see_is_none(padding: dict[str, int]) -> None:
    """As that of a maker whose DX files have 32768 added to the pixels, and not to the window."""
    values = [0, 32768, 34000, 36000]
    expected = shown(values, 16, **padding)
    window = {"WindowCenter": 2725, "WindowWidth": 5310}
    flat = {"VOILUTSequence": Sequence([lut(0, [0, 255], 8)])}
    if padding:
        assert shown(values, 16, **padding, **window) == expected
        assert shown(values, 16, **padding, **flat) == expected
    else:
        assert shown(values[1:], 16, **window) == shown(values[1:], 16)
        assert shown(values[1:], 16, **flat) == shown(values[1:], 16)


# === One inversion ===

INVERSIONS = [
    {"PhotometricInterpretation": "MONOCHROME1"},
    {"PresentationLUTShape": "INVERSE"},
    {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"},
]


@pytest.mark.parametrize("attributes", INVERSIONS)
def test_monochrome1_and_inverse_are_one_inversion_from_the_bits(
    attributes: dict[str, str],
) -> None:
    """Never from this image's maximum: here it is 3000 of 4095."""
    values = [100, 2900, 3000]
    assert shown(values, **attributes) == [65535 - level for level in shown(values)]
    window = {"WindowCenter": 2048, "WindowWidth": 4096}
    assert shown(values, **attributes, **window) == [
        65535 - round(value * 65535 / 4095) for value in values
    ]


# === LUTs ===


def test_a_voi_lut_with_8_bit_entries_is_one_ramp_and_does_not_wrap() -> None:
    entries = np.arange(4096) // 16
    for packed in (False, True):
        table = Sequence([lut(0, entries, 8, packed=packed)])
        found = shown(list(range(4096)), VOILUTSequence=table)
        assert found == (entries * 257).tolist()


@pytest.mark.parametrize("vr, first", [("SS", -3), ("US", 65533)])
def test_the_first_value_mapped_is_signed_where_the_pixels_are(vr: str, first: int) -> None:
    table = lut(0, [0, 50, 100, 150, 200], 8, vr=vr)
    table.LUTDescriptor = [5, first, 8]
    found = shown([-4, -3, -1, 1, 5], PixelRepresentation=1, VOILUTSequence=Sequence([table]))
    assert found == [level * 257 for level in (0, 0, 100, 200, 200)]


def test_a_descriptor_of_0_entries_means_65536() -> None:
    table = Sequence([lut(0, np.arange(65536)[::-1], 16)])
    assert table[0].LUTDescriptor[0] == 0
    assert shown([0, 1, 65535], 16, VOILUTSequence=table) == [65535, 65534, 0]


def test_entries_above_what_the_descriptor_says_are_kept() -> None:
    table = Sequence([lut(0, [0, 1024, 4095], 8)])
    assert shown([0, 1, 2], VOILUTSequence=table) == [0, 16388, 65535]


def test_a_lut_with_too_few_entries_is_an_error() -> None:
    table = lut(0, [0, 1, 2], 16)
    table.LUTDescriptor = [30, 0, 16]
    with pytest.raises(ValueError, match="a LUT of 30 entries has 6"):
        shown([0, 1, 2], VOILUTSequence=Sequence([table]))


def test_a_lut_is_read_from_words_of_either_byte_order(tmp_path: Path) -> None:
    table = Sequence([lut(0, [0, 0x1234, 0xFFFF], 16)])
    dataset = data_set(np.array([[0, 1, 2]]), 12, VOILUTSequence=table)
    encoded = LOSSLESS["big endian"][1](dataset, tmp_path)
    swapped = encoded.replace(b"\x00\x00\x34\x12\xff\xff", b"\x00\x00\x12\x34\xff\xff")
    found = grey(opened(swapped))
    assert isinstance(found, np.ndarray)
    assert found[0].tolist() == [0, 0x1234, 0xFFFF]


# === No window, no LUT ===


@pytest.mark.parametrize("shift", [0, 500, 2000])
def test_without_a_window_stored_values_do_not_matter_only_their_distances(shift: int) -> None:
    """A lossy coder of DCMTK subtracts the image's minimum from every pixel, and says so nowhere."""
    values = np.array([0, 10, 700, 2000])
    levels = np.array(shown((values + shift).tolist()))
    assert (levels - levels[0]).tolist() == [0, 320, 22411, 64030]


@pytest.mark.parametrize("bits", [12, 16])
def test_without_a_window_8_bits_in_more_are_as_8_bits(bits: int) -> None:
    assert shown([0, 90, 255], bits) == shown([0, 90, 255], 8)
    falling = {"RescaleSlope": "-1", "RescaleIntercept": "255"}
    levels = shown([0, 90, 255], bits, **falling)
    assert [levels[0] - level for level in levels] == shown([0, 90, 255], 8)


def test_what_is_blank_stays_blank() -> None:
    """At most one level of 8 bits between its pixels, which the graph rejects."""
    for values in ([7, 7, 7], [0, 1, 1]):
        levels = shown(values, 16)
        assert max(levels) - min(levels) <= 257
    assert len(set(shown([0, 4095], RescaleSlope="0"))) == 1


# === Padding ===


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("value", [0, 4095])
def test_padding_is_background_before_the_stretch_in_both_polarities(
    value: int, number: int
) -> None:
    attributes = {"PhotometricInterpretation": f"MONOCHROME{number}"}
    picture = [1000, 1100, 1255]
    found = shown([value, *picture], PixelPaddingValue=value, **attributes)
    assert found == [0, *shown(picture, **attributes)]


def test_padding_reaches_to_its_range_limit() -> None:
    for value, limit in ((3000, 3002), (3002, 3000)):
        found = shown(
            [0, 2999, 3000, 3001, 3002], PixelPaddingValue=value, PixelPaddingRangeLimit=limit
        )
        assert found == [*shown([0, 2999]), 0, 0, 0]


@pytest.mark.parametrize("vr, value", [("SS", -2000), ("US", 63536)])
def test_padding_is_signed_where_the_pixels_are(vr: str, value: int) -> None:
    dataset = data_set(np.array([[-2000, 0, 255]]), 16, PixelRepresentation=1)
    dataset.add_new("PixelPaddingValue", vr, value)
    found = grey(dataset)
    assert isinstance(found, np.ndarray)
    assert found[0].tolist() == [0, 0, 65535]


# === Colour ===


def test_colour_becomes_the_luminance_that_the_graph_gives_a_png() -> None:
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (300, 300, 3), np.uint8)
    rgb[0] = np.arange(300)[:, np.newaxis] % 256  # grey
    found = grey(data_set(rgb, 8, allocated=8))
    png = encode(rgb[..., ::-1])
    graph = tf.io.decode_png(png, channels=1, dtype=tf.uint16).numpy()[..., 0]
    np.testing.assert_array_equal(found, graph)


# === All of it, at random ===


@pytest.mark.parametrize("seed", range(120))
def test_any_combination_is_as_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = int(rng.integers(4, 17))
    signed = int(rng.integers(2))
    words = rng.integers(0, 2**16, (9, 7))
    spread = int(rng.integers(1, bits + 1))
    if rng.random() < 0.7:
        words = words % 2**spread + int(rng.integers(0, 2**bits - 2**spread + 1))
    attributes: dict[str, Any] = {
        "PixelRepresentation": signed,
        "PhotometricInterpretation": f"MONOCHROME{rng.integers(1, 3)}",
    }
    lowest = -(2 ** (bits - 1)) if signed else 0
    attributes |= _modality(rng, lowest, bits) | _voi(rng, bits) | _padding(rng, words, bits)
    if rng.random() < 0.3:
        attributes["PresentationLUTShape"] = str(rng.choice(["IDENTITY", "INVERSE"]))
    dataset = data_set(words, bits, **attributes)
    np.testing.assert_array_equal(grey(dataset), standard_grey(dataset, words), str(dataset))


def _modality(rng: np.random.Generator, lowest: int, bits: int) -> dict[str, Any]:
    choice = rng.integers(4)
    if choice == 0:
        return {}
    if choice == 1:
        first = lowest + int(rng.integers(20))
        return {"ModalityLUTSequence": Sequence([_random_lut(rng, first)])}
    slope = round(float(rng.normal() * 10.0 ** rng.integers(-3, 2)), int(rng.integers(1, 9))) or -1
    return {"RescaleSlope": slope, "RescaleIntercept": round(float(rng.normal()) * 500, 2)}


def _voi(rng: np.random.Generator, bits: int) -> dict[str, Any]:
    choice = rng.integers(6)
    if choice == 0:
        return {}
    if choice == 1:
        return {"VOILUTSequence": Sequence([_random_lut(rng, int(rng.integers(-500, 500)))])}
    function = str(rng.choice(["LINEAR", "LINEAR_EXACT", "SIGMOID"]))
    centre, width = rng.normal() * 2**bits, 1 + rng.random() ** 3 * 2**bits
    decimals = int(rng.integers(4))
    return {
        "WindowCenter": round(float(centre), decimals),
        "WindowWidth": round(float(width), decimals),
        "VOILUTFunction": function,
    }


def _random_lut(rng: np.random.Generator, first: int) -> Dataset:
    bits = int(rng.integers(8, 17))
    entries = rng.integers(0, 2**bits, int(rng.integers(2, 5000)))
    return lut(first, entries, bits, packed=bits == 8 and rng.random() < 0.5, vr="SS")


def _padding(rng: np.random.Generator, words: np.ndarray, bits: int) -> dict[str, Any]:
    choice = rng.integers(4)
    if choice > 1:
        return {}
    values = {"PixelPaddingValue": int(words[0, 0]) % 2 ** (bits - 1)}
    if choice:
        values["PixelPaddingRangeLimit"] = int(words[-1, -1]) % 2 ** (bits - 1)
    return values


# === Through the graph ===


@pytest.fixture(scope="module")
def shipped(_models_are_loaded_once: None) -> ExportedModel:
    return ExportedModel.open(SHIPPED)


def _hand() -> np.ndarray:
    """uint16 of 12 bits."""
    return np.minimum(draw_phantom(120, 1, height=600, width=480).astype(np.uint16) * 16 + 9, 4095)


def test_a_png_of_the_reference_has_the_same_prepared_bytes_and_months(
    shipped: ExportedModel,
) -> None:
    hand = _hand()
    variants = [
        {},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"WindowCenter": "1800.5", "WindowWidth": "3900"},
        {"VOILUTSequence": Sequence([lut(0, np.arange(4096) // 16, 8, packed=True)])},
    ]
    files, references = [], []
    for attributes in variants:
        is_white = attributes.get("PhotometricInterpretation") == "MONOCHROME1"
        words = 4095 - hand if is_white else hand
        dataset = data_set(words, 12, **attributes)
        files.append(to_png(as_file(dataset)))
        references.append(encode(standard_grey(dataset, words)))
    _assert_same(shipped, files, references)


def test_8_bits_without_a_window_are_as_an_8_bit_png_of_them(shipped: ExportedModel) -> None:
    hand = draw_phantom(120, 1, height=600, width=480)
    files = [to_png(as_file(data_set(hand, 8, allocated=allocated))) for allocated in (8, 16)]
    _assert_same(shipped, files, [encode(hand)] * 2)


def _assert_same(shipped: ExportedModel, files: list[Any], references: list[bytes]) -> None:
    prepared = shipped.signatures[PREPARE](**{IMAGE_BYTES: [*files, *references]})
    assert set(prepared["status"].tolist()) == {b"ok"}
    images = prepared["image"]
    np.testing.assert_array_equal(images[: len(files)], images[len(files) :])
    last = [files[-1], references[-1]]
    answer = shipped.signatures[SERVING](**{IMAGE_BYTES: last, "sex": ["F", "F"]})
    dicom, png = answer["bone_age_months"]
    assert dicom == png
