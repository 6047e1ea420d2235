"""Settings of a training run: of a network for the bone age or the sex, or of the hand localizer."""

import re
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from bone_age_tf.config.choices import (
    Activation,
    Cache,
    Head,
    Normalization,
    Pooling,
    Precision,
    Schedule,
    SexChoice,
    Target,
)
from bone_age_tf.config.parsing import Settings, require

Count = Annotated[int, Field(ge=1)]
CountOrZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ShareBelowOne = Annotated[float, Field(ge=0, lt=1)]


@dataclass(frozen=True)
class ModelConfig(Settings, typed_as="model.{}"):
    """Backbone + sex branch + head."""

    backbone: str = "inception_v3"
    """`inception_v3`, `inception_v3_mixed7` (up to its layer `mixed7`), `xception`, `efficientnet_v2_b0`,
    `efficientnet_v2_s`, `convnext_tiny`, `densenet_121`, `mobilenet_v2`; without ImageNet weights `m46`,
    `small`, `tiny`."""
    target: Target = "bone_age"
    """What it tells: `bone_age` in months, or `sex`: the probability that the hand is a boy's."""
    pooling: Pooling = "average"
    """The backbone's feature maps as one vector: `average` over all places, `flatten`, or
    `average_2x2_flatten`, the mean of every 2 x 2 places. The last two fit one size of frame only."""
    sex_units: CountOrZero = 32
    """Units of the sex branch; 0: the network is not told the sex, as always for the target `sex`."""
    head: Head = "regression"
    """Of the bone age: `regression`, one score in standard deviations, or `expectation`, the mean of a
    softmax over 1 to 240 months."""
    head_layers: Count = 1
    """Dense layers between the vector, joined with the sex, and the output."""
    head_units: Count = 512
    """Units of each of them."""
    activation: Activation = "relu"
    """Of these layers: `relu` or `elu`."""
    dropout: ShareBelowOne = 0.3
    """Dropout before each of these layers and, where there is only one, after it."""
    age_mean_months: float | None = None
    """Mean bone age that the head starts from; None: that of the radiographs for training, or of the run
    that `--initial-weights` names."""
    age_sd_months: float | None = None
    """Standard deviation that scales the head; None: likewise."""


@dataclass(frozen=True)
class DataConfig(Settings, typed_as="data.{}"):
    """What the network is shown of the prepared radiographs."""

    region: str = "frame"
    """`frame` (all of it), or a crop of it by name: `hand`, `carpal`, `metacarpal`
    (`preprocessing/regions.py`). Cut out inside the model, after augmentation."""
    fold: str | None = None
    """`2/5`: the splits `train` and `validation` together are divided into five folds (by sex and two-year
    age band, a patient's radiographs together, whatever `train.seed` is); the second validates, the
    others train. None: the splits as they are."""
    sex: SexChoice = "both"
    """Train and validate on `both` sexes (and on unknown), or on `F` or `M` alone."""

    def __post_init__(self) -> None:
        number, folds = self.fold_numbers
        require(
            self.fold is None or (folds >= 2 and 1 <= number <= folds),
            "data.fold",
            "I/K, fold I of K, with K at least 2 and I from 1 to K",
            self.fold,
        )

    @property
    def fold_numbers(self) -> tuple[int, int]:
        """I and K of the fold I/K; (0, 0) where it is not written like that."""
        found = re.fullmatch(r"([1-9][0-9]*)/([1-9][0-9]*)", self.fold or "")
        return (int(found[1]), int(found[2])) if found else (0, 0)


@dataclass(frozen=True)
class AugmentationConfig(Settings, typed_as="augmentation.{}"):
    """Random changes of training radiographs; each range is symmetric around no change."""

    rotation_degrees: float = 15.0
    """Rotation, up to this angle either way."""
    shift: float = 0.08
    """Shift, up to this share of the frame's height and width."""
    zoom: ShareBelowOne = 0.12
    """Zoom in or out, up to this share."""
    elastic: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Move the points of a grid of 7 x 5, each by itself, up to this share of the frame's height either way;
    what lies between them follows smoothly. From about 0.03 on, bones are deformed visibly."""
    mirror: bool = True
    """Mirror every second radiograph."""
    gamma: Annotated[float, Field(ge=1)] = 1.33
    """Gamma between 1 / this and this."""
    contrast: NotNegative = 0.0
    """Multiply the differences from the surroundings by a factor between 1 / (1 + this) and 1 + this, mean and
    SD of the hand's grey levels unchanged; the size of the surroundings varies, too."""
    blur: Share = 0.0
    """Mix every second radiograph with a copy blurred by one pixel (SD), up to this share of it."""
    noise: Share = 0.0
    """Add normal noise to every second radiograph, its SD up to this share of the range of grey."""
    cutout: Share = 0.0
    """Cover a rectangle of every second radiograph with one grey, half of them with black; its sides are up to
    this share of the frame's."""
    variants: Share | None = None
    """Share of the radiographs that are shown as one of their variants (`prepare --variants`), another
    one each epoch. None: 0.5 where the data set has variants, otherwise 0."""
    sex_dropout: Share = 0.1
    """Share of the examples whose sex is shown as unknown, so that the network learns this state; 0 for a network
    that is not told the sex."""


@dataclass(frozen=True)
class TrainConfig(Settings, typed_as="train.{}"):
    """Optimization."""

    epochs: Count = 24
    """Times that every training radiograph is seen."""
    age_sampling: Share = 0.0
    """How often radiographs of rare ages are seen. An epoch has its length, but draws each radiograph with
    a probability proportional to n to the power of minus this, n being the training radiographs in its
    two-year age band of its sex. 0: each once; 1: all such bands equally often, a band of one as often
    as a band of a thousand. In an epoch some are then seen several times, others not at all."""
    batch_size: Count = 16
    """Radiographs between two changes of the weights, over all devices of all workers."""
    gradient_accumulation_steps: Count = 1
    """Passes in which a device works through its part of a batch: more need less memory."""
    drop_remainder: bool = True
    """Leave out what remains of an epoch below a whole batch (others each epoch). Where it is kept, with several
    readers, those with more radiographs than the smallest leave the surplus out (others each epoch)."""
    steps_per_execution: Count = 1
    """Steps between two returns to Python; more save time on fast devices with small batches."""
    learning_rate: Positive = 4e-4
    """Highest learning rate, reached after the warm-up."""
    schedule: Schedule = "cosine"
    """Fall of the learning rate after the warm-up: `cosine` or `linear` (to 1 %), or `constant`."""
    warmup_steps: CountOrZero = 60
    """Steps of linear warm-up."""
    beta_1: ShareBelowOne = 0.9
    """Momentum of the gradients' mean in Adam."""
    weight_decay: NotNegative = 1e-3
    """Decoupled weight decay (AdamW)."""
    label_distribution: NotNegative = 0.0
    """With the head `expectation`: weight of a second term, by which the softmax is to be a normal
    distribution around the label. The first is the absolute error in standard deviations of the bone
    age, the second the Kullback-Leibler divergence in nats: 0.8 and 1.9 at the start. 0: without."""
    label_distribution_sd_months: Positive = 6.0
    """Standard deviation of that distribution."""
    global_clipnorm: Positive | None = None
    """Largest global norm of a batch's gradient over all devices, with the loss in standard deviations
    of the bone age (sex: in nats); None: as it is."""
    ema_momentum: ShareBelowOne = 0.99
    """Momentum of the averaged weights, which are evaluated and kept; 0: none."""
    freeze_backbone_epochs: CountOrZero = 0
    """First epochs in which the backbone is frozen (its batch statistics, too)."""
    layerwise_lr_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor by which the learning rate falls from each layer of the backbone with weights to the one
    before it, counted from the head, which has the whole rate. InceptionV3 has 188 such layers
    (convolutions and normalizations): 0.99 leaves 15 % for the first. 1: the same rate everywhere."""
    normalization: Normalization = "auto"
    """Whose statistics batch normalization takes: `synchronized` (a pass's slices on all devices
    together), `each_device` (for one device, faster), or `auto`: whichever the devices need."""
    precision: Precision = "auto"
    """`auto`: bfloat16 or float16 where the device is faster in it, otherwise float32."""
    readers: Count | None = None
    """Equal parts of a batch, each from shards of its own; a multiple of the workers. Order depends on
    it, so name it where a run should resume with another number of workers. None: one for each worker."""
    cache: Cache = "auto"
    """Keep the records in memory: `auto` (where they take less than a quarter of it), `yes`, `no`."""
    checkpoint_minutes: NotNegative = 10.0
    """A checkpoint at the end of every epoch, and within it where this time has passed."""
    deterministic: bool = False
    """The same bits in every repetition on a GPU, too; slower. On a CPU they are the same anyway."""
    seed: CountOrZero = 0
    """Decides initial weights, order, augmentation and dropout."""


@dataclass(frozen=True)
class LoggingConfig(Settings, typed_as="logging.{}"):
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
        require(bool(self.project.strip()), "logging.project", "a name", self.project)


@dataclass(frozen=True)
class ExperimentConfig(Settings):
    """Everything that decides a training run, besides the data set."""

    recipe: str = "default"
    """Name of the recipe that this started from."""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    train: TrainConfig = TrainConfig()
    logging: LoggingConfig = LoggingConfig()


@dataclass(frozen=True)
class LocalizerConfig(Settings):
    """Training of the hand localizer: first on synthetic radiographs (phantoms), then on real ones, too, by mining."""

    recipe: str = "hand_localizer"
    """Name of the recipe that this started from."""
    steps: Count = 3000
    """Steps of the first round, on radiographs with mask and key points, the synthetic ones."""
    mining_rounds: CountOrZero = 3
    """Further rounds, each with the annotated radiographs and what the round before finds in others."""
    mining_steps: Count = 600
    """Steps of each of these."""
    batch_size: Count = 16
    """Pictures in one step."""
    learning_rate: float = 2e-3
    """Highest learning rate of the first round; a quarter of it in the others."""
    negative_share: ShareBelowOne = 0.3
    """Share of negatives: pictures that are not one whole hand."""
    annotated_share: ShareBelowOne = 0.35
    """Share of the hands that are annotated radiographs, where there are any."""
    mined_share: ShareBelowOne = 0.3
    """Share of the hands that are mined radiographs, where there are any."""
    seed: int = 0
    """Decides initial weights and every sample."""

    def __post_init__(self) -> None:
        together = self.annotated_share + self.mined_share
        require(together < 1, "annotated_share + mined_share", "below 1", together)
