"""`bone-age-tf mercure`."""

import logging
from pathlib import Path

import click

from bone_age_tf.cli import console, options
from bone_age_tf.config import RESEARCH_ONLY

log = logging.getLogger(__name__)


@click.command()
@click.option(
    "--input",
    envvar="MERCURE_IN_DIR",
    show_envvar=True,
    required=True,
    type=options.EXISTING_FOLDER,
    help="Folder of *.dcm files and task.json.",
)
@click.option(
    "--output",
    envvar="MERCURE_OUT_DIR",
    show_envvar=True,
    required=True,
    type=options.EXISTING_FOLDER,
    help="Folder for the objects and result.json.",
)
@options.exported_model_option
@options.with_exported_model
def mercure(*, progress: console.ProgressDisplay, input: str, output: str, model: str) -> int:
    """Process one task as a module of mercure.

    Radiographs of hands become DICOM objects, which mercure sends on: a structured report and a picture, also of a
    radiograph that is rejected. Settings are those of the rule: objects, sr, uid_root, accept_dicom and model.

    mercure-imaging.org is a DICOM router that gives both folders as environment variables.

    \b
    Examples:
      bone-age-tf mercure --input in --output out
    """
    from bone_age_tf.dicom_output.mercure import process

    with progress:
        result = process(Path(input), Path(output), model, progress)
    rows, without = result["radiographs"], sum(result["left_out"].values())
    log.info(
        f"Radiographs: {len(rows)}, other objects, which were left out: {without}. {RESEARCH_ONLY}"
    )
    return 0
