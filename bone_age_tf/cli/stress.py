"""`bone-age-tf stress`."""

import json
import logging
from typing import Any

import click

from bone_age_tf.cli import console, options, result_tables
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.errors import ModelRefusedError

log = logging.getLogger(__name__)


@click.command()
@options.radiographs_argument
@options.exported_model_option
@click.option(
    "--labels",
    required=True,
    type=options.EXISTING_FILE,
    help="Table with identifier, sex and bone age; a row is matched to a file by its name without "
    "extension, to a DICOM file also by SOP Instance UID, Accession Number, or Patient ID and study date.",
)
@options.label_column_options("id", "age", "sex")
@click.option("--limit", type=click.IntRange(min=1), help="Radiographs to sample. [all]")
@click.option(
    "--seed", default=0, show_default=True, help="Random seed of the sample and the noise."
)
@click.option(
    "--max-shift",
    type=click.FloatRange(min=0),
    help="Exit with code 5 where a perturbation raises the MAE by more than this many months.",
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
    """Measure robustness to rotation, blur, noise and the like.

    How far predictions move when radiographs are rotated, mirrored, inverted, darker, brighter, of
    other contrast, blurred, coarser or noisier.

    \b
    Examples:
      bone-age-tf stress radiographs --labels radiographs/labels.csv --output stress/1 --limit 50
      bone-age-tf stress radiographs --labels radiographs/labels.csv --output stress/2 --max-shift 60
    """
    from bone_age_tf.evaluation.stress import stress as run

    label_options = options.pop_label_options(settings)
    with progress:
        result = run(paths, label_options=label_options, on_progress=progress, **settings)
    click.echo(json.dumps(result, indent=2) if as_json else result_tables.stress_table(result))
    log.info(f"{RESEARCH_ONLY} Results: {settings['output']}")
    largest = result["largest_shift_months"]
    if max_shift is None or (largest is not None and largest <= max_shift):
        return 0
    log.error(
        f"The largest shift of the MAE is {largest} months. Expected at most {max_shift:g} (--max-shift)."
    )
    return ModelRefusedError.exit_code
