import base64

import pytest

from bone_age_tf.files.formats import HEAD_BYTES, advice, format_of, is_dicomdir

IMAGES = {
    "PNG": b"\x89PNG\r\n\x1a\n",
    "JPEG": b"\xff\xd8\xff\xe0\0\x10JFIF",
    "TIFF": b"II*\0\x08\0\0\0",
    "TIFF of big endian": b"MM\0*\0\0\0\x08",
    "TIFF of 64 bits": b"II+\0\x08\0\0\0",
    "BMP": b"BM\x36\x10\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    "GIF": b"GIF89a\x10\0\x10\0",
    "WebP": b"RIFF\x24\0\0\0WEBPVP8 ",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG 2000 without a box": b"\xff\x4f\xff\x51\0\x2f",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0",
    "DICOM": bytes(128) + b"DICM\x02\0\0\0UL\x04\0",
    "DICOM without a preamble": b"\x08\0\x05\0CS\x0a\0ISO_IR 100",
    "DICOM of implicit VR": b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100",
}
OTHERS = {
    "empty": b"",
    "csv": b"id,sex\n1,F\n",
    "a header that begins as BMP": b"BMI,age,sex and so on\n",
    "a header that begins as TIFF": b"II,MM,RIFF,GIF\n",
    "json": b'{"a": 1}',
    "pdf": b"%PDF-1.7\n",
    "zip": b"PK\x03\x04",
    "numpy": b"\x93NUMPY\x01\0",
    "readme": "Über diese Bilder".encode("utf-16"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_known_by_its_first_bytes(name: str) -> None:
    format_name = name.partition(" of ")[0].partition(" without ")[0]
    assert format_of(IMAGES[name]) == format_name
    assert format_of((IMAGES[name] + bytes(1000))[:HEAD_BYTES]) == format_name


@pytest.mark.parametrize("name", OTHERS)
def test_other_content_is_no_image(name: str) -> None:
    assert format_of(OTHERS[name]) is None


@pytest.mark.parametrize(
    ("encoded", "meaning"),
    [
        (base64.b64encode(b"\x89PNG\r\n\x1a\n0000"), "encoded twice"),
        (base64.b64encode(b"\xff\xd8\xff\xe0aaaa"), "encoded twice"),
        (b"[[0, 1], [2, 3]]", "JSON list"),
        (b"%PDF-1.4", "PDF"),
        (b"\0" * 128 + b"DICM", "DICOM"),
        (b"PK\x03\x04 and so on", "unpack"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP: save it as PNG"),
        (b"\0\0\0\x1cftypavif", "an AVIF: save it as PNG"),
        (b"\x89PNG", ""),
        (b"", ""),
    ],
)
def test_common_mistakes_are_recognised(encoded: bytes, meaning: str) -> None:
    assert meaning in advice(encoded)
    assert bool(meaning) == bool(advice(encoded))


META = b"\x02\0\0\0UL\x04\0\xba\0\0\0\x02\0\x01\0OB\0\0\x02\0\0\0\0\x01\x02\0\x02\0UI"


def test_a_dicomdir_is_known_by_its_class() -> None:
    directory = bytes(128) + b"DICM" + META + b"\x14\x001.2.840.10008.1.3.10\x02\0\x03\0UI"
    image = bytes(128) + b"DICM" + META + b"\x1c\x001.2.840.10008.5.1.4.1.1.1.1\0\x02\0\x03\0UI"
    assert is_dicomdir(directory)
    assert not is_dicomdir(image)
    assert format_of(directory) == format_of(image) == "DICOM"
