"""`bone-age-tf phantom`."""

import logging
from typing import Any

import click

from bone_age_tf.cli import console, options
from bone_age_tf.config import PHANTOM_FORMATS, PHANTOM_STYLES, SEX_CHOICES

log = logging.getLogger(__name__)


def _parse_ages(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, int]:
    try:
        youngest, oldest = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise click.BadParameter(
            f"expected YOUNGEST:OLDEST in months, as in 12:228. Received: {text!r}."
        ) from error
    return youngest, oldest


def _parse_angles(
    context: click.Context, parameter: click.Parameter, text: str
) -> tuple[float, float]:
    try:
        least, greatest = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise click.BadParameter(
            f"expected LEAST:GREATEST in degrees, as in 30:90. Received: {text!r}."
        ) from error
    return least, greatest


@click.command()
@options.output_folder_option("Folder to create.")
@click.option("--count", required=True, type=int, help="Number of radiographs.")
@click.option("--size", default=768, show_default=True, help="Pixels of the longer side.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option(
    "--sex",
    type=click.Choice(SEX_CHOICES),
    default="both",
    show_default=True,
    help="Sex of the hands.",
)
@click.option(
    "--ages",
    default="12:228",
    show_default=True,
    callback=_parse_ages,
    help="Youngest and oldest bone age in months.",
)
@click.option(
    "--style",
    type=click.Choice(PHANTOM_STYLES),
    default="clean",
    show_default=True,
    help="clean: well-exposed, upright hands. varied: with markers, collimation, rotation, low contrast, infants held by an adult.",
)
@click.option(
    "--out-of-plane",
    default="0:0",
    show_default=True,
    callback=_parse_angles,
    help="Least and greatest rotation about the long axis of the hand in degrees: 45 oblique, 90 lateral.",
)
@click.option(
    "--no-bones",
    "with_bones",
    flag_value=False,
    default=True,
    help="Soft tissue only: a negative control for what a network uses.",
)
@click.option(
    "--format",
    type=click.Choice(PHANTOM_FORMATS),
    default="png",
    show_default=True,
    help="png, or dicom: DX and CR in turn, with sex and age in the header. Needs the extra [dicom].",
)
@click.option("--jobs", type=int, help="Parallel processes. [one per core]")
@options.without_tensorflow
def phantom(*, progress: console.ProgressDisplay, **settings: Any) -> int:
    """Generate synthetic hand radiographs (phantoms) of known age.

    Their bones mature by a published schedule. The folder has Kaggle's layout, which prepare reads,
    and truth/, the ground truth: masks, bones, key points.

    \b
    Examples:
      bone-age-tf phantom --output phantoms --count 20
      bone-age-tf phantom --output infants --count 12 --ages 0:36 --style varied --size 512
      bone-age-tf phantom --output oblique --count 12 --out-of-plane 30:60
      bone-age-tf phantom --output dicom --count 20 --format dicom
    """
    from bone_age_tf.config import PhantomConfig
    from bone_age_tf.data_prep.phantom.generate import write_phantoms

    config = PhantomConfig(**settings)
    with progress:
        report = write_phantoms(config, on_progress=progress)
    click.echo(console.count_table("sex", report.counts))
    state = "was already complete" if report.already_complete else "is ready"
    log.info(
        f"{config.output} {state}: synthetic radiographs, not of children.\n"
        f"Next: bone-age-tf prepare {config.output} --output prepared"
    )
    return 0
