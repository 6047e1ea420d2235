"""Transfer syntax -> the one decoder that reads it, and the stored values of one frame.

| transfer syntax | UID 1.2.840.10008.1.2... | decoder (plugin of pydicom) |
|---|---|---|
| Implicit and Explicit VR Little Endian, Explicit VR Big Endian | (none), .1, .2 | pydicom, none |
| Deflated Explicit VR Little Endian | .1.99 | `inflate`, then pydicom, none |
| RLE Lossless | .5 | pydicom's own (`pydicom`) |
| JPEG Baseline; JPEG Extended of 8 bits | .4.50, .4.51 | Pillow (`pillow`) |
| JPEG Lossless, of any selection value and of 1 | .4.57, .4.70 | GDCM (`gdcm`) |
| JPEG-LS, lossless and near-lossless | .4.80, .4.81 | CharLS (`pyjpegls`) |
| JPEG 2000, lossless and lossy | .4.90, .4.91 | OpenJPEG (`pylibjpeg`) |
| High-Throughput JPEG 2000: lossless, lossless RPCL, lossy | .4.201, .4.202, .4.203 | OpenJPEG (`pylibjpeg`) |
| JPEG Extended of 12 bits | .4.51 | refused by `admission`: only a decoder under the GPL reads it |
| anything else | | refused by `admission` |

Other plugins that are installed are never tried. A decoder of C can abort the process on a damaged
file: `process` calls this in another one.
"""

import io
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bone_age_tf.dicom.fault import DAMAGED, Fault

MAX_BITS = 16
ROWS = 16
"""Converted at a time: float32 of all would be gigabytes."""

_ROOT = "1.2.840.10008.1.2"
_OPENJPEG = "pylibjpeg-openjpeg"
_PACKAGES = {"gdcm": "python-gdcm", "pylibjpeg": _OPENJPEG, "pyjpegls": "pyjpegls"}


class Syntax(NamedTuple):
    """A transfer syntax that is read."""

    name: str
    plugin: str = ""
    """Of pydicom; empty where the pixels are not compressed."""


SYNTAXES: Mapping[str, Syntax] = {
    _ROOT: Syntax("Implicit VR Little Endian"),
    _ROOT + ".1": Syntax("Explicit VR Little Endian"),
    _ROOT + ".2": Syntax("Explicit VR Big Endian"),
    _ROOT + ".1.99": Syntax("Deflated Explicit VR Little Endian"),
    _ROOT + ".5": Syntax("RLE Lossless", "pydicom"),
    _ROOT + ".4.50": Syntax("JPEG Baseline", "pillow"),
    _ROOT + ".4.51": Syntax("JPEG Extended", "pillow"),
    _ROOT + ".4.57": Syntax("JPEG Lossless", "gdcm"),
    _ROOT + ".4.70": Syntax("JPEG Lossless, Selection Value 1", "gdcm"),
    _ROOT + ".4.80": Syntax("JPEG-LS Lossless", "pyjpegls"),
    _ROOT + ".4.81": Syntax("JPEG-LS Near-lossless", "pyjpegls"),
    _ROOT + ".4.90": Syntax("JPEG 2000 Lossless", "pylibjpeg"),
    _ROOT + ".4.91": Syntax("JPEG 2000", "pylibjpeg"),
    _ROOT + ".4.201": Syntax("HTJ2K Lossless", "pylibjpeg"),
    _ROOT + ".4.202": Syntax("HTJ2K Lossless RPCL", "pylibjpeg"),
    _ROOT + ".4.203": Syntax("HTJ2K", "pylibjpeg"),
}
"""UID -> what reads it."""
_GIVE_WORDS_OF_THE_FILE = ("", "pydicom")  # with all their bits

_GREY = ("MONOCHROME1", "MONOCHROME2")
_YBR = ("YBR_FULL", "YBR_FULL_422")
_COLOURS = ("RGB", *_YBR, "YBR_RCT", "YBR_ICT")


# === Decoding ===


def stored_values(dataset: Any) -> np.ndarray | Fault:
    """The first frame: grey, int16 or uint16 [height, width] of Bits Stored; colour, uint8 RGB [.., 3].

    Bits outside of the stored ones are dropped, whatever they hold. YBR_FULL becomes RGB by pydicom's
    float32 matrix (PS3.3 C.7.6.3.1.2), rounded half up; YBR_RCT and YBR_ICT by the decoder.
    """
    fault = _refusal(dataset)
    if fault:
        return fault
    decoded = _decode(dataset)
    if isinstance(decoded, Fault):
        return decoded
    values, interpretation = decoded
    if values.ndim == 3:
        return _rgb(values, interpretation)
    return _only_stored_bits(values, dataset)


def _decode(dataset: Any) -> tuple[np.ndarray, str] | Fault:
    """Words as the decoder gives them, and what they are."""
    from pydicom.pixels import get_decoder

    uid = transfer_syntax(dataset)
    plugin = SYNTAXES[uid].plugin
    decoder = get_decoder(uid)
    if plugin and plugin not in decoder.available_plugins:
        package = _PACKAGES.get(plugin, plugin)
        text = f"{SYNTAXES[uid].name} needs {package}: pip install 'bone-age-tf[dicom]'"
        return Fault("dicom_not_installed", text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom: it goes on with what the pixels say
        values, found = decoder.as_array(
            dataset, index=0, raw=True, decoding_plugin=plugin, **_options(plugin, dataset)
        )
    interpretation = str(found["photometric_interpretation"])
    if interpretation not in (_COLOURS if values.ndim == 3 else _GREY):
        return DAMAGED
    if plugin == "pillow" and interpretation in _YBR and _is_rgb_by_pillow(dataset):
        interpretation = "RGB"
    return values, interpretation


def _options(plugin: str, dataset: Any) -> dict[str, Any]:
    """Of pydicom: the words as the decoder gives them."""
    corrections = ("correct_unused_bits", "apply_j2k_sign_correction", "apply_jls_sign_correction")
    options: dict[str, Any] = dict.fromkeys(corrections, False)
    if plugin == "pillow":
        options["bits_allocated"] = 8  # it gives bytes, also where the file has words
    if plugin == "gdcm":
        options["bits_stored"] = dataset.BitsAllocated  # it aborts the process on 6 bits in 8
    return options


def _is_rgb_by_pillow(dataset: Any) -> bool:
    """Whether Pillow has converted YCbCr, which it does where an Adobe marker says so.

    pydicom takes it for YCbCr still.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from pydicom.encaps import get_frame

    codestream = get_frame(dataset.PixelData, 0, number_of_frames=1)
    return JpegImageFile(io.BytesIO(codestream)).info.get("adobe_transform", 0) != 0


def _rgb(values: np.ndarray, interpretation: str) -> np.ndarray:
    from pydicom.pixels import convert_color_space

    if interpretation in _YBR:
        for row in range(0, len(values), ROWS):
            block = slice(row, row + ROWS)
            values[block] = convert_color_space(values[block], interpretation, "RGB")
    return values


def _only_stored_bits(values: np.ndarray, dataset: Any) -> np.ndarray:
    """Sign extended from the highest bit stored where Pixel Representation is 1."""
    bits = int(dataset.BitsStored)
    words = values.view(values.dtype.str.replace("i", "u"))
    shift = _shift(dataset)
    words = (words >> shift if shift else words) & (2**bits - 1)
    words = words.astype(np.uint16, copy=False)
    if not dataset.PixelRepresentation:
        return words
    sign = np.uint16(2 ** (bits - 1))
    return ((words ^ sign) - sign).view(np.int16)


def _refusal(dataset: Any) -> Fault | None:
    """What `admission` does not know of, and more bits than there is memory for."""
    interpretation, bits = str(dataset.PhotometricInterpretation), int(dataset.BitsStored)
    if not 2 <= bits <= MAX_BITS:
        return _unsupported(f"{bits} bits stored are not read")
    if interpretation in _COLOURS and (bits != 8 or dataset.PixelRepresentation):
        return _unsupported(f"colour of {bits} bits is not read, of 8 it is")
    shift = _shift(dataset)
    is_word_of_file = SYNTAXES[transfer_syntax(dataset)].plugin in _GIVE_WORDS_OF_THE_FILE
    if not 0 <= shift <= dataset.BitsAllocated - bits or (shift and not is_word_of_file):
        return _unsupported(
            f"High Bit {dataset.HighBit} and Bits Stored {bits} contradict each other"
        )
    return None


def _unsupported(text: str) -> Fault:
    return Fault("unsupported_pixels", f"{text}: export 8 to 16 bit grey")


def _shift(header: Any) -> int:
    """Unused bits below the stored ones: of files from before 2013, and of ACR-NEMA."""
    highest = header.get("HighBit")
    return 0 if highest is None else int(highest) + 1 - int(header.BitsStored)


def transfer_syntax(dataset: Any) -> Any:
    """The UID that the file names; where it names none, of what pydicom found the elements to be."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return named
    from pydicom import uid

    is_implicit, is_little_endian = dataset.original_encoding
    if is_implicit:
        return uid.ImplicitVRLittleEndian
    return uid.ExplicitVRLittleEndian if is_little_endian else uid.ExplicitVRBigEndian
