"""Settings of what comes before training: reading, preparing and drawing radiographs.

The names and values of `PreprocessingConfig` are part of a data set's fingerprint.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import (
    DEFAULT_SPLIT,
    OWN_LOCALIZER,
    SHIPPED_LOCALIZER,
    AgeUnit,
    DicomReason,
    Encoding,
    HeightUnit,
    PhantomFormat,
    PhantomStyle,
    PreprocessingMethod,
    SexChoice,
    SexLabel,
)
from bone_age_tf.config.parsing import FROM_LIST, Settings, require

FRAME_HEIGHT = 2080
FRAME_WIDTH = 1600

Count = Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class PreprocessingConfig(Settings, typed_as="preprocessing.{}"):
    """From a raw radiograph to the prepared frame."""

    method: PreprocessingMethod = "registered"
    """`registered`: the hand is found, turned upright into the frame, its background removed and
    its contrast taken from the hand alone; a picture that is not one whole hand is rejected.
    `letterbox`: polarity check, intensity stretch, whole radiograph fitted into the frame."""
    scale: Annotated[float, Field(ge=0.05, le=1, title="--scale")] = 0.25
    """The prepared frame is 2080 x 1600 (rows x columns) times this: 520 x 400 by default."""
    low_percentile: float = 1.0
    """Pixels at or below this percentile of the hand (letterbox: the radiograph) become 0."""
    high_percentile: float = 99.5
    """Pixels at or above this percentile of the hand (letterbox: the radiograph) become 255."""
    localizer: str = SHIPPED_LOCALIZER
    """`shipped`, or a folder that `train --recipe hand_localizer` made."""

    def __post_init__(self) -> None:
        require(
            0 <= self.low_percentile < self.high_percentile <= 100,
            "preprocessing percentiles",
            "0 <= low < high <= 100",
            (self.low_percentile, self.high_percentile),
        )

    @property
    def frame(self) -> tuple[int, int]:
        """Rows and columns of the prepared radiograph."""
        return round(FRAME_HEIGHT * self.scale), round(FRAME_WIDTH * self.scale)

    @property
    def has_own_localizer(self) -> bool:
        """Whether a localizer other than the shipped one is used."""
        return self.method == "registered" and self.localizer != SHIPPED_LOCALIZER

    def portable(self) -> "PreprocessingConfig":
        """The same without a path of this machine: an own localizer lies beside, in `localizer/`."""
        beside = OWN_LOCALIZER if self.has_own_localizer else SHIPPED_LOCALIZER
        return dataclasses.replace(self, localizer=beside)

    def resolved(self, folder: Path) -> "PreprocessingConfig":
        """What `portable` made, read from a file in `folder`."""
        if not self.has_own_localizer:
            return self
        return dataclasses.replace(self, localizer=str(folder / OWN_LOCALIZER))


@dataclass(frozen=True)
class LabelOptions(Settings, typed_as="--{}"):
    """How to read a label table whose columns are not recognised by themselves."""

    id_column: str | None = None
    """Column of the identifier, which is the stem of the file's name."""
    age_column: str | None = None
    """Column of the bone age."""
    sex_column: str | None = None
    """Column of the sex."""
    sex: SexLabel | None = None
    """Of every row whose table does not tell it."""
    sex_map: Mapping[str, SexLabel] = dataclasses.field(default_factory=dict)
    """Meaning of words in that column; it goes before the known ones."""
    group_column: str | None = None
    """Column of the patient (or family, or site): its radiographs stay in one split."""
    split_column: str | None = None
    """Column that names each row's split."""
    age_unit: AgeUnit | None = None
    """`months` or `years`; None: months, and a table that is evidently in years is an error."""
    unlabelled: bool = False
    """The bone age may be missing: the data are only for prediction."""
    chronological_age_column: str | None = None
    """Column of the chronological age; read where `unlabelled`."""
    chronological_age_unit: AgeUnit | None = None
    """As `age_unit`."""
    height_column: str | None = None
    """Column of the child's height; this and the next are read where `unlabelled`."""
    mother_height_column: str | None = None
    """Column of the mother's height."""
    father_height_column: str | None = None
    """Column of the father's height."""
    height_unit: HeightUnit | None = None
    """`cm`, `m` or `in`; None: centimetres, and a column that is evidently in another unit is an error."""


@dataclass(frozen=True)
class PrepareConfig(Settings, typed_as="--{}"):
    """Raw radiographs to a data set of prepared radiographs."""

    source: str
    """Folder or zip of raw radiographs."""
    output: str
    """Folder of the data set, made where it does not exist."""
    labels: str | None = None
    """Label table; None: the one that the source holds."""
    image_dir: str | None = None
    """Folder or zip of the radiographs where it is not the source."""
    label_options: LabelOptions = LabelOptions()
    split: Mapping[str, float] = dataclasses.field(default_factory=DEFAULT_SPLIT.copy)
    """Share of the radiographs in each split; the shares add up to 1."""
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    seed: int = 0
    """Decides the splits, the order of the records and the rows that `limit` keeps."""
    shards: Count | None = None
    """Shards of the largest split; None: one for every 128 radiographs."""
    jobs: Count | None = None
    """Shards made at the same time; None: one for each core."""
    encoding: Encoding = "png"
    """Of the records' images: `png`, or `raw`, uint8 pixels: larger, and much faster to read."""
    variants: Annotated[int, Field(ge=0)] = 0
    """Further pictures of each radiograph with the grey levels of other devices, for training."""
    limit: Count | None = None
    """Use only this many rows, sampled with the seed."""
    skip_bad: bool = False
    """Leave out the rows and files that have a problem."""
    salt: str | None = None
    """File of the salt of DICOM ids, made where it does not exist; None: `OUTPUT.salt`."""
    accept_dicom: Annotated[tuple[DicomReason, ...], FROM_LIST] = ()
    """Reasons for which the header of a DICOM file does not reject it."""

    def __post_init__(self) -> None:
        require(
            bool(self.split)
            and all(name.isidentifier() for name in self.split)
            and all(share > 0 for share in self.split.values())
            and abs(sum(self.split.values()) - 1) < 1e-6,
            "--split",
            "names with positive shares that add up to 1, as in train=0.8,validation=0.1,test=0.1",
            dict(self.split),
        )


@dataclass(frozen=True)
class PhantomConfig(Settings, typed_as="--{}"):
    """Drawn radiographs with their truth."""

    output: str
    """Folder to make: Kaggle's layout and `truth/`."""
    count: Count
    """Number of radiographs."""
    size: Annotated[int, Field(ge=64, le=4096)] = 768
    """Pixels of the longer side."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides everything; radiograph i of a seed is the same whatever the count."""
    sex: SexChoice = "both"
    """F, M or both."""
    ages: Annotated[tuple[int, int], FROM_LIST] = (12, 228)
    """Youngest and oldest bone age in months; uniform between them."""
    style: PhantomStyle = "clean"
    """`clean`: good radiographs. `varied`: with what archives hold besides."""
    out_of_plane: Annotated[tuple[float, float], FROM_LIST] = (0.0, 0.0)
    """Least and greatest angle in degrees by which hands are turned about their long axis, to either side; 90 is lateral."""
    with_bones: bool = True
    """False: soft tissue only, the same hands otherwise; a control for what a network reads."""
    format: PhantomFormat = "png"
    """`png`: 8-bit grey. `dicom`: DX and CR in turn, 12-bit grey."""
    jobs: Count | None = None
    """Processes; None: one for each core. The files do not depend on it."""

    def __post_init__(self) -> None:
        require(
            0 <= self.ages[0] <= self.ages[1] <= 300,
            "--ages",
            "YOUNGEST:OLDEST in months between 0 and 300, as in 12:228",
            ":".join(map(str, self.ages)),
        )
        require(
            0 <= self.out_of_plane[0] <= self.out_of_plane[1] <= 90,
            "--out-of-plane",
            "LEAST:GREATEST in degrees between 0 and 90, as in 30:90",
            ":".join(map(str, self.out_of_plane)),
        )
