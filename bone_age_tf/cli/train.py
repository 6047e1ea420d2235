"""`bone-age-tf train`."""

import logging
from typing import Any

import click

from bone_age_tf.cli import console, options
from bone_age_tf.errors import UsageError

log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--data",
    required=True,
    multiple=True,
    type=options.EXISTING_FOLDER,
    help="Data set written by prepare; for the recipe hand_localizer, folders of radiographs.",
)
@click.option(
    "--run",
    required=True,
    type=click.Path(file_okay=False),
    help="Run folder to create, or to resume.",
)
@click.option("--recipe", default="default", show_default=True, help="Recipe to start from.")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting of the recipe, as in train.epochs=3. Repeatable.",
)
@click.option(
    "--initial-weights",
    default="imagenet",
    show_default=True,
    help="Of the backbone: imagenet (downloaded), none (random) or a .weights.h5 file. Of backbone and "
    "head: a run folder.",
)
@click.option("--fresh", is_flag=True, help="Start over where the run folder exists.")
@options.with_tensorflow
def train(
    *,
    progress: console.ProgressDisplay,
    recipe: str,
    assignments: tuple[str, ...],
    data: tuple[str, ...],
    initial_weights: str,
    run: str,
    fresh: bool,
) -> int:
    """Train a model on a prepared data set.

    After an interruption, the same command resumes.

    The recipe hand_localizer trains the network that finds the hand, from folders of radiographs:
    phantoms, radiographs with key_points.csv (id or file, point, x, y), and any others.

    \b
    Examples:
      bone-age-tf train --data prepared --run runs/1
      bone-age-tf train --data prepared --run runs/2 --set train.epochs=40 --set model.backbone=xception
      bone-age-tf train --data prepared --run runs/carpal --set data.region=carpal
      bone-age-tf train --data prepared --run runs/fold2 --set data.fold=2/5
      bone-age-tf train --data prepared --run runs/sex --recipe sex_classifier
      bone-age-tf train --recipe hand_localizer --data phantoms --data radiographs --run runs/localizer
    """
    from bone_age_tf.config import LocalizerConfig, override
    from bone_age_tf.recipes import load_recipe

    config = override(load_recipe(recipe), assignments)
    if isinstance(config, LocalizerConfig):
        if initial_weights != "imagenet":
            raise UsageError(
                "--initial-weights: the recipe hand_localizer starts from random weights. Leave it out."
            )
        return _train_localizer(config, data, progress, run=run, fresh=fresh)
    folder, *others = data
    if others:
        raise UsageError(f"--data: expected one data set. Received {len(data)}: {', '.join(data)}.")
    from bone_age_tf.training.train import train as run_training

    with progress:
        report = run_training(
            config,
            data=folder,
            run=run,
            initial_weights=initial_weights,
            fresh=fresh,
            on_progress=progress,
        )
    _show(report, folder, run)
    return 0


def _show(report: Any, data: str, run: str) -> None:
    best = report.best_validation
    metric = (
        f"best validation {report.metric.say(best)}" if best is not None else "no validation split"
    )
    click.echo(f"{report.epochs} epochs, {metric}")
    log.info(
        f"Next: bone-age-tf evaluate --model {run} --data {data} --output evaluations/1\n"
        f"Learning curves: tensorboard --logdir {run}/tensorboard"
    )


def _train_localizer(
    config: Any, data: tuple[str, ...], progress: console.ProgressDisplay, *, run: str, fresh: bool
) -> int:
    from bone_age_tf.training.localizer.train import train_localizer

    with progress:
        report = train_localizer(config, data=data, run=run, fresh=fresh, on_progress=progress)
    click.echo("  ".join(f"{name} {count}" for name, count in report.examples.items()))
    log.info(
        f"Next: bone-age-tf localize {data[-1]} --localizer {report.folder} --output localized"
    )
    return 0
