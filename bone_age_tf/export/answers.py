"""What an exported model answers for each radiograph: months with their interval, or why there are none."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from bone_age_tf.export.inputs import Source, asked
from bone_age_tf.metrics.predictions import OK
from bone_age_tf.preprocessing.radiographs import prepare_files
from bone_age_tf.preprocessing.rejections import Rejection
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BONE_AGE_MONTHS, BOY_PROBABILITY

REJECTED = "refused"
"""The `status` of a radiograph without a bone age; `metrics.predictions.OK` that of all others."""
SEX_LOOKS_WRONG = "sex_looks_wrong"
SURE_OF_SEX = 0.95
"""Probability of the other sex above which the given one looks wrong; of models with a sex classifier."""

Outcome = Mapping[str, float] | Rejection
"""The model's outputs by name, or why there are none."""


class Model(Protocol):
    """What an answer needs of `ExportedModel`."""

    def prepare(self, encoded: bytes) -> np.ndarray | Rejection:
        """A file's bytes -> prepared radiograph uint8 [height, width, 1]."""
        ...

    def answers_of_prepared(
        self, images: np.ndarray, sexes: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Prepared radiographs and sexes [N] -> outputs by name, [N] each."""
        ...


@dataclasses.dataclass(frozen=True)
class Answer:
    """Of one radiograph."""

    file: str
    sex: str
    bone_age_months: float | None
    """0 to 240; None for a rejected radiograph."""
    bone_age_low_months: float | None
    """Lower end of the interval; None for a rejected radiograph and of a model without intervals."""
    bone_age_high_months: float | None
    status: str
    """`ok` or `refused`."""
    reason: str
    """Empty, or a reason code with its explanation."""
    warning: str
    """Empty, or `sex_looks_wrong`: the bone age is that for the given sex all the same."""


def answer_of(file: str, sex: str, outcome: Outcome) -> Answer:
    """The answer for a file from the model's outputs."""
    is_rejected = isinstance(outcome, Rejection)
    values: Mapping[str, float] = {} if isinstance(outcome, Rejection) else outcome
    return Answer(
        file=file,
        sex=sex,
        bone_age_months=values.get(BONE_AGE_MONTHS),
        bone_age_low_months=_end(values.get(BONE_AGE_LOW)),
        bone_age_high_months=_end(values.get(BONE_AGE_HIGH)),
        status=REJECTED if is_rejected else OK,
        reason=str(outcome) if is_rejected else "",
        warning=_warning(sex, values[BOY_PROBABILITY]) if BOY_PROBABILITY in values else "",
    )


def outcomes_of(
    model: Model, made: Sequence[np.ndarray | Rejection], sexes: Sequence[str]
) -> list[Outcome]:
    """Prepared radiographs, or why there are none, and their sexes -> an outcome each, in one call."""
    outcomes: list[Outcome] = [one if isinstance(one, Rejection) else {} for one in made]
    usable = {n: one for n, one in enumerate(made) if not isinstance(one, Rejection)}
    if usable:
        images = np.stack(list(usable.values()))
        answer = model.answers_of_prepared(images, [sexes[number] for number in usable])
        for row, number in enumerate(usable):
            outcomes[number] = {name: float(values[row]) for name, values in answer.items()}
    return outcomes


def answer_table(
    model: Model, radiographs: Source | Iterable[Source], sex: str | Iterable[str]
) -> pd.DataFrame:
    """A row for each radiograph, with the columns of `Answer`; as `ExportedModel.predict` says it."""
    answers: list[Answer] = []
    for batch in prepare_files(asked(radiographs, sex), model.prepare):
        sexes = [one.file.sex for one in batch]
        outcomes = outcomes_of(model, [one.made for one in batch], sexes)
        answers += [
            answer_of(one.file.name, one.file.sex, outcome)
            for one, outcome in zip(batch, outcomes, strict=True)
        ]
    columns = [field.name for field in dataclasses.fields(Answer)]
    table = pd.DataFrame([dataclasses.asdict(answer) for answer in answers], columns=columns)
    numbers = ["bone_age_months", "bone_age_low_months", "bone_age_high_months"]
    return table.astype(dict.fromkeys(numbers, float))


def _end(months: float | None) -> float | None:
    """The end of an interval, where there is one."""
    return None if months is None or months < 0 else months


def _warning(sex: str, boy_probability: float) -> str:
    other = {"F": boy_probability, "M": 1 - boy_probability}.get(sex, 0.0)
    return SEX_LOOKS_WRONG if other > SURE_OF_SEX else ""
