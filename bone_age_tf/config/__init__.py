"""Every setting of every stage: frozen dataclasses, checked when they are made.

`to_dict` and `from_dict` round-trip through JSON, `override` applies `--set train.epochs=3`.
"""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bone_age_tf.errors import UsageError

FRAME_HEIGHT = 2080
FRAME_WIDTH = 1600

PREPROCESSING_METHODS = ("registered", "letterbox")
SHIPPED_LOCALIZER = "shipped"
OWN_LOCALIZER = "localizer"
"""Folder beside a data set's or run's manifest that holds a localizer other than the shipped one."""
PHANTOM_STYLES = ("clean", "varied")
SEX_CHOICES = ("both", "F", "M")
CHECKPOINTS = EPOCHS = ("best", "last")
CORRECTIONS = ("linear", "none")
TTA_VIEWS = ("none", "mirror", "warps", "warps_mirror")
WEIGHTINGS = ("mean", "fitted")
WEIGHTS_DTYPES = ("float32", "float16")
RESEARCH_ONLY = "For research and education. Not a medical device."
"""What every result says of itself."""
ENGINES = ("tensorflow", "openvino")
DEFAULT_ENGINE = ENGINES[0]
LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""Addresses that only this machine reaches."""
TARGETS = ("bone_age", "sex")
HEADS = ("regression", "expectation")
POOLINGS = ("average", "flatten", "average_2x2_flatten")
ACTIVATIONS = ("relu", "elu")
SCHEDULES = ("cosine", "linear", "constant")
PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")

Config = TypeVar("Config")


def _require(condition: bool, setting: str, expected: str, received: object) -> None:
    if not condition:
        raise UsageError(f"{setting} must be {expected}. Received: {received!r}.")


@dataclasses.dataclass(frozen=True)
class PreprocessingConfig:
    """From a raw radiograph to the prepared frame."""

    method: str = "registered"
    """`registered`: the hand is found, turned upright into the frame, its background removed and
    its contrast taken from the hand alone; a picture that is not one whole hand is refused.
    `letterbox`: polarity check, intensity stretch, whole radiograph fitted into the frame."""
    scale: float = 0.25
    """The prepared frame is 2080 x 1600 (rows x columns) times this: 520 x 400 by default."""
    low_percentile: float = 1.0
    """Pixels at or below this percentile of the hand (letterbox: the radiograph) become 0."""
    high_percentile: float = 99.5
    """Pixels at or above this percentile of the hand (letterbox: the radiograph) become 255."""
    localizer: str = SHIPPED_LOCALIZER
    """`shipped`, or a folder that `train --recipe hand_localizer` made."""

    def __post_init__(self) -> None:
        _require(
            self.method in PREPROCESSING_METHODS,
            "preprocessing.method",
            f"one of {', '.join(PREPROCESSING_METHODS)}",
            self.method,
        )
        _require(0.05 <= self.scale <= 1, "--scale", "between 0.05 and 1", self.scale)
        _require(
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


@dataclasses.dataclass(frozen=True)
class LabelOptions:
    """How to read a label table whose columns are not recognised by themselves."""

    id_column: str | None = None
    """Column of the identifier, which is the stem of the file's name."""
    age_column: str | None = None
    """Column of the bone age."""
    sex_column: str | None = None
    """Column of the sex."""
    group_column: str | None = None
    """Column of the patient (or family, or site): its radiographs stay in one split."""
    split_column: str | None = None
    """Column that names each row's split."""
    age_unit: str | None = None
    """`months` or `years`; None: months, and a table that is evidently in years is refused."""
    unlabelled: bool = False
    """The bone age may be missing: the data are only for prediction."""
    chronological_age_column: str | None = None
    """Column of the chronological age; read where `unlabelled`."""
    chronological_age_unit: str | None = None
    """As `age_unit`."""

    def __post_init__(self) -> None:
        for flag, unit in (
            ("--age-unit", self.age_unit),
            ("--chronological-age-unit", self.chronological_age_unit),
        ):
            _require(unit in (None, "months", "years"), flag, "months or years", unit)


@dataclasses.dataclass(frozen=True)
class PrepareConfig:
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
    split: Mapping[str, float] = dataclasses.field(
        default_factory=lambda: {"train": 0.8, "validation": 0.1, "test": 0.1}
    )
    """Share of the radiographs in each split; the shares add up to 1."""
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    seed: int = 0
    """Decides the splits, the order of the records and the rows that `limit` keeps."""
    shards: int | None = None
    """Shards of the largest split; None: one for every 128 radiographs."""
    jobs: int | None = None
    """Shards made at the same time; None: one for each core."""
    encoding: str = "png"
    """Of the records' images: `png`, or `raw`, uint8 pixels: larger, and much faster to read."""
    limit: int | None = None
    """Use only this many rows, drawn by the seed."""
    skip_bad: bool = False
    """Go on without the rows and files that have a problem."""

    def __post_init__(self) -> None:
        _require(bool(self.split), "--split", "at least one NAME=SHARE", dict(self.split))
        _require(
            all(name.isidentifier() for name in self.split)
            and all(share > 0 for share in self.split.values())
            and abs(sum(self.split.values()) - 1) < 1e-6,
            "--split",
            "names with positive shares that add up to 1, as in train=0.8,validation=0.1,test=0.1",
            dict(self.split),
        )
        _require(self.encoding in ("png", "raw"), "--encoding", "png or raw", self.encoding)
        for name in ("shards", "jobs", "limit"):
            value = getattr(self, name)
            _require(value is None or value >= 1, f"--{name}", "at least 1", value)


@dataclasses.dataclass(frozen=True)
class PhantomConfig:
    """Drawn radiographs with their truth."""

    output: str
    """Folder to make: Kaggle's layout and `truth/`."""
    count: int
    """Number of radiographs."""
    size: int = 768
    """Pixels of the longer side."""
    seed: int = 0
    """Decides everything; radiograph i of a seed is the same whatever the count."""
    sex: str = "both"
    """F, M or both."""
    ages: tuple[int, int] = (12, 228)
    """Youngest and oldest bone age in months; uniform between them."""
    style: str = "clean"
    """`clean`: good radiographs. `varied`: with what archives hold besides."""
    with_bones: bool = True
    """False: soft tissue only, the same hands otherwise; a control for what a network reads."""
    jobs: int | None = None
    """Processes; None: one for each core. The files do not depend on it."""

    def __post_init__(self) -> None:
        _require(self.count >= 1, "--count", "at least 1", self.count)
        _require(64 <= self.size <= 4096, "--size", "between 64 and 4096", self.size)
        _require(self.seed >= 0, "--seed", "0 or more", self.seed)
        _require(self.sex in ("F", "M", "both"), "--sex", "F, M or both", self.sex)
        _require(
            0 <= self.ages[0] <= self.ages[1] <= 240,
            "--ages",
            "YOUNGEST:OLDEST in months between 0 and 240, as in 12:228",
            ":".join(map(str, self.ages)),
        )
        _require(self.style in PHANTOM_STYLES, "--style", "clean or varied", self.style)
        _require(self.jobs is None or self.jobs >= 1, "--jobs", "at least 1", self.jobs)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Trunk + sex branch + head."""

    trunk: str = "inception_v3"
    """A name in `models/backbones.py`."""
    target: str = "bone_age"
    """What it tells: `bone_age` in months, or `sex`: the probability that the hand is a boy's."""
    pooling: str = "average"
    """The trunk's feature maps as one vector: `average` over all places, `flatten`, or
    `average_2x2_flatten`, the mean of every 2 x 2 places. The last two fit one size of frame only."""
    sex_units: int = 32
    """Units of the sex branch; 0: the network is not told the sex, as always for the target `sex`."""
    head: str = "regression"
    """Of the bone age: `regression`, one score in standard deviations, or `expectation`, the mean of a
    softmax over 1 to 240 months."""
    head_layers: int = 1
    """Dense layers between the vector, joined with the sex, and the output."""
    head_units: int = 512
    """Units of each of them."""
    activation: str = "relu"
    """Of these layers: `relu` or `elu`."""
    dropout: float = 0.3
    """Dropout before each of these layers and, where there is only one, after it."""
    age_mean_months: float | None = None
    """Mean bone age that the head starts from; None: that of the radiographs for training, or of the run
    that `--weights` names."""
    age_sd_months: float | None = None
    """Standard deviation that scales the head; None: likewise."""

    def __post_init__(self) -> None:
        _require(0 <= self.dropout < 1, "model.dropout", "at least 0 and below 1", self.dropout)
        _require(self.sex_units >= 0, "model.sex_units", "0 or more", self.sex_units)
        for name in ("head_layers", "head_units"):
            _require(getattr(self, name) >= 1, f"model.{name}", "at least 1", getattr(self, name))
        for name, choices in (
            ("target", TARGETS),
            ("pooling", POOLINGS),
            ("head", HEADS),
            ("activation", ACTIVATIONS),
        ):
            value = getattr(self, name)
            _require(value in choices, f"model.{name}", f"one of {', '.join(choices)}", value)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """What the network is shown of the prepared radiographs."""

    region: str = "frame"
    """`frame` (all of it), or a crop of it by name: `hand`, `carpal`, `metacarpal`
    (`preprocessing/regions.py`). Cut out inside the model, after augmentation."""
    fold: str | None = None
    """`2/5`: the splits `train` and `validation` together are dealt into five folds (by sex and two-year
    age band, a patient's radiographs together, whatever `train.seed` is); the second validates, the
    others train. None: the splits as they are."""
    sex: str = "both"
    """Train and validate on `both` sexes (and on unknown), or on `F` or `M` alone."""

    def __post_init__(self) -> None:
        _require(self.sex in SEX_CHOICES, "data.sex", f"one of {', '.join(SEX_CHOICES)}", self.sex)
        if self.fold is not None:
            number, folds = self.fold_numbers
            _require(
                folds >= 2 and 1 <= number <= folds,
                "data.fold",
                "I/K, fold I of K, with K at least 2 and I from 1 to K",
                self.fold,
            )

    @property
    def fold_numbers(self) -> tuple[int, int]:
        """I and K of the fold I/K; (0, 0) where it is not written like that."""
        found = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", self.fold or "")
        return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclasses.dataclass(frozen=True)
class AugmentationConfig:
    """Random changes of training radiographs; each range is symmetric around no change."""

    rotation_degrees: float = 15.0
    """Rotation, up to this angle either way."""
    shift: float = 0.08
    """Shift, up to this share of the frame's height and width."""
    zoom: float = 0.12
    """Zoom in or out, up to this share."""
    mirror: bool = True
    """Mirror every second radiograph."""
    gamma: float = 1.33
    """Gamma between 1 / this and this."""
    blur: float = 0.0
    """Mix every second radiograph with a copy blurred by one pixel (SD), up to this share of it."""
    noise: float = 0.0
    """Add normal noise to every second radiograph, its SD up to this share of the range of grey."""
    mask_sex: float = 0.1
    """Share of the examples whose sex is shown as unknown, so that this state is learnt; 0 for a network
    that is not told the sex."""

    def __post_init__(self) -> None:
        _require(self.gamma >= 1, "augmentation.gamma", "at least 1", self.gamma)
        for name in ("blur", "noise"):
            value = getattr(self, name)
            _require(0 <= value <= 1, f"augmentation.{name}", "between 0 and 1", value)
        _require(0 <= self.zoom < 1, "augmentation.zoom", "at least 0 and below 1", self.zoom)
        _require(0 <= self.mask_sex <= 1, "augmentation.mask_sex", "between 0 and 1", self.mask_sex)


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Optimization."""

    epochs: int = 24
    """Times that every training radiograph is seen."""
    age_sampling: float = 0.0
    """How often radiographs of rare ages are seen. An epoch has its length, but draws each radiograph with
    a probability proportional to n to the power of minus this, n being the training radiographs in its
    two-year age band of its sex. 0: each once; 1: all such bands equally often, a band of one as often
    as a band of a thousand. In an epoch some are then seen several times, others not at all."""
    batch_size: int = 16
    """Radiographs between two changes of the weights, over all devices of all workers."""
    accumulation_passes: int = 1
    """Passes in which a device works through its part of a batch: more need less memory."""
    last_batch: str = "drop"
    """What remains of an epoch below a whole batch: `drop` (others each epoch), or `keep`. With several
    readers, those with more radiographs than the smallest leave the surplus out (others each epoch)."""
    steps_per_call: int = 1
    """Steps between two returns to Python; more save time on fast devices with small batches."""
    learning_rate: float = 4e-4
    """Highest learning rate, reached after the warm-up."""
    schedule: str = "cosine"
    """Fall of the learning rate after the warm-up: `cosine` or `linear` (to 1 %), or `constant`."""
    warmup_steps: int = 60
    """Steps of linear warm-up."""
    beta_1: float = 0.9
    """Momentum of the gradients' mean in Adam."""
    weight_decay: float = 1e-3
    """Decoupled weight decay (AdamW)."""
    label_distribution: float = 0.0
    """With the head `expectation`: weight of a second term, by which the softmax is to be a normal
    distribution around the label. The first is the absolute error in standard deviations of the bone
    age, the second the Kullback-Leibler divergence in nats: 0.8 and 1.9 at the start. 0: without."""
    label_distribution_sd_months: float = 6.0
    """Standard deviation of that distribution."""
    clip_norm: float | None = None
    """Largest global norm of a batch's gradient over all devices, with the loss in standard deviations
    of the bone age (sex: in nats); None: as it is."""
    ema_momentum: float = 0.99
    """Momentum of the averaged weights, which are judged and kept; 0: none."""
    head_epochs: int = 0
    """First epochs in which the trunk stays as it is (its batch statistics, too)."""
    first_layer_rate: float = 1.0
    """Learning rate of the trunk's first layer as a share of the head's; the layers between rise
    geometrically."""
    normalization: str = "auto"
    """Whose statistics batch normalization takes: `synchronized` (a pass's slices on all devices
    together), `each_device` (for one device, faster), or `auto`: whichever the devices need."""
    precision: str = "auto"
    """`auto`: bfloat16 or float16 where the device is faster in it, otherwise float32."""
    readers: int | None = None
    """Equal parts of a batch, each from shards of its own; a multiple of the workers. Order depends on
    it, so name it where a run shall go on with another number of workers. None: one for each worker."""
    cache: str = "auto"
    """Keep the records in memory: `auto` (where they take less than a quarter of it), `yes`, `no`."""
    checkpoint_minutes: float = 10.0
    """A checkpoint at the end of every epoch, and within it where this time has passed."""
    deterministic: bool = False
    """The same bits in every repetition on a GPU, too; slower. On a CPU they are the same anyway."""
    seed: int = 0
    """Decides initial weights, order, augmentation and dropout."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "accumulation_passes", "steps_per_call"):
            _require(getattr(self, name) >= 1, f"train.{name}", "at least 1", getattr(self, name))
        for name in (
            "warmup_steps",
            "weight_decay",
            "label_distribution",
            "head_epochs",
            "checkpoint_minutes",
            "seed",
        ):
            _require(getattr(self, name) >= 0, f"train.{name}", "0 or more", getattr(self, name))
        for name in ("learning_rate", "label_distribution_sd_months", "clip_norm", "readers"):
            value = getattr(self, name)
            _require(value is None or value > 0, f"train.{name}", "positive", value)
        _require(
            0 <= self.age_sampling <= 1, "train.age_sampling", "between 0 and 1", self.age_sampling
        )
        _require(0 <= self.beta_1 < 1, "train.beta_1", "in [0, 1)", self.beta_1)
        _require(0 <= self.ema_momentum < 1, "train.ema_momentum", "in [0, 1)", self.ema_momentum)
        _require(
            0 < self.first_layer_rate <= 1,
            "train.first_layer_rate",
            "above 0 and at most 1",
            self.first_layer_rate,
        )
        for name, choices in (
            ("precision", PRECISIONS),
            ("cache", ("auto", "yes", "no")),
            ("last_batch", ("drop", "keep")),
            ("schedule", SCHEDULES),
            ("normalization", ("auto", "synchronized", "each_device")),
        ):
            value = getattr(self, name)
            _require(value in choices, f"train.{name}", f"one of {', '.join(choices)}", value)


@dataclasses.dataclass(frozen=True)
class LoggingConfig:
    """Where a run's numbers and pictures are shown while it trains; decides no result."""

    tensorboard: bool = True
    """TensorBoard, in the run folder."""
    wandb: bool = False
    """Weights & Biases, too. Its server receives the pictures: validation radiographs among them.
    `WANDB_MODE=offline` keeps everything in the run folder."""
    mlflow: bool = False
    """MLflow, too, where `MLFLOW_TRACKING_URI` says; that server receives the pictures as well."""
    project: str = "bone-age-tf"
    """Project in Weights & Biases, experiment in MLflow."""

    def __post_init__(self) -> None:
        _require(bool(self.project.strip()), "logging.project", "a name", self.project)


@dataclasses.dataclass(frozen=True)
class ExperimentConfig:
    """Everything that decides a training run, besides the data set."""

    recipe: str = "default"
    """Name of the recipe that this started from."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    train: TrainConfig = TrainConfig()
    logging: LoggingConfig = LoggingConfig()


@dataclasses.dataclass(frozen=True)
class LocalizerConfig:
    """Training of the hand localizer: first on drawn hands, then on real ones, too, by mining."""

    recipe: str = "hand_localizer"
    """Name of the recipe that this started from."""
    steps: int = 3000
    """Steps of the first round, which learns from radiographs with mask and key points, the drawn."""
    mining_rounds: int = 3
    """Further rounds, each with the annotated radiographs and what the round before finds in others."""
    mining_steps: int = 600
    """Steps of each of these."""
    batch_size: int = 16
    """Pictures in one step."""
    learning_rate: float = 2e-3
    """Highest learning rate of the first round; a quarter of it in the others."""
    spoilt: float = 0.3
    """Share of pictures that are not one whole hand."""
    annotated_share: float = 0.35
    """Share of the hands that are annotated radiographs, where there are any."""
    mined_share: float = 0.3
    """Share of the hands that are mined radiographs, where there are any."""
    seed: int = 0
    """Decides initial weights and every sample."""

    def __post_init__(self) -> None:
        _require(self.steps >= 1, "steps", "at least 1", self.steps)
        _require(self.mining_steps >= 1, "mining_steps", "at least 1", self.mining_steps)
        _require(self.mining_rounds >= 0, "mining_rounds", "0 or more", self.mining_rounds)
        _require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        for name in ("spoilt", "annotated_share", "mined_share"):
            _require(0 <= getattr(self, name) < 1, name, "in [0, 1)", getattr(self, name))
        together = self.annotated_share + self.mined_share
        _require(together < 1, "annotated_share + mined_share", "below 1", together)


@dataclasses.dataclass(frozen=True)
class CalibrationConfig:
    """What `calibrate` adds to an exported model."""

    coverage: float = 0.9
    """Share of new radiographs whose label the interval shall hold."""
    correction: str = "linear"
    """`linear`: a straight line for each sex, where it helps; `none`: intervals alone."""

    def __post_init__(self) -> None:
        _require(0.5 <= self.coverage < 1, "coverage", "at least 0.5 and below 1", self.coverage)
        known = ("linear", "none")
        _require(
            self.correction in known, "correction", f"one of {', '.join(known)}", self.correction
        )


@dataclasses.dataclass(frozen=True)
class ServeConfig:
    """An exported model, served."""

    model: str
    """Folder of the model's versions, whose name is the model's."""
    host: str = "127.0.0.1"
    """Address to listen at. Others than this machine's own need `token` or `allow_anyone`."""
    rest_port: int = 8501
    """REST; 0: a free one, as below."""
    grpc_port: int = 8500
    """gRPC."""
    web_port: int = 8000
    """The page."""
    token: str | None = None
    """What requests must show as `Authorization: Bearer TOKEN`; None: nothing."""
    allow_anyone: bool = False
    """Listen at another address without a token."""
    host_names: tuple[str, ...] = ()
    """Names that `Host` may hold besides the address and this machine's own."""
    version_labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Label -> version, which is served besides the highest."""
    places: int = 64
    """Radiographs in the house, waiting or being read; more get 503."""
    poll_seconds: float = 2.0
    """How often the folder is looked at for new versions."""
    engine: str = DEFAULT_ENGINE
    """What runs the network, one of `ENGINES`."""

    def __post_init__(self) -> None:
        for name in ("rest_port", "grpc_port", "web_port"):
            flag = f"--{name.replace('_', '-')}"
            port = getattr(self, name)
            _require(0 <= port <= 65535, flag, "a port, 0 to 65535", port)
        _require(self.places >= 1, "--places", "at least 1", self.places)
        _require(self.poll_seconds > 0, "--poll-seconds", "above 0", self.poll_seconds)
        _require(self.engine in ENGINES, "--engine", " or ".join(ENGINES), self.engine)
        _require(
            self.token is None or re.fullmatch(r"[!-~]{16,}", self.token) is not None,
            "the token",
            "16 or more printable ASCII characters without blanks",
            "something else",
        )
        for name in self.host_names:
            is_name = re.fullmatch(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*", name)
            _require(is_name is not None, "--host-name", "a name or address without a port", name)
        is_open = self.host not in LOOPBACK and self.token is None and not self.allow_anyone
        if is_open:
            raise UsageError(
                f"--host {self.host}: others than this machine could use the server. Give it a token (the "
                "environment variable BONE_AGE_TOKEN), or say --allow-anyone."
            )


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(kind: type[Config], values: Mapping[str, Any]) -> Config:
    """The configuration that `to_dict` wrote. Raises `UsageError` for an unknown setting."""
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise UsageError(
            f"{kind.__name__} has no setting {', '.join(unknown)}. "
            f"Expected: {', '.join(sorted(hints))}."
        )
    return kind(
        **{
            name: from_dict(hints[name], value) if dataclasses.is_dataclass(hints[name]) else value
            for name, value in values.items()
        }
    )


def override(config: Config, assignments: Sequence[str]) -> Config:
    """A copy of `config` changed by assignments such as `train.epochs=3`."""
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(
                f"--set expects NAME=VALUE, as in train.epochs=3. Received: {assignment!r}."
            )
        config = _replace(config, path.strip().split("."), text.strip(), assignment)
    return config


def _replace(config: Any, path: Sequence[str], text: str, assignment: str) -> Any:
    hints = typing.get_type_hints(type(config))
    name = path[0]
    is_section = name in hints and dataclasses.is_dataclass(hints[name])
    if name not in hints or is_section != (len(path) > 1):
        raise UsageError(
            f"--set {assignment}: there is no setting {name!r} here. "
            f"Expected one of: {', '.join(sorted(hints))}."
        )
    if is_section:
        value = _replace(getattr(config, name), path[1:], text, assignment)
    else:
        value = _parse(text, hints[name], assignment)
    return dataclasses.replace(config, **{name: value})


def _parse(text: str, hint: Any, assignment: str) -> Any:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if type(None) in kinds and text.lower() == "none":
        return None
    (kind,) = (kind for kind in kinds if kind is not type(None))
    if kind is bool:
        words = {"true": True, "1": True, "false": False, "0": False}
        if text.lower() in words:
            return words[text.lower()]
    else:
        try:
            return kind(text)
        except ValueError:
            pass
    raise UsageError(
        f"--set {assignment}: expected a value of type {kind.__name__}. Received: {text!r}."
    )
