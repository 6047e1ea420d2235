"""`bone-age-tf explain`."""

import logging
from typing import Any

import click

from bone_age_tf.cli import SOME_REJECTED, console, options
from bone_age_tf.config import RESEARCH_ONLY

log = logging.getLogger(__name__)


@click.command()
@options.radiographs_argument
@options.exported_model_option
@options.sex_or_labels_options
@options.label_column_options("id", "sex")
@options.results_folder_options
@click.option(
    "--neighbours",
    type=options.EXISTING_FOLDER,
    metavar="DATA",
    help="Prepared data set: show its training radiographs that are most similar to the model.",
)
@options.accept_dicom_option
@options.with_tensorflow
def explain(*, progress: console.ProgressDisplay, paths: tuple[str, ...], **settings: Any) -> int:
    """Explain predictions by saliency maps and groups of bones.

    For each radiograph: where the model looks, and the effect of each group of bones on the bone age.
    PATHS are DICOM, PNG, JPEG, TIFF and BMP files, folders of them and zips of them.

    \b
    Examples:
      bone-age-tf explain hand.png --sex F --output explained/1
      bone-age-tf explain hand.png --sex F --model saved_models/small --neighbours prepared --output explained/2
    """
    from bone_age_tf.inference.explain import explain as run

    label_options = options.pop_label_options(settings)
    with progress:
        counts = run(paths, label_options=label_options, on_progress=progress, **settings)
    click.echo(f"{counts['explained']} explained, {counts['rejected']} rejected")
    if counts["rows_without_file"]:
        rows, labels = counts["rows_without_file"], settings["labels"]
        listed = f"{settings['output']}/problems.csv"
        log.info(f"Rows of {labels} without a file: {rows}, listed in {listed}")
    log.info(f"{RESEARCH_ONLY} Saliency maps: {settings['output']}/pictures")
    return SOME_REJECTED if counts["rejected"] else 0
