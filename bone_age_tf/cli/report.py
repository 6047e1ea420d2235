"""`bone-age-tf report`."""

import logging

import click

from bone_age_tf.cli import options
from bone_age_tf.config import RESEARCH_ONLY

log = logging.getLogger(__name__)


@click.command()
@click.argument("evaluation", type=options.EXISTING_FOLDER)
@click.option(
    "--stress", type=options.EXISTING_FOLDER, help="Folder written by stress, for its table."
)
@click.option(
    "--output", required=True, type=click.Path(dir_okay=False), help="HTML file to write."
)
@options.with_tensorflow
def report(*, progress: object, evaluation: str, stress: str | None, output: str) -> int:
    """Write an evaluation as one HTML file.

    With figures, tables, the worst and best radiographs and provenance. EVALUATION is a folder written
    by evaluate. The file needs no network and prints on A4.

    \b
    Examples:
      bone-age-tf report evaluations/1 --output evaluations/1/report.html
    """
    del progress
    from bone_age_tf.report.evaluation_report import write_evaluation_report

    click.echo(str(write_evaluation_report(evaluation, output, stress=stress)))
    log.info(RESEARCH_ONLY)
    return 0
