"""`bone-age-tf stress`."""

import json
import logging
from typing import Any

import click

from bone_age_tf.cli import console, options, stress_table
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.errors import ModelRefusedError

log = logging.getLogger(__name__)


def _words(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[str, ...]:
    return tuple(word for text in texts for word in text.split(","))


@click.command()
@options.radiographs_argument
@options.exported_model_option
@options.sex_or_labels_options
@options.label_column_options("id", "age", "sex")
@click.option(
    "--against",
    type=click.Path(exists=True),
    metavar="PATH",
    help="Folder or zip of the same radiographs, processed otherwise, to compare with instead of changing them. Joined by the "
    "file's name without extension; DICOM files also by Accession Number, or Patient ID and study date.",
)
@click.option(
    "--changes",
    multiple=True,
    callback=_words,
    metavar="NAME,...",
    help="Groups (geometry, exposure, sharpness, noise, processing, borders), changes, or how their names begin. Repeatable. [all]",
)
@click.option("--limit", type=click.IntRange(min=1), help="Radiographs to sample. [all]")
@click.option(
    "--seed", default=0, show_default=True, help="Random seed of the sample and the noise."
)
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Also write the first N radiographs under every change, to look at or for localize.",
)
@click.option(
    "--max-shift",
    type=click.FloatRange(min=0),
    help="Exit with code 5 where a change raises the MAE by more than this many months; needs bone ages in --labels.",
)
@options.results_folder_options
@options.json_option
@options.accept_dicom_option
@options.with_tensorflow
def stress(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    max_shift: float | None,
    as_json: bool,
    **settings: Any,
) -> int:
    """Measure robustness to image changes and other processing.

    How far predictions move when radiographs are rotated, mirrored, darker, blurred or noisier, processed by the device in
    another way, or have borders: by changing them, or by comparing them with those in a second folder (--against). Without
    --labels, the sex is that of --sex or of DICOM headers, and no MAE is reported.

    \b
    Examples:
      bone-age-tf stress radiographs --labels radiographs/labels.csv --output stress/1 --limit 50
      bone-age-tf stress radiographs --sex unknown --output stress/2 --changes processing,borders
      bone-age-tf stress preset-a --against preset-b --sex unknown --output stress/3
      bone-age-tf stress radiographs --labels radiographs/labels.csv --output stress/4 --max-shift 60
    """
    from bone_age_tf.evaluation.stress.stress import stress as run

    if max_shift is not None and settings["labels"] is None:
        raise click.UsageError("--max-shift is about the MAE: it needs bone ages in --labels.")
    label_options = options.pop_label_options(settings)
    with progress:
        result = run(paths, label_options=label_options, on_progress=progress, **settings)
    click.echo(json.dumps(result, indent=2) if as_json else stress_table.stress_table(result))
    log.info(f"{RESEARCH_ONLY} Results: {settings['output']}")
    largest = result["largest_mae_shift_months"]
    if max_shift is None or (largest is not None and largest <= max_shift):
        return 0
    shown = "not known" if largest is None else f"{largest:.2f} months"
    log.error(
        f"The largest shift of the MAE is {shown}. Expected at most {max_shift:g} months (--max-shift)."
    )
    return ModelRefusedError.exit_code
