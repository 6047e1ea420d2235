"""Training for `--recipe hand_localizer`: folders of radiographs -> a hand localizer.

| file                                                | what                                     |
|-----------------------------------------------------|------------------------------------------|
| `run.json`                                          | settings, data, versions, result         |
| `run.toml`                                          | settings, for `train --config`           |
| `round-N.weights.h5`, `round-N.json`                | the network after each round             |
| `checkpoint.npz`                                    | the state of a round that is not finished|
| `hand_localizer.weights.h5`, `hand_localizer.json`  | the localizer for `prepare --localizer`  |

The same command resumes from the last checkpoint.
"""

import dataclasses
import functools
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from bone_age_tf import config as configuration
from bone_age_tf.config import RESEARCH_ONLY, LocalizerConfig, TrainConfig
from bone_age_tf.errors import InputDataError
from bone_age_tf.files import locks
from bone_age_tf.files.atomic import write_json
from bone_age_tf.files.versions import versions
from bone_age_tf.preprocessing.localizer import decoding as localization
from bone_age_tf.preprocessing.localizer.network import (
    OUTPUTS,
    POINTS,
    VIEW,
    build_hand_localizer,
    fold_normalization,
)
from bone_age_tf.preprocessing.localizer.weights import DESCRIPTION, save
from bone_age_tf.training import checkpoint, strategy
from bone_age_tf.training import run as run_folder
from bone_age_tf.training.localizer.examples import Example, digest, read_examples
from bone_age_tf.training.localizer.limits import FLAT, set_limits
from bone_age_tf.training.localizer.loss import LOSSES, WEIGHTS
from bone_age_tf.training.localizer.mining import mine
from bone_age_tf.training.localizer.sampler import Sample, Sampler
from bone_age_tf.training.optimizer import LayerwiseAdamW, WarmupSchedule

log = logging.getLogger(__name__)

WARMUP_STEPS = 100
CHECKPOINT_STEPS = 100
"""Steps after which the state of a round is kept, and samples are drawn by a seed of their own."""
MIN_REAL = 100
"""Real radiographs from which on the limits are set from them alone ..."""
PHANTOMS_ADDED = 1000
"""... and phantoms that are added where there are fewer."""

Notify = Callable[[str, int, int, str], None]


@dataclasses.dataclass(frozen=True)
class LocalizerReport:
    """The training data of a localizer."""

    examples: dict[str, Any]
    """Radiographs: `phantoms` (with mask and key points), `annotated`, `unannotated`, and how many of
    the latter two each round has `mined`."""
    folder: Path


@dataclasses.dataclass(frozen=True)
class Examples:
    """Radiographs by their annotations."""

    phantoms: Sequence[Example]
    """Mask and key points."""
    annotated: Sequence[Example]
    """Key points alone."""
    unannotated: Sequence[Example]

    @classmethod
    def read(cls, folders: Sequence[str]) -> "Examples":
        """Raises `InputDataError` where none has a mask and key points, or two have one name."""
        found = [example for folder in folders for example in read_examples(folder)]
        examples = cls(
            [e for e in found if e.mask is not None and e.points is not None],
            [e for e in found if e.mask is None and e.points is not None],
            [e for e in found if e.points is None],
        )
        repeated = [name for name, n in Counter(e.id for e in examples.real).items() if n > 1]
        if repeated:
            raise InputDataError(
                f"{len(repeated)} radiographs have the name of another ({', '.join(repeated[:10])}). "
                "Expected one radiograph for each name in all folders of --data; rename them."
            )
        if not examples.phantoms:
            raise InputDataError(
                f"{', '.join(folders)}: no radiograph with a mask and key points. Expected at least one "
                "folder of `bone-age-tf phantom`, which has both in truth/."
            )
        return examples

    @property
    def real(self) -> list[Example]:
        """All without a mask."""
        return [*self.annotated, *self.unannotated]


def train_localizer(
    config: LocalizerConfig,
    *,
    data: Sequence[str],
    run: str,
    fresh: bool = False,
    on_progress: Notify | None = None,
) -> LocalizerReport:
    """Train until all rounds are finished, then set the limits and write the localizer.

    Raises `UsageError` where the run folder was begun with other settings or data.
    """
    folder = Path(run)
    run_folder.require_run_folder(folder)
    busy = f"{folder}: another process is training in this folder. Wait for it, or choose another --run."
    with locks.held(folder / run_folder.LOCK, busy):
        examples = Examples.read(data)
        description = _describe(config, examples)
        if fresh:
            run_folder.clear(folder)
        run_folder.require_same_run(folder, description)
        write_json(folder / run_folder.RUN_FILE, description)
        run_folder.write_config(folder, config)
        notify = on_progress or (lambda stage, done, total, detail: None)
        network, accepted = train_rounds(config, examples, folder, notify)
        counts = {k: v for k, v in description["data"].items() if k != "sha256"}
        counts["mined"] = accepted
        folded = fold_normalization(network)
        good = examples.real
        if len(good) < MIN_REAL:
            flat = [phantom for phantom in examples.phantoms if phantom.tilt < FLAT]
            good = [*good, *flat[:PHANTOMS_ADDED]]
        limits = set_limits(folded, good, examples.phantoms, config.seed)
        save(folder, folded, limits, _card(config, counts))
        write_json(
            folder / run_folder.RUN_FILE,
            description | {"result": {"localizer": DESCRIPTION, **counts}},
        )
    return LocalizerReport(counts, folder)


def train_rounds(
    config: LocalizerConfig, examples: Examples, folder: Path, notify: Notify
) -> tuple[keras.Model, list[int]]:
    """The network after the last round, and how many radiographs each mining accepted."""
    keras.utils.set_random_seed(config.seed)
    cv2.setNumThreads(1)  # many small pictures
    network = _build()
    accepted = []
    for number in range(1 + config.mining_rounds):
        weights, note = folder / f"round-{number}.weights.h5", folder / f"round-{number}.json"
        if note.exists():  # written last
            network.load_weights(weights)
            accepted = json.loads(note.read_text(encoding="utf-8"))["accepted"]
            continue
        mined: list[Example] = []
        if number:
            mined = mine(
                fold_normalization(network),
                examples.real,
                functools.partial(_notify_mined, notify, number),
            )
            accepted.append(len(mined))
            log.info(f"{len(mined)} of {len(examples.real)} radiographs accepted")
        groups = _groups(config, number, examples, mined)
        _train_round(network, config, number, groups, folder, notify)
        network.save_weights(weights)
        (folder / checkpoint.FILE).unlink(missing_ok=True)  # it is always one of the next round
        write_json(note, {"accepted": accepted})
    return network, accepted


def _notify_mined(notify: Notify, number: int, done: int, total: int) -> None:
    notify(f"mine {number}", done, total, "")


def _build() -> keras.Model:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(strategy.choose_precision("auto"))
    try:
        return build_hand_localizer(for_training=True)
    finally:
        keras.config.set_dtype_policy(policy)


def _groups(
    config: LocalizerConfig, number: int, examples: Examples, mined: Sequence[Example]
) -> list[tuple[float, Sequence[Example]]]:
    """Shares of a round's samples and their examples; the first round uses phantoms alone."""
    if not number:
        return [(1.0, examples.phantoms)]
    masks = {example.id: example.mask for example in mined}
    annotated = [dataclasses.replace(e, mask=masks.get(e.id)) for e in examples.annotated]
    own = {example.id for example in annotated}
    unannotated = [example for example in mined if example.id not in own]
    shares = [(config.annotated_share, annotated), (config.mined_share, unannotated)]
    used = [(share, found) for share, found in shares if found]
    return [(1 - sum(share for share, _ in used), examples.phantoms), *used]


def _train_round(
    network: keras.Model,
    config: LocalizerConfig,
    number: int,
    groups: Sequence[tuple[float, Sequence[Example]]],
    folder: Path,
    notify: Notify,
) -> None:
    """From the checkpoint, where there is one."""
    steps = config.mining_steps if number else config.steps
    _compile(network, steps, config.learning_rate / (4 if number else 1))
    state = [*network.variables, *network.optimizer.variables]
    progress = checkpoint.restore(folder, state) or checkpoint.Progress(epoch=number)
    while progress.step < steps:
        seed = [config.seed * 1000 + number, progress.step]
        sampler = Sampler(groups, seed, negative_share=config.negative_share)
        count = min(CHECKPOINT_STEPS, steps - progress.step)
        network.fit(
            batches(sampler, config.batch_size),
            epochs=1,
            steps_per_epoch=count,
            verbose=0,
            shuffle=False,
            callbacks=[_Progress(notify, number, progress.step, steps, config.batch_size)],
        )
        progress.step += count
        checkpoint.save(folder, state, progress)


def _compile(network: keras.Model, steps: int, rate: float) -> None:
    """With the optimizer of all training; Keras' AdamW would trace the schedule for every variable."""
    warmup = min(WARMUP_STEPS, max(steps // 4, 1))
    schedule = WarmupSchedule(TrainConfig(learning_rate=rate, warmup_steps=warmup), steps)
    rates = [1.0] * len(network.trainable_variables)
    network.compile(
        LayerwiseAdamW(schedule, rates, decay=1e-4, clipnorm=1.0),
        loss=LOSSES,
        loss_weights=WEIGHTS,
        jit_compile=False,
    )
    network.optimizer.build(network.trainable_variables)  # in fit, the step would be traced twice


class _Progress(keras.callbacks.Callback):
    def __init__(
        self, notify: Notify, number: int, first: int, steps: int, batch_size: int
    ) -> None:
        super().__init__()
        self._notify, self._number, self._first = notify, number, first
        self._steps, self._size = steps, batch_size

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """The clock of the round starts."""
        self._tell(self._first, "")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """One more batch."""
        self._tell(self._first + batch + 1, f"loss {(logs or {}).get('loss', float('nan')):.3f}")

    def _tell(self, done: int, detail: str) -> None:
        total = self._steps * self._size
        self._notify(f"round {self._number}", done * self._size, total, detail)


def batches(samples: Iterable[Sample], batch_size: int) -> tf.data.Dataset:
    """Batches of (view uint8 [N, *VIEW, 2], targets by the names in `OUTPUTS`)."""

    def rows() -> Iterator[tuple[Any, ...]]:
        for sample in samples:
            weight = np.full_like(sample.mask, sample.mask_weight)
            mask = np.concatenate([sample.mask, weight], axis=-1)
            yield (
                sample.view,
                mask,
                sample.points,
                sample.image_class,
                [float(sample.inverted)],
                [sample.tilt],
            )

    def see(view: tf.Tensor, *targets: tf.Tensor) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        levels = tf.cast(view, tf.int32) * 257
        return localization.network_input(levels), dict(zip(OUTPUTS, targets, strict=True))

    signature = (
        tf.TensorSpec((*VIEW, 1), tf.uint8),
        tf.TensorSpec((*VIEW, 2), tf.float32),
        tf.TensorSpec((len(POINTS), 2), tf.float32),
        tf.TensorSpec((), tf.int32),
        tf.TensorSpec((1,), tf.float32),
        tf.TensorSpec((1,), tf.float32),
    )
    return (
        tf.data.Dataset.from_generator(rows, output_signature=signature)
        .map(see, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size)
        .prefetch(tf.data.AUTOTUNE)
    )


def _describe(config: LocalizerConfig, examples: Examples) -> dict[str, Any]:
    return {
        "schema": run_folder.LOCALIZER_RUN_SCHEMA,
        "config": configuration.to_dict(config),
        "data": {
            "phantoms": len(examples.phantoms),
            "annotated": len(examples.annotated),
            "unannotated": len(examples.unannotated),
            "sha256": digest([*examples.phantoms, *examples.real]),
        },
        "versions": versions(),
    }


def _card(config: LocalizerConfig, counts: dict[str, Any]) -> dict[str, Any]:
    return {
        "trained_on": counts,
        "config": configuration.to_dict(config),
        "versions": versions(),
        "terms": RESEARCH_ONLY,
    }
