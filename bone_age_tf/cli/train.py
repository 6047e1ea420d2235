"""`bone-age-tf train`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bone_age_tf.cli import console, options
from bone_age_tf.errors import UsageError

log = logging.getLogger(__name__)

SETTINGS_HELP = "help"
"""In place of NAME=VALUE: `--set help`."""


class TrainCommand(click.Command):
    """`train --help` lists the recipes, `train --set help` the settings, without TensorFlow."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The recipes, a line each."""
        from bone_age_tf.recipes import recipe_summaries

        with formatter.section("Recipes"):
            formatter.write_dl(list(recipe_summaries().items()))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Print the settings where they are asked for, even without the options that are required."""
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        if SETTINGS_HELP in (given.get("assignments") or ()):
            recipe, config = given.get("recipe"), given.get("config")
            click.echo(_settings(recipe or "default", config, bool(recipe)))
            ctx.exit()
        return super().parse_args(ctx, args)


def _settings(recipe: str, path: str | None, recipe_is_given: bool) -> str:
    from bone_age_tf.config.settings_help import settings_help

    config = _configured(recipe, path, recipe_is_given)
    formatter = click.HelpFormatter(max_width=100)
    values = f"the recipe {config.recipe}" + (f" and of {path}" if path else "")
    formatter.write_text(
        f"Settings for --set NAME=VALUE and --config, with the values of {values}."
    )
    for title, described in settings_help(config).items():
        formatter.write_paragraph()
        formatter.write_text(title)
        with formatter.indentation():
            formatter.write_dl(described, col_max=34)
    return formatter.getvalue().rstrip()


@click.command(cls=TrainCommand)
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
@click.option(
    "--recipe", default="default", show_default=True, help="Recipe to start from; listed below."
)
@click.option(
    "--config",
    type=options.EXISTING_FILE,
    help="Settings as TOML, such as the run.toml of another run; or its run.json. They change the recipe, "
    "--set changes them.",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting, as in train.epochs=3. Repeatable. --set help lists every setting with its "
    "value in the recipe.",
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
    config: str | None,
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
      bone-age-tf train --data prepared --run runs/again --config run.toml --set train.seed=1
      bone-age-tf train --data prepared --run runs/fold2 --set data.fold=2/5
      bone-age-tf train --data prepared --run runs/sex --recipe sex_classifier
      bone-age-tf train --recipe hand_localizer --data phantoms --data radiographs --run runs/localizer
    """
    from bone_age_tf.config import LocalizerConfig, override

    source = click.get_current_context().get_parameter_source("recipe")
    start = _configured(recipe, config, source is not ParameterSource.DEFAULT)
    settings = override(start, assignments)
    if isinstance(settings, LocalizerConfig):
        if initial_weights != "imagenet":
            raise UsageError(
                "--initial-weights: the recipe hand_localizer starts from random weights. Leave it out."
            )
        return _train_localizer(settings, data, progress, run=run, fresh=fresh)
    folder, *others = data
    if others:
        raise UsageError(f"--data: expected one data set. Received {len(data)}: {', '.join(data)}.")
    from bone_age_tf.training.train import train as run_training

    with progress:
        report = run_training(
            settings,
            data=folder,
            run=run,
            initial_weights=initial_weights,
            fresh=fresh,
            on_progress=progress,
        )
    _show(report, folder, run)
    return 0


def _configured(recipe: str, path: str | None, recipe_is_given: bool) -> Any:
    """The recipe (without `--recipe` that of the file), changed by the file."""
    from bone_age_tf.config.config_file import apply_config_file, read_config_file
    from bone_age_tf.recipes import load_recipe

    values = read_config_file(path) if path else {}
    if path and "recipe" in values:
        recipe = _recipe_of(values, path, recipe if recipe_is_given else None)
    config = load_recipe(recipe)
    return apply_config_file(config, values, path) if path else config


def _recipe_of(values: Mapping[str, Any], path: str, given: str | None) -> str:
    from bone_age_tf.recipes import recipe_names

    recipe = values["recipe"]
    if recipe not in recipe_names():
        expected = ", ".join(recipe_names())
        raise UsageError(f"{path}: recipe must be one of {expected}. Received: {recipe!r}.")
    if given not in (None, recipe):
        raise UsageError(
            f"--recipe {given}: the settings of {path} are those of the recipe {recipe}. Leave out "
            "--recipe, or take the line `recipe` out of the file."
        )
    return recipe


def _show(report: Any, data: str, run: str) -> None:
    best = report.best_validation
    metric = (
        f"best validation {report.metric.say(best)}" if best is not None else "no validation split"
    )
    click.echo(f"{report.epochs} epochs, {metric}")
    if report.constant is not None:
        click.echo(f"MAE of a constant, the mean of the training set: {report.constant:.2f} months")
        if best is not None and best >= report.constant:
            log.warning("The model is no better than that constant: train longer, or on more data.")
    log.info(f"Next: bone-age-tf evaluate --model {run} --data {data} --output evaluations/1")
    if Path(run, "tensorboard").is_dir():
        log.info(f"Learning curves: tensorboard --logdir {run}/tensorboard")


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
