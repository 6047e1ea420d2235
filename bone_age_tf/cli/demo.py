"""`bone-age-tf demo`."""

import logging
from typing import Any

import click

from bone_age_tf.cli import options

log = logging.getLogger(__name__)

POOR_SHARE = 0.5
"""A demo that leaves more than this share of the baseline's error has hardly been trained."""


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
    default=800,
    show_default=True,
    type=click.IntRange(min=20),
    help="Synthetic radiographs to generate.",
)
@click.option(
    "--epochs", default=15, show_default=True, type=click.IntRange(min=1), help="Training epochs."
)
@options.without_tensorflow
def demo(*, progress: object, output: str, count: int, epochs: int) -> int:
    """Run the whole workflow on synthetic radiographs, in minutes.

    Generates phantoms, prepares them, trains, evaluates and exports a small network, and predicts.
    Prints every command before it runs it. The network's accuracy on phantoms says nothing about real
    radiographs.

    \b
    Examples:
      bone-age-tf demo
      bone-age-tf demo --output quick --count 120 --epochs 2
    """
    from bone_age_tf.cli.demo_steps import run_command, run_demo

    del progress
    given = click.get_current_context().params
    passed_on = [f"--{name}" for name in ("quiet", "debug") if given[name]]
    report = run_demo(
        output,
        count=count,
        epochs=epochs,
        run=lambda arguments: run_command([*arguments, *passed_on]),
    )
    _show(report, output)
    return 0


def _show(report: Any, output: str) -> None:
    interval = "" if report.low is None else f" [{report.low:.1f}, {report.high:.1f}]"
    click.echo(
        f"\nMAE {report.mae_months:.1f} months{interval} on {report.test_radiographs} unseen synthetic "
        f"radiographs\n(predicting the mean: {report.constant_mae_months:.1f}), after "
        f"{report.seconds / 60:.1f} minutes"
    )
    if report.mae_months > POOR_SHARE * report.constant_mae_months:
        log.info("The network is hardly trained: use more radiographs and epochs, as by default.")
    log.info(
        f"Synthetic radiographs, not children: this result says nothing about real radiographs.\n\n"
        f"{output}/phantoms      the synthetic radiographs and their ground truth\n"
        f"{output}/run           history.csv; tensorboard --logdir {output}/run/tensorboard\n"
        f"{output}/evaluation    errors by sex and age band\n"
        f"{output}/saved_models  the exported model, for TensorFlow Serving\n"
        f"{output}/predictions   months for each file\n\n"
        "With real radiographs, in Kaggle's layout or a folder with a label table:\n"
        "  bone-age-tf prepare rsna-bone-age --output prepared\n"
        "  bone-age-tf train --data prepared --run runs/1"
    )
