"""Families of runs: members that differ only in fold, seed and hardware; those for girls and for boys are one family."""

import dataclasses
from collections.abc import Sequence

from bone_age_tf.config import ExperimentConfig, LoggingConfig, TrainConfig

HARDWARE_SETTINGS = (
    "gradient_accumulation_steps",
    "cache",
    "checkpoint_minutes",
    "deterministic",
    "normalization",
    "precision",
    "readers",
    "steps_per_execution",
)
"""Training settings that depend on the hardware and do not change the network."""


def families_of(configs: Sequence[ExperimentConfig]) -> tuple[list[str], list[int]]:
    """Names of the families, and the index of the family of each configuration."""
    kinds: list[ExperimentConfig] = []
    names: list[str] = []
    families = []
    for config in configs:
        kind = _kind(config)
        if kind not in kinds:
            kinds.append(kind)
            names.append(_family_name(config, names))
        families.append(kinds.index(kind))
    return names, families


def _kind(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration without what members of a family may differ in."""
    sex = "both" if config.data.sex == "both" else "F"  # girls' and boys' together
    return dataclasses.replace(
        config,
        recipe="",
        data=dataclasses.replace(config.data, fold=None, sex=sex),
        model=dataclasses.replace(config.model, age_mean_months=None, age_sd_months=None),
        train=dataclasses.replace(
            config.train,
            seed=0,
            **{name: getattr(TrainConfig(), name) for name in HARDWARE_SETTINGS},
        ),
        logging=LoggingConfig(),
    )


def _family_name(config: ExperimentConfig, taken: Sequence[str]) -> str:
    name = f"{config.model.backbone} {config.data.region} {config.model.head}"
    if config.data.sex != "both":
        name += " by sex"
    number = 1 + sum(other == name or other.startswith(f"{name} ") for other in taken)
    return name if number == 1 else f"{name} {number}"
