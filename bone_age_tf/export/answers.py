"""Predictions of an exported model for each radiograph: months with prediction interval, or the reason for rejection."""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from bone_age_tf.config.choices import INFANT, MATURE, NEAR_END_OF_SCALE, SEX_LOOKS_WRONG
from bone_age_tf.data.header_values import rejected_by, warnings_of
from bone_age_tf.data.training_ages import TrainingAges
from bone_age_tf.dicom.header import Header
from bone_age_tf.export.inputs import RadiographWithSex, Source, pair_with_sex
from bone_age_tf.growth.reference_standards import INFANT_MONTHS, MATURE_MONTHS
from bone_age_tf.preprocessing.radiographs import Radiograph, prepare_files
from bone_age_tf.preprocessing.rejections import OK, Rejection
from bone_age_tf.record import BONE_AGE_HIGH, BONE_AGE_LOW, BONE_AGE_MONTHS, BOY_PROBABILITY
from bone_age_tf.sex import sex_from_label

if TYPE_CHECKING:
    import pandas as pd

REJECTED = "rejected"
"""The `status` of a radiograph without a bone age; `OK` is that of all others."""
SURE_OF_SEX = 0.95
"""Probability of the other sex above which the given sex is flagged as wrong; for models with a sex classifier."""

Outcome = Mapping[str, float] | Rejection
"""The model's outputs by name, or the reason for rejection."""


class Model(Protocol):
    """The part of `ExportedModel` that predictions need."""

    @property
    def is_registered(self) -> bool:
        """Whether it receives registered frames."""
        ...

    @property
    def training_ages(self) -> TrainingAges | None:
        """What ages it was trained on; None where they are not recorded."""
        ...

    def prepare_with_matrix(self, encoded: bytes) -> tuple[np.ndarray, np.ndarray] | Rejection:
        """A file's bytes -> prepared radiograph uint8 [height, width, 1], and the matrix [2, 3] to the file."""
        ...

    def answers_of_prepared(
        self, images: np.ndarray, sexes: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Prepared radiographs and sexes [N] -> outputs by name, [N] each."""
        ...


@dataclasses.dataclass(frozen=True)
class Answer:
    """The prediction for one radiograph."""

    file: str
    sex: str
    bone_age_months: float | None
    """0 to 240; None for a rejected radiograph."""
    bone_age_low_months: float | None
    """Lower end of the prediction interval; None for a rejected radiograph and for a model without intervals."""
    bone_age_high_months: float | None
    status: str
    """`ok` or `rejected`."""
    reason: str
    """Empty, or a reason code with its explanation."""
    warning: str
    """Empty, or of `sex_looks_wrong` (the bone age is still that for the given sex), `infant`, `near_end_of_scale`,
    `mature` and, of DICOM files, the codes of `dicom.warnings`, with a blank between."""


def answer_of(file: str, sex: str, outcome: Outcome, ages: TrainingAges | None = None) -> Answer:
    """The prediction for a file from the model's outputs; `ages` are those that it was trained on, where known."""
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
        warning=" ".join(_warnings(sex, values, ages)) if values else "",
    )


def outcomes_of(
    model: Model, made: Sequence[np.ndarray | Rejection], sexes: Sequence[str]
) -> list[Outcome]:
    """Prepared radiographs, or reasons for rejection, and their sexes -> an outcome each, in one call."""
    outcomes: list[Outcome] = [one if isinstance(one, Rejection) else {} for one in made]
    usable = {n: one for n, one in enumerate(made) if not isinstance(one, Rejection)}
    if usable:
        images = np.stack(list(usable.values()))
        answer = model.answers_of_prepared(images, [sexes[number] for number in usable])
        for row, number in enumerate(usable):
            outcomes[number] = {name: float(values[row]) for name, values in answer.items()}
    return outcomes


def answer_table(
    model: Model,
    radiographs: Source | Iterable[Source],
    sex: str | Iterable[str | None] | None = None,
) -> "pd.DataFrame":
    """A row for each radiograph, with the columns of `Answer`; as described in `ExportedModel.predict`."""
    import pandas as pd  # servers need no table, and 80 MB less

    answers: list[Answer] = []
    files = pair_with_sex(radiographs, sex)
    for batch in prepare_files(files, model.prepare_with_matrix, rejected=_rejection):
        made = [one.made if isinstance(one.made, Rejection) else one.made[0] for one in batch]
        sexes = [one.file.sex or "" for one in batch]
        outcomes = outcomes_of(model, made, sexes)
        answers += [
            _with_header(answer_of(one.file.name, sex, outcome, model.training_ages), one, model)
            for one, sex, outcome in zip(batch, sexes, outcomes, strict=True)
        ]
    columns = [field.name for field in dataclasses.fields(Answer)]
    table = pd.DataFrame([dataclasses.asdict(answer) for answer in answers], columns=columns)
    numbers = ["bone_age_months", "bone_age_low_months", "bone_age_high_months"]
    return table.astype(dict.fromkeys(numbers, float))


def _rejection(radiograph: RadiographWithSex) -> Rejection | None:
    """Why it is not read."""
    fault = rejected_by(radiograph.header)
    return None if fault is None else Rejection(*fault)


def _with_header(
    answer: Answer, one: Radiograph[RadiographWithSex, tuple[np.ndarray, np.ndarray]], model: Model
) -> Answer:
    """The answer with the warnings that the header of a DICOM file which was read gives."""
    header = one.file.header
    if not isinstance(header, Header) or not one.encoded:
        return answer
    has_thumb = model.is_registered and not isinstance(one.made, Rejection)
    matrix = one.made[1] if has_thumb else None
    codes = warnings_of(header, sex=answer.sex, prepared_to_original=matrix)  # type: ignore[arg-type]
    return dataclasses.replace(answer, warning=" ".join(filter(None, [answer.warning, *codes])))


def _end(months: float | None) -> float | None:
    """The end of an interval, where there is one."""
    return None if months is None or months < 0 else months


def _warnings(sex: str, values: Mapping[str, float], ages: TrainingAges | None) -> Iterator[str]:
    """Codes of what a reader must know of the answer itself."""
    months, code = values[BONE_AGE_MONTHS], sex_from_label(sex)
    if BOY_PROBABILITY in values and _looks_wrong(sex, values[BOY_PROBABILITY]):
        yield SEX_LOOKS_WRONG
    if months < INFANT_MONTHS:
        yield INFANT
    if ages is not None and ages.is_near_end(months, code):
        yield NEAR_END_OF_SCALE
    if max(months, values.get(BONE_AGE_HIGH, months)) >= MATURE_MONTHS[code]:
        yield MATURE


def _looks_wrong(sex: str, boy_probability: float) -> bool:
    other = {"F": boy_probability, "M": 1 - boy_probability}.get(sex, 0.0)
    return other > SURE_OF_SEX
