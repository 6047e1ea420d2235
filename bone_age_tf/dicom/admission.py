"""What a header tells of a file that is not one radiograph of a hand: refused before it is decoded."""

import re
from collections.abc import Callable, Mapping

from bone_age_tf.config.choices import DICOM_REASONS
from bone_age_tf.dicom import packages
from bone_age_tf.dicom.body_parts import other_body_part
from bone_age_tf.dicom.decoders import SYNTAXES
from bone_age_tf.dicom.fault import Fault
from bone_age_tf.dicom.header import DX_FOR_PROCESSING, SECONDARY_CAPTURE, Header
from bone_age_tf.files.limits import TOO_LARGE, is_too_large

_JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"

ACCEPTABLE = DICOM_REASONS
"""Reasons that can be overridden by `accept`."""

RADIOGRAPHS: Mapping[str, str] = {
    "1.2.840.10008.5.1.4.1.1.1": "Computed Radiography",
    "1.2.840.10008.5.1.4.1.1.1.1": "Digital X-Ray, For Presentation",
    DX_FOR_PROCESSING: "Digital X-Ray, For Processing",
    SECONDARY_CAPTURE: "Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.2": "Multi-frame Grayscale Byte Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.3": "Multi-frame Grayscale Word Secondary Capture",
    "1.2.840.10008.5.1.4.1.1.7.4": "Multi-frame True Color Secondary Capture",
}
"""SOP Class UID -> name, of the classes that are read; those of several frames with one frame."""

OTHER_MODALITIES: Mapping[str, str] = {
    **{"CT": "computed tomography", "MR": "magnetic resonance", "US": "ultrasound"},
    **{"MG": "mammography", "NM": "nuclear medicine", "PT": "positron emission tomography"},
    **{"XA": "angiography", "RF": "fluoroscopy", "BMD": "densitometry"},
    **{"IO": "intra-oral radiography", "PX": "panoramic radiography", "ES": "endoscopy"},
    **{
        "GM": "microscopy",
        "SM": "slide microscopy",
        "XC": "photography",
        "ECG": "electrocardiography",
    },
    **{"OP": "ophthalmic photography", "OPT": "ophthalmic tomography", "DOC": "document"},
    **{"SR": "report", "KO": "key objects", "PR": "presentation state"},
}
"""Modality -> name, of those that are no radiographs also where the class is that of a radiograph or a screenshot."""

PHOTOMETRIC_INTERPRETATIONS = (
    *("MONOCHROME1", "MONOCHROME2", "RGB"),
    *("YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
)

_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"

_accepted: set[str] = set()


def accept(*reasons: str) -> None:
    """For this process: do not refuse for these reasons of `ACCEPTABLE`, and for no others."""
    unknown = set(reasons) - set(ACCEPTABLE)
    if unknown:
        raise ValueError(f"reasons: expected some of {ACCEPTABLE}, received {sorted(unknown)}.")
    _accepted.update(reasons)  # first: another thread may be reading
    _accepted.intersection_update(reasons)


def fault_in(header: Header) -> Fault | None:
    """Why the file is not decoded, as far as its header tells; None: it may be a radiograph of a hand."""
    faults = (check(header) for check in _CHECKS)
    return next((fault for fault in faults if fault and fault.reason not in _accepted), None)


def _class_fault(header: Header) -> Fault | None:
    if header.is_own_picture:
        text = "the file is a picture of a result of bone-age-tf: choose the radiograph itself"
        return Fault("not_a_radiograph", text)
    if header.sop_class in RADIOGRAPHS:
        return _modality_fault(header)
    if header.sop_class == _MEDIA_STORAGE_DIRECTORY:
        text = "the file is a DICOMDIR, the table of contents of a medium: give its folder instead"
        return Fault("not_a_radiograph", text)
    name = _name(header.sop_class).removesuffix(" Storage")
    what = f"the file is a DICOM object of the class {name}" if name else _UNKNOWN_CLASS
    return Fault("not_a_radiograph", f"{what}, not a radiograph (DX, CR or Secondary Capture)")


def _modality_fault(header: Header) -> Fault | None:
    """Of a screenshot that says what it shows, mostly."""
    name = OTHER_MODALITIES.get(header.modality)
    if name is None:
        return None
    text = f"the header's modality is {header.modality} ({name}), not that of a radiograph"
    return Fault("not_a_radiograph", text)


_UNKNOWN_CLASS = "the file is a DICOM object of no class of the standard"


def _processing_fault(header: Header) -> Fault | None:
    if header.sop_class != DX_FOR_PROCESSING:
        return None
    text = "the file is For Processing, not what a reader sees: export the one For Presentation"
    return Fault("for_processing", f"{text}, or --accept-dicom for_processing")


def _body_part_fault(header: Header) -> Fault | None:
    other = other_body_part(header.body_part)
    text = f"the header names another body part ({other}): if it is a hand, --accept-dicom body_part (also an option of serve) reads it"
    return Fault("body_part", text) if other else None


def _pixel_data_fault(header: Header) -> Fault | None:
    match header.pixel_data:
        case "there":
            return None
        case "encrypted":
            text = "the pixels are encrypted: decrypt the file where it was made"
            return Fault("encrypted", text)
        case "float":
            text = "pixels of floating point are not read: export 8 to 16 bit grey"
            return Fault("unsupported_pixels", text)
        case _:
            text = f"Pixel Data are {header.pixel_data}: the file is truncated, or has no picture"
            return Fault("no_pixel_data", text)


def _size_fault(header: Header) -> Fault | None:
    if not (header.rows and header.columns and header.frames):
        return Fault("damaged", "the header does not tell the size of the picture")
    if header.frames > 1:
        text = f"the file has {header.frames} frames: export the frame of the hand alone"
        return Fault("multi_frame", text)
    if is_too_large(header.rows, header.columns):
        return Fault("too_large", f"{TOO_LARGE} {header.rows} x {header.columns}")
    return None


def _pixel_fault(header: Header) -> Fault | None:
    allocated, stored = header.bits_allocated, header.bits_stored
    if not (allocated and stored):
        return Fault("damaged", "the header does not tell the bits of a pixel")
    if allocated not in (8, 16, 32) or not 2 <= stored <= min(16, allocated):
        text = f"{stored} bits stored in {allocated} are not read: export 8 to 16 bit grey"
        return Fault("unsupported_pixels", text)
    kind = header.photometric_interpretation
    if kind == "PALETTE COLOR":
        text = "PALETTE COLOR is not read: a radiograph is grey; export it as such"
        return Fault("unsupported_pixels", text)
    samples = 1 if kind.startswith("MONOCHROME") else 3
    if kind not in PHOTOMETRIC_INTERPRETATIONS or samples != header.samples_per_pixel:
        text = f"pixels of {header.samples_per_pixel} samples, {kind or 'of no kind'}, are not read"
        return Fault("unsupported_pixels", f"{text}: export 8 to 16 bit grey")
    if samples == 3 and stored != 8:
        return Fault("unsupported_pixels", f"colour of {stored} bits is not read: export grey")
    return None


def _syntax_fault(header: Header) -> Fault | None:
    uid = header.transfer_syntax
    if uid in SYNTAXES and not (uid == _JPEG_EXTENDED and header.bits_stored > 8):
        return None
    name = SYNTAXES[uid].name if uid in SYNTAXES else _name(uid) or _standard(uid)
    name += f" of {header.bits_stored} bit" if uid == _JPEG_EXTENDED else ""
    what = f"the transfer syntax {name or 'of a vendor'} is not read"
    is_video = any(word in name for word in ("MPEG", "HEVC", "JPIP", "SMPTE"))
    way_out = "export a single still image" if is_video else _CONVERSION
    return Fault("unsupported_transfer_syntax", f"{what}: {way_out}")


_CONVERSION = "convert it to Explicit VR Little Endian, as by dcmdjpeg of DCMTK or gdcmconv --raw"

_CHECKS: tuple[Callable[[Header], Fault | None], ...] = (
    _class_fault,
    _processing_fault,
    _body_part_fault,
    _pixel_data_fault,
    _size_fault,
    _pixel_fault,
    _syntax_fault,
)


def _standard(uid: str) -> str:
    """A UID below that of the standard, which this pydicom does not know; empty for a vendor's."""
    return uid if re.fullmatch(r"1\.2\.840\.10008\.[0-9.]{1,40}", uid) else ""


def _name(uid: str) -> str:
    """By the standard; empty where it is not of the standard, since a private one may name a hospital."""
    pydicom = packages.pydicom()
    entry = pydicom._uid_dict.UID_dictionary.get(uid) if pydicom else None
    return entry[0].partition(":")[0] if entry else ""
