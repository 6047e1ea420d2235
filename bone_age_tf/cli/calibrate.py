"""`bone-age-tf calibrate`."""

import logging
from pathlib import Path
from typing import Any

import click

from bone_age_tf.cli import console, options, result_tables
from bone_age_tf.config import RESEARCH_ONLY

log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--model",
    required=True,
    type=options.MODEL_FOLDER,
    help="Exported model, as in saved_models/bone_age; shipped: the shipped model.",
)
@click.option(
    "--data",
    type=options.EXISTING_FOLDER,
    help="Data set of the new site, written by prepare, with bone ages.",
)
@click.option("--split", help="With --data: split to fit on.")
@click.option(
    "--predictions",
    type=options.EXISTING_FILE,
    help="Instead of --data: predictions.csv of predict with this model, with true bone ages.",
)
@options.output_folder_option("Model folder, as in saved_models/bone_age.")
@options.version_option
@click.option(
    "--coverage",
    type=float,
    default=0.9,
    show_default=True,
    help="Share of new radiographs whose bone age the prediction interval should contain.",
)
@options.correction_option
@options.reading_method_option
@options.serving_kit_option
@options.with_tensorflow
def calibrate(
    *,
    progress: console.ProgressDisplay,
    coverage: float,
    correction: str,
    serving_kit: bool,
    **settings: Any,
) -> int:
    """Recalibrate an exported model for a new site.

    From about 100 labelled radiographs of that site it writes a new version of the model: a
    sex-specific linear recalibration, where that lowers the error on radiographs that it was not fitted
    to, and prediction intervals of the coverage asked for.

    \b
    Examples:
      bone-age-tf calibrate --model saved_models/bone_age --data local --split train --output saved_models/local
      bone-age-tf calibrate --model saved_models/bone_age --predictions predictions/local/predictions.csv --output saved_models/local
    """
    from bone_age_tf.config import CalibrationConfig
    from bone_age_tf.export.calibrate import calibrate as run
    from bone_age_tf.serving.serving_kit import model_name, write_serving_kit

    output = settings["output"]
    if serving_kit:
        model_name(output)  # before the work
    config = CalibrationConfig(coverage=coverage, correction=correction)
    with progress:
        result = run(config=config, on_progress=progress, warm_up=serving_kit, **settings)
    click.echo(f"{result_tables.calibration_table(result)}\n{result['folder']}")
    if serving_kit:
        log.info(f"To deploy it: {write_serving_kit(Path(result['folder']))}/README.md")
    log.info(
        f"{RESEARCH_ONLY} Recalibrated from version {result['calibrated']['version']} of {settings['model']}.\n"
        f"Next: bone-age-tf predict hand.png --model {output} --sex F --output predictions/local"
    )
    return 0
