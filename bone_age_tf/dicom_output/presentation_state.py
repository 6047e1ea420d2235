"""The outline of the hand and the bone age as a Grayscale Softcopy Presentation State, over the radiograph as it is.

A viewer that applies it takes grey levels, shutter and shape of the pixels from it instead of from the radiograph, so it
repeats those of the radiograph. Without a window in either, the viewer chooses one as before.
"""

from typing import TYPE_CHECKING, Any

from bone_age_tf.config import RESEARCH_ONLY, DicomOutputConfig
from bone_age_tf.dicom.transforms import as_word, first_lut, first_window, to_16_bits
from bone_age_tf.dicom_output.attributes import ascii_of, lenient
from bone_age_tf.dicom_output.instance import (
    GREEN,
    completed,
    evidence_of,
    identity,
    repeat,
    side_of,
    values_of,
)
from bone_age_tf.dicom_output.report import graphic_data
from bone_age_tf.dicom_output.result import Result
from bone_age_tf.dicom_output.wording import headline_of, interval_label, interval_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

LAYER = "BONE_AGE"
TEXT_BOX = (0.02, 0.02, 0.75, 0.14)
"""Left, top, right and bottom, as shares of the displayed area."""

_SHUTTERS = {
    "RECTANGULAR": (
        *("ShutterLeftVerticalEdge", "ShutterRightVerticalEdge"),
        *("ShutterUpperHorizontalEdge", "ShutterLowerHorizontalEdge"),
    ),
    "CIRCULAR": ("CenterOfCircularShutter", "RadiusOfCircularShutter"),
    "POLYGONAL": ("VerticesOfThePolygonalShutter",),
}
"""Shape -> the attributes that it needs."""


def presentation_state_of(result: Result, config: DicomOutputConfig) -> "Dataset | None":
    """None of a rejected radiograph, and of one in colour."""
    if result.obstacle or result.outline is None or result.source.get("SamplesPerPixel", 1) != 1:
        return None
    import highdicom as hd

    with lenient():
        evidence = evidence_of(result)
        layer = hd.pr.GraphicLayer(
            LAYER,
            order=1,
            description="Bone age and outline of the hand",
            display_color=hd.color.CIELabColor.from_rgb(*GREEN),
        )
        dataset = hd.pr.GrayscaleSoftcopyPresentationState(
            [evidence],
            content_label="BONE_AGE",
            content_description="Bone age and outline of the hand",
            graphic_annotations=[_annotation(result, evidence, layer)],
            graphic_layers=[layer],
            **identity(result, "presentation_state", config),
        )
        dataset.Laterality = side_of(result)
        _look(dataset, result.source)
        return completed(dataset, evidence, result, config)


# === Annotation ===


def _annotation(result: Result, evidence: "Dataset", layer: Any) -> Any:
    import highdicom as hd

    outline = hd.pr.GraphicObject(
        hd.pr.GraphicTypeValues.POLYLINE,
        graphic_data(result),
        hd.pr.AnnotationUnitsValues.PIXEL,
    )
    text = hd.pr.TextObject(
        ascii_of(_text(result)),
        hd.pr.AnnotationUnitsValues.DISPLAY,
        bounding_box=TEXT_BOX,
        text_justification=hd.pr.TextJustificationValues.LEFT,
    )
    return hd.pr.GraphicAnnotation(
        [evidence], layer, graphic_objects=[outline], text_objects=[text]
    )


def _text(result: Result) -> str:
    interval = interval_of(result.prediction)
    lines = (
        f"{headline_of(result.prediction)} ({result.prediction.bone_age_months:.1f} months)",
        f"{interval_label(result)}: {interval}" if interval else "",
        RESEARCH_ONLY,
    )
    return "\r\n".join(filter(None, lines))


# === Look ===


def _look(dataset: Any, source: "Dataset") -> None:
    """Grey levels, shutter and shape of the pixels of the radiograph, as `dicom.pixels` reads them."""
    _add_modality_lut(dataset, source)
    voi = _voi_of(source)
    if voi is not None:
        dataset.SoftcopyVOILUTSequence = [voi]
    is_inverse = source.get("PresentationLUTShape") == "INVERSE"
    is_monochrome1 = source.get("PhotometricInterpretation") == "MONOCHROME1"
    dataset.PresentationLUTShape = "INVERSE" if is_inverse or is_monochrome1 else "IDENTITY"
    _add_shutter(dataset, source)
    _add_shape_of_pixels(dataset.DisplayedAreaSelectionSequence[0], source)


def _add_modality_lut(dataset: Any, source: "Dataset") -> None:
    lut = _lut_of(source, "ModalityLUTSequence")
    if lut is not None:
        lut.ModalityLUTType = source.ModalityLUTSequence[0].get("ModalityLUTType") or "US"
        dataset.ModalityLUTSequence = [lut]
    elif any(values_of(source, keyword) for keyword in ("RescaleSlope", "RescaleIntercept")):
        dataset.RescaleIntercept = _intercept_of(source)
        dataset.RescaleSlope = next(iter(values_of(source, "RescaleSlope")), 1)
        dataset.RescaleType = source.get("RescaleType") or "US"


def _intercept_of(source: "Dataset") -> float:
    return next(iter(values_of(source, "RescaleIntercept")), 0)


def _voi_of(source: "Dataset") -> "Dataset | None":
    """The first look-up table, or else the first window; None without both."""
    from pydicom.dataset import Dataset

    voi, window = Dataset(), first_window(source)
    lut = _lut_of(source, "VOILUTSequence", in_16_bits=True)
    if lut is not None:
        voi.VOILUTSequence = [lut]
    elif window is not None:
        voi.WindowCenter = values_of(source, "WindowCenter")[0]
        voi.WindowWidth = values_of(source, "WindowWidth")[0]
        voi.VOILUTFunction = window.function
    return voi if len(voi) else None


def _lut_of(source: "Dataset", keyword: str, *, in_16_bits: bool = False) -> "Dataset | None":
    """The first table of a sequence, with its value representations told; None without one that can be read.

    `in_16_bits`: dciodvfy takes 8 and 16 only, where PS3.3 C.11.2.1.1 allows a presentation state all between.
    """
    from pydicom.dataset import Dataset

    is_signed = bool(source.get("PixelRepresentation")) or _intercept_of(source) < 0
    try:
        lut = first_lut(source, keyword, is_signed)
    except (AttributeError, TypeError, ValueError):  # a table without a descriptor, or too short
        return None
    if lut is None:
        return None
    entries, bits = lut.entries, lut.bits
    if in_16_bits:
        entries, bits = to_16_bits(entries, bits), 16
    descriptor = (len(entries) % 2**16, lut.first, bits)
    item = Dataset()
    if lut.first < 0:
        item.add_new(
            "LUTDescriptor", "SS", [as_word(value, is_signed=True) for value in descriptor]
        )
    else:
        item.add_new("LUTDescriptor", "US", list(descriptor))
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return item


def _add_shutter(dataset: Any, source: "Dataset") -> None:
    """Of the shapes that are told whole; not of a bitmap, which is an overlay."""
    told = values_of(source, "ShutterShape")
    shapes = [
        shape
        for shape, keywords in _SHUTTERS.items()
        if shape in told and all(source.get(keyword) is not None for keyword in keywords)
    ]
    if shapes:
        dataset.ShutterShape = shapes
        dataset.ShutterPresentationValue = source.get("ShutterPresentationValue") or 0
        for shape in shapes:
            repeat(dataset, source, _SHUTTERS[shape])


def _add_shape_of_pixels(area: "Dataset", source: "Dataset") -> None:
    """Highdicom takes them as square."""
    spacing, ratio = (
        next((pair for pair in pairs if len(pair) == 2 and min(pair) > 0), None)
        for pairs in (
            (values_of(source, "PixelSpacing"), values_of(source, "ImagerPixelSpacing")),
            (values_of(source, "PixelAspectRatio"),),
        )
    )
    if spacing:
        del area.PresentationPixelAspectRatio
        area.PresentationPixelSpacing = spacing
    elif ratio:
        area.PresentationPixelAspectRatio = ratio
