"""`bone-age-tf export`."""

import logging
from typing import Any

import click

from bone_age_tf.cli import options
from bone_age_tf.config import WEIGHTS_DTYPES

log = logging.getLogger(__name__)


@click.command()
@options.input_folder_option("--run", "Run or ensemble folder.")
@options.output_folder_option("Model folder, as in saved_models/bone_age.")
@options.version_option
@click.option(
    "--evaluation",
    type=options.EXISTING_FILE,
    help="evaluation.json of this run, for the manifest and the prediction intervals.",
)
@click.option(
    "--weights-dtype",
    type=click.Choice(WEIGHTS_DTYPES),
    default="float32",
    show_default=True,
    help="Data type of the stored weights; float16 halves the size. Computation is in float32.",
)
@click.option(
    "--sex-classifier",
    type=options.EXISTING_FOLDER,
    help="Run of the recipe sex_classifier, to warn where the given sex looks wrong.",
)
@click.option(
    "--cross-validation",
    metavar="ENSEMBLE",
    type=options.EXISTING_FOLDER,
    help="For a run that was trained on all data: an ensemble of the cross-validation folds of the same "
    "settings, from which it takes test-time augmentation, recalibration and prediction intervals.",
)
@options.reading_method_option
@options.serving_kit_option
@options.checkpoint_option(None)
@options.with_tensorflow
def export(*, progress: object, serving_kit: bool, **settings: Any) -> int:
    """Export a run or an ensemble as one SavedModel.

    Its inputs are the bytes of a PNG or JPEG file and the sex, its output is the bone age in months.

    \b
    Examples:
      bone-age-tf export --run runs/1 --output saved_models/bone_age
      bone-age-tf export --run runs/1 --output saved_models/bone_age --evaluation evaluations/1/evaluation.json
      bone-age-tf export --run runs/1 --output saved_models/small --weights-dtype float16
      bone-age-tf export --run runs/1 --output saved_models/bone_age --reading-method greulich_pyle
      bone-age-tf export --run runs/1 --output saved_models/bone_age --serving-kit
    """
    del progress
    from bone_age_tf.export.export import export_saved_model
    from bone_age_tf.serving.serving_kit import model_name, write_serving_kit

    output = settings["output"]
    if serving_kit:
        model_name(output)  # before the work
    folder = export_saved_model(**settings, warm_up=serving_kit)
    if serving_kit:
        log.info(f"To deploy it: {write_serving_kit(folder)}/README.md")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    click.echo(str(folder))
    log.info(
        f"{size / 1e6:.1f} MB. {output} without a version now means version {folder.name}.\n"
        f"Next: bone-age-tf predict hand.png --model {output} --sex F --output predictions/1"
    )
    return 0
