"""Objectives: the loss of a run, and the metrics that it is evaluated by.

| `model.target` | minimized, mean over a batch                                      | evaluated by       |
|----------------|-------------------------------------------------------------------|--------------------|
| `bone_age`     | absolute error in standard deviations of the bone age             | MAE in months      |
| ... and `train.label_distribution` | that + the setting x divergence from a normal distribution around the label, in nats | MAE in months |
| `sex`          | cross-entropy of the probability of a boy, in nats                | cross-entropy, with accuracy and AUROC |
"""

import dataclasses
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from bone_age_tf import record
from bone_age_tf.config import ExperimentConfig, ModelConfig
from bone_age_tf.errors import UsageError
from bone_age_tf.metrics import sex as sex_metrics
from bone_age_tf.models.heads import LOGITS, MONTHS, SCORE
from bone_age_tf.sex import Sex


@dataclasses.dataclass(frozen=True)
class Metric:
    """What a run is evaluated by; the smaller, the better."""

    name: str
    """In tables and logs; that of the validation is `validation_` + this."""
    title: str
    """In sentences."""
    unit: str
    digits: int
    """Behind the point, for a validation."""

    def say(self, value: float, digits: int | None = None) -> str:
        """As in `MAE 7.13 months`."""
        return f"{self.title} {value:.{self.digits if digits is None else digits}f} {self.unit}"


MAE = Metric("mae_months", "MAE", "months", 2)
CROSS_ENTROPY = Metric("cross_entropy", "cross-entropy", "nats", 3)


class Objective(Protocol):
    """What the training loop needs from an objective."""

    @property
    def metric(self) -> Metric:
        """Its lowest validation value selects the best weights."""
        ...

    def training_model(self, model: keras.Model) -> keras.Model:
        """The same network with the outputs that `losses` needs."""
        ...

    def losses(
        self, outputs: Any, inputs: dict[str, tf.Tensor], months: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """What is minimized and the metric, of each radiograph, float32 [N] each."""
        ...

    def evaluate(
        self, answers: np.ndarray, months: np.ndarray, sex: np.ndarray
    ) -> dict[str, float]:
        """Metrics of the model's answers [n], the deciding one among them."""
        ...


def metric_of(config: ModelConfig) -> Metric:
    """What a run of this model is evaluated by."""
    return CROSS_ENTROPY if config.target == "sex" else MAE


def objective_of(config: ExperimentConfig) -> Objective:
    """The objective of a resolved configuration. Raises `UsageError` where settings contradict."""
    model, settings = config.model, config.train
    assert model.age_sd_months is not None
    if settings.label_distribution and (model.target, model.head) != ("bone_age", "expectation"):
        raise UsageError(
            f"train.label_distribution={settings.label_distribution} needs the softmax of "
            f"model.head=expectation. Received model.target={model.target}, model.head={model.head}."
        )
    if model.target == "sex":
        return SexObjective()
    if settings.label_distribution:
        return LabelDistributionObjective(
            model.age_sd_months,
            settings.label_distribution,
            settings.label_distribution_sd_months,
        )
    return BoneAgeObjective(model.age_sd_months)


@dataclasses.dataclass(frozen=True)
class BoneAgeObjective:
    """Mean absolute error of the bone age."""

    sd_months: float
    """Standard deviation of the bone age, the unit of the loss."""

    @property
    def metric(self) -> Metric:
        """MAE in months."""
        return MAE

    def training_model(self, model: keras.Model) -> keras.Model:
        """The model itself, which gives months."""
        return model

    def losses(
        self, outputs: Any, inputs: dict[str, tf.Tensor], months: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Absolute errors in standard deviations and in months."""
        del inputs
        errors = tf.abs(outputs - months)
        return errors / self.sd_months, errors

    def evaluate(
        self, answers: np.ndarray, months: np.ndarray, sex: np.ndarray
    ) -> dict[str, float]:
        """MAE in months."""
        del sex
        return {MAE.name: float(np.abs(answers - months).mean())}


@dataclasses.dataclass(frozen=True)
class LabelDistributionObjective(BoneAgeObjective):
    """Absolute error of the expectation, and how far the softmax is from a normal distribution.

    Labels lie on atlas plates, and readers differ by half a year: neighbouring months are nearly as
    correct. Geng 2016 (label distribution learning).
    """

    weight: float
    label_sd_months: float

    def training_model(self, model: keras.Model) -> keras.Model:
        """Months and logits."""
        return keras.Model(model.input, [model.output, model.get_layer(LOGITS).output])

    def losses(
        self, outputs: Any, inputs: dict[str, tf.Tensor], months: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The divergence has the gradient of the cross-entropy, and is 0 at the optimum."""
        answers, logits = outputs
        losses, errors = super().losses(answers, inputs, months)
        values = tf.range(1, MONTHS + 1, dtype=tf.float32)
        distances = (values - months[:, tf.newaxis]) / self.label_sd_months
        wanted = tf.nn.log_softmax(-0.5 * tf.square(distances))
        found = tf.nn.log_softmax(logits)
        divergence = tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)
        return losses + self.weight * divergence, errors


@dataclasses.dataclass(frozen=True)
class SexObjective:
    """Cross-entropy of the probability that a hand is a boy's; every radiograph has a known sex."""

    @property
    def metric(self) -> Metric:
        """Cross-entropy in nats; 0.69 is chance level."""
        return CROSS_ENTROPY

    def training_model(self, model: keras.Model) -> keras.Model:
        """The logit of a boy, for a loss that is exact where the probability is 0 or 1."""
        return keras.Model(model.input, model.get_layer(SCORE).output)

    def losses(
        self, outputs: Any, inputs: dict[str, tf.Tensor], months: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Cross-entropy, twice."""
        del months
        boys = tf.cast(inputs[record.SEX] == int(Sex.M), tf.float32)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(boys, outputs[:, 0])
        return losses, losses

    def evaluate(
        self, answers: np.ndarray, months: np.ndarray, sex: np.ndarray
    ) -> dict[str, float]:
        """Cross-entropy, accuracy and, where there are both sexes, AUROC."""
        del months
        boys = sex == Sex.M
        found = {
            CROSS_ENTROPY.name: float(sex_metrics.cross_entropy(answers, boys)),
            "accuracy": float(sex_metrics.accuracy(answers, boys)),
        }
        both = boys.any() and not boys.all()
        return found | ({"auroc": float(sex_metrics.auroc(answers, boys))} if both else {})
