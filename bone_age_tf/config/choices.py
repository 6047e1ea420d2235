"""Names and choices that stand once: settings, code and command line import them from here."""

from typing import Literal, get_args

RESEARCH_ONLY = "For research and education. Not a medical device."
"""What every result says of itself."""

# === Data ===

TRAINING_SPLIT = "train"
VALIDATION_SPLIT = "validation"
TEST_SPLIT = "test"
FOLD_SPLIT = "fold"
"""Not a split of the data set: the radiographs that a run with `data.fold` holds out."""
DEFAULT_SPLIT = {TRAINING_SPLIT: 0.8, VALIDATION_SPLIT: 0.1, TEST_SPLIT: 0.1}
"""Share of the radiographs in each split of `prepare`."""

SexChoice = Literal["both", "F", "M"]
SEX_CHOICES = get_args(SexChoice)
"""Whose radiographs."""
SexLabel = Literal["F", "M", "unknown"]
SEX_LABELS = get_args(SexLabel)
"""`sex.SEX_NAMES`, without the import of TensorFlow."""
AGE_BANDS = {
    "0-4 years": (0.0, 48.0),
    "4-8 years": (48.0, 96.0),
    "8-12 years": (96.0, 144.0),
    "12-16 years": (144.0, 192.0),
    "16-20 years": (192.0, 241.0),
}
"""Bands of the bone age in months: lower end included, upper not."""
AgeUnit = Literal["months", "years"]
AGE_UNITS = get_args(AgeUnit)
HeightUnit = Literal["cm", "m", "in"]
HEIGHT_UNITS = get_args(HeightUnit)
"""Centimetres, metres, inches."""

DicomReason = Literal["body_part", "for_processing"]
DICOM_REASONS = get_args(DicomReason)
"""Why the header of a DICOM file rejects it, of what can be accepted: `dicom.admission.ACCEPTABLE`."""

DicomObject = Literal["report", "picture", "key_object", "presentation_state", "segmentation"]
DICOM_OBJECTS = get_args(DicomObject)
"""What a result can be written as: a structured report, a Secondary Capture, a Key Object Selection, a
Grayscale Softcopy Presentation State, the mask of the hand."""
SrClass = Literal["comprehensive_3d", "comprehensive"]
SR_CLASSES = get_args(SrClass)
ReadingMethod = Literal["greulich_pyle", "tanner_whitehouse"]
READING_METHODS = get_args(ReadingMethod)
"""How the readers of a training set came to its bone ages."""

PreprocessingMethod = Literal["registered", "letterbox"]
PREPROCESSING_METHODS = get_args(PreprocessingMethod)
SHIPPED_LOCALIZER = "shipped"
OWN_LOCALIZER = "localizer"
"""Folder beside a data set's or run's manifest that holds a localizer other than the shipped one."""
Encoding = Literal["png", "raw"]
ENCODINGS = get_args(Encoding)
"""`record.ENCODINGS`, without the import of TensorFlow."""
RUNNERS = ("local", "dask", "beam")
"""What `prepare` runs on."""
PhantomStyle = Literal["clean", "varied"]
PHANTOM_STYLES = get_args(PhantomStyle)
PhantomFormat = Literal["png", "dicom"]
PHANTOM_FORMATS = get_args(PhantomFormat)

# === Predictions ===

SD_SCORE_CONVENTION = "Brush Foundation: (bone age - chronological age) / SD"
"""Reference standard and definition of `sd_score`: `growth.reference_standards`."""
SEX_LOOKS_WRONG = "sex_looks_wrong"
TRAINED_ON = "trained_on"
"""Warning: the model was trained on this very file."""
INFANT = "infant"
"""Warning: the child or the hand is too young for a verdict to mean much."""
NEAR_END_OF_SCALE = "near_end_of_scale"
"""Warning: the model was trained on few radiographs of this bone age and beyond it."""
MATURE = "mature"
"""Warning: the hand may be skeletally mature. `dicom.warnings` has those of a header."""

# === Network and training ===

Target = Literal["bone_age", "sex"]
TARGETS = get_args(Target)
Head = Literal["regression", "expectation"]
HEADS = get_args(Head)
Pooling = Literal["average", "flatten", "average_2x2_flatten"]
POOLINGS = get_args(Pooling)
Activation = Literal["relu", "elu"]
ACTIVATIONS = get_args(Activation)
Schedule = Literal["cosine", "linear", "constant"]
SCHEDULES = get_args(Schedule)
Normalization = Literal["auto", "synchronized", "each_device"]
NORMALIZATIONS = get_args(Normalization)
Precision = Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"]
PRECISIONS = get_args(Precision)
Cache = Literal["auto", "yes", "no"]
CACHES = get_args(Cache)

# === Trained and exported models ===

CHECKPOINTS = ("best", "last")
"""Weights of a run: of its best epoch in validation, or of its last."""
WEIGHTINGS = ("mean", "fitted")
"""Of an ensemble's members."""
TTA_VIEWS = ("none", "mirror", "warps", "warps_mirror")
"""Test-time augmentation: keys of `VIEWS` in `models/views.py`."""
Correction = Literal["linear", "monotone", "none"]
CORRECTIONS = get_args(Correction)
"""Sex-specific recalibration by a line or by a monotone curve, or none."""
WEIGHTS_DTYPES = ("float32", "float16")
"""Of an exported model's kernels."""
Engine = Literal["tensorflow", "openvino", "openvino-bfloat16"]
ENGINES = get_args(Engine)
DEFAULT_ENGINE: Engine = "tensorflow"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches."""
