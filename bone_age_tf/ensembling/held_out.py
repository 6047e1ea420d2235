"""What members of an ensemble predict for the radiographs that they were not trained on."""

import gc
from collections.abc import Callable, Sequence

import keras
import numpy as np

from bone_age_tf import record
from bone_age_tf.data.dataset import PreparedRadiographs
from bone_age_tf.data.splits import select
from bone_age_tf.data.tfrecords import Records
from bone_age_tf.ensembling.cross_validation import family_predictions
from bone_age_tf.ensembling.ensemble import fixed_sex
from bone_age_tf.errors import InputDataError
from bone_age_tf.metrics.predictions import LabelledPredictions
from bone_age_tf.models.ensemble_model import Member, build_ensemble_model
from bone_age_tf.models.views import VIEWS
from bone_age_tf.training.run import Run

BATCH_SIZE = 16

Notify = Callable[[str, int, int], None]


def held_out_records(member: Run, radiographs: PreparedRadiographs) -> Records:
    """Those that a member was not trained on. Raises `InputDataError` where it was trained on all data."""
    records = select(radiographs, member.config.data).validation
    if records is None or not len(records):
        raise InputDataError(
            f"{member.folder} was trained on all data: {radiographs.folder} has no split "
            "validation. Train with --set data.fold=I/K, or prepare the data with a validation split."
        )
    return records


def predict_held_out(
    members: Sequence[Run],
    chosen: Sequence[Records],
    radiographs: PreparedRadiographs,
    tta: str,
    notify: Notify,
) -> list[np.ndarray]:
    """Each member's months for its own records."""
    done, total = 0, sum(map(len, chosen))
    notify("ensemble", 0, total)
    months = []
    for member, records in zip(members, chosen, strict=True):
        network = _answering(member, tta)
        answers = []
        for batch in radiographs.examples_of(records).batch(BATCH_SIZE).as_numpy_iterator():
            inputs = {name: batch[name] for name in (record.IMAGE, record.SEX)}
            answers.append(network.predict_on_batch(inputs))
            done += len(batch[record.SEX])
            notify("ensemble", done, total)
        months.append(np.concatenate(answers))
        del network
        gc.collect()  # a Keras model refers to itself: without this, all members stay in memory
    return months


def collect(
    members: Sequence[Run],
    names: Sequence[str],
    families: Sequence[int],
    chosen: Sequence[Records],
    months: Sequence[np.ndarray],
) -> LabelledPredictions:
    """The families' predictions from those of each member for its own records, [n] each."""
    places: dict[str, int] = {}
    for records in chosen:
        for identifier in records.ids:
            places.setdefault(identifier, len(places))
    sex, true = np.zeros(len(places), int), np.zeros(len(places))
    predicted = np.full((len(members), len(places)), np.nan)
    for row, (records, answers) in enumerate(zip(chosen, months, strict=True)):
        columns = [places[identifier] for identifier in records.ids]
        sex[columns], true[columns] = records.sex, records.bone_age_months
        predicted[row, columns] = answers
    sexes = [member.config.data.sex for member in members]
    by_family = family_predictions(predicted, sexes, families, sex)
    columns_of = dict(zip(names, by_family.T, strict=True))
    return LabelledPredictions.of(list(places), sex, true, families=columns_of)


def _answering(member: Run, tta: str) -> keras.Model:
    """A member as it answers in the ensemble: all views, and the sex that it knows."""
    alone = Member(member.load_model(), (1.0, 1.0, 1.0), fixed_sex(member.config.data.sex))
    return build_ensemble_model([alone], VIEWS[tta])
