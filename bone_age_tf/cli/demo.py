"""`bone-age-tf demo`."""

import logging
import math
import time
from pathlib import Path
from typing import Any

import click

from bone_age_tf.cli import console, options

log = logging.getLogger(__name__)

POOR_SHARE = 0.5
"""A demo that leaves more than this share of the error of a constant has hardly been trained."""
SECONDS_FIXED, SECONDS_A_RADIOGRAPH, SECONDS_A_RADIOGRAPH_AND_EPOCH = 60.0, 0.1, 0.008
"""Estimates for two idle cores, from the processor time."""


@click.command()
@click.option(
    "--output",
    default="demo",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Folder for everything that it makes.",
)
@click.option(
    "--count",
    default=400,
    show_default=True,
    type=click.IntRange(min=20),
    help="Synthetic radiographs to generate.",
)
@click.option(
    "--epochs", default=10, show_default=True, type=click.IntRange(min=1), help="Training epochs."
)
@options.without_tensorflow
def demo(*, progress: object, output: str, count: int, epochs: int) -> int:
    """Run the whole workflow on synthetic radiographs, in minutes.

    Generates phantoms, prepares them, trains, evaluates and exports a small network, predicts and
    explains. Prints every command before it runs it, and writes one HTML page about all of it. The
    network's accuracy on phantoms says nothing about real radiographs.

    \b
    Examples:
      bone-age-tf demo
      bone-age-tf demo --output quick --count 120 --epochs 2
    """
    from bone_age_tf.cli.demo_steps import run_command, run_demo, steps

    del progress
    given = click.get_current_context().params
    passed_on = [f"--{name}" for name in ("quiet", "debug") if given[name]]
    started = time.monotonic()
    log.info(
        f"The data of this demo are synthetic radiographs, not of children. "
        f"It takes about {_minutes(expected_minutes(count, epochs))} on two idle cores."
    )
    run_demo(
        output,
        count=count,
        epochs=epochs,
        run=lambda arguments: run_command([*arguments, *passed_on]),
    )
    listed = [(step.sentence, step.command) for step in steps(output, count, epochs)]
    _finish(Path(output), listed, started)
    return 0


def expected_minutes(count: int, epochs: int) -> int:
    """Duration on two idle cores, rounded up."""
    seconds = SECONDS_FIXED + count * (
        SECONDS_A_RADIOGRAPH + epochs * SECONDS_A_RADIOGRAPH_AND_EPOCH
    )
    return math.ceil(seconds / 60)


def _minutes(number: int) -> str:
    return f"{number} minute{'s' * (number > 1)}"


def _finish(output: Path, steps: list[tuple[str, str]], started: float) -> None:
    """Write the page and print the result."""
    console.import_tensorflow_silently()
    from bone_age_tf.report.demo_report import read_demo_result, write_demo_page

    result = read_demo_result(output, time.monotonic() - started)
    page = write_demo_page(output, result, steps)
    _show(result, output, page)


def _show(result: Any, output: Path, page: Path) -> None:
    interval = "" if result.low is None else f" [{result.low:.1f}, {result.high:.1f}]"
    click.echo(
        f"\nMAE {result.mae_months:.1f} months{interval} on {result.test_radiographs} unseen synthetic "
        f"radiographs\n(predicting the mean: {result.constant_mae_months:.1f}), after "
        f"{result.seconds / 60:.1f} minutes\n\nThe whole way on one page: {page}"
    )
    if result.mae_months > POOR_SHARE * result.constant_mae_months:
        log.info("The network is hardly trained: use more radiographs and epochs, as by default.")
    log.info(
        f"Synthetic radiographs, not children: this result says nothing about real radiographs.\n\n"
        f"{output}/phantoms      the synthetic radiographs and their ground truth\n"
        f"{output}/run           history.csv; tensorboard --logdir {output}/run/tensorboard\n"
        f"{output}/evaluation    errors by sex and age band\n"
        f"{output}/saved_models  the exported model, for TensorFlow Serving\n"
        f"{output}/predictions   months for each file\n"
        f"{output}/explained     saliency maps\n\n"
        "With real radiographs, in Kaggle's layout or a folder with a label table:\n"
        "  bone-age-tf prepare rsna-bone-age --output prepared\n"
        "  bone-age-tf train --data prepared --run runs/1"
    )
