"""`bone-age-tf compare`."""

import json
import logging

import click

from bone_age_tf.cli import console, options, result_tables
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.errors import UsageError

log = logging.getLogger(__name__)


@click.command()
@click.argument("first", type=click.Path(exists=True))
@click.argument("second", type=click.Path(exists=True))
@click.option(
    "--data",
    type=options.EXISTING_FOLDER,
    help="Data set written by prepare: FIRST and SECOND are then models, evaluated on it first.",
)
@click.option("--split", help="With --data: split to evaluate on. [test]")
@options.results_folder_options
@options.json_option
@options.with_tensorflow
def compare(
    *,
    progress: console.ProgressDisplay,
    first: str,
    second: str,
    data: str | None,
    split: str | None,
    output: str,
    overwrite: bool,
    as_json: bool,
) -> int:
    """Compare two evaluations or models on the same radiographs.

    FIRST and SECOND are folders written by evaluate; with --data they are models (run, ensemble or
    exported model). The comparison is paired: the difference of the errors has a 95 % confidence
    interval over the radiographs that both have.

    \b
    Examples:
      bone-age-tf compare evaluations/1 evaluations/2 --output evaluations/comparison
      bone-age-tf compare runs/1 runs/2 --data prepared --output evaluations/runs-1-and-2
    """
    from bone_age_tf.evaluation.compare import compare as run

    if split is not None and data is None:
        raise UsageError(
            "compare: --split needs --data, with which FIRST and SECOND are models. Received --split alone."
        )
    split = split or "test"
    if data is None:
        log.info(f"Comparing the evaluations {first} and {second}.")
    else:
        log.info(
            f"Comparing the models {first} and {second} on the split {split!r} of the data set {data}."
        )
    with progress:
        result = run(
            first,
            second,
            output=output,
            data=data,
            split=split,
            overwrite=overwrite,
            on_progress=progress,
        )
    click.echo(json.dumps(result, indent=2) if as_json else result_tables.comparison_text(result))
    log.info(f"{RESEARCH_ONLY} Results: {output}")
    return 0
