"""Stored values -> grey, equal in every pixel to a reference made from the text of the standard."""

from pathlib import Path

import numpy as np
import pytest
from encoded_files import LOSSLESS, as_file, opened
from grey_cases import CASES
from standard_grey import standard_grey

from bone_age_tf.dicom import decoding
from bone_age_tf.dicom.pixels import grey


@pytest.mark.parametrize("name", CASES)
def test_grey_is_that_of_the_standard(name: str) -> None:
    words, dataset = CASES[name]()
    found = grey(opened(as_file(dataset)))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, standard_grey(dataset, words))


MARKED = ("12 bits, MONOCHROME2", "signed", "8 bits in 8", "16 bits, MONOCHROME1", "window LINEAR")


@pytest.mark.parametrize("name", MARKED)
@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_lossless_transfer_syntax_gives_the_same_grey(
    syntax: str, name: str, tmp_path: Path
) -> None:
    words, dataset = CASES[name]()
    expected = standard_grey(dataset, words)
    uid, encode = LOSSLESS[syntax]
    encoded = encode(dataset, tmp_path)
    assert opened(encoded).file_meta.TransferSyntaxUID == uid
    np.testing.assert_array_equal(decoding.decode(encoded), expected)
