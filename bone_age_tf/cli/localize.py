"""`bone-age-tf localize`."""

import logging

import click

from bone_age_tf.cli import SOME_REJECTED, console, options

log = logging.getLogger(__name__)


@click.command()
@options.radiographs_argument
@options.results_folder_options
@options.localizer_option
@click.option(
    "--scale",
    default=0.25,
    show_default=True,
    help="Frame that the matrices map into: 2080 x 1600 pixels times this.",
)
@options.accept_dicom_option
@options.with_tensorflow
def localize(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    output: str,
    overwrite: bool,
    localizer: str | None,
    scale: float,
    accept_dicom: tuple[str, ...],
) -> int:
    """Find the hand in radiographs: key points, mask and frame.

    PATHS are DICOM, PNG, JPEG, TIFF and BMP files, folders of them and zips of them. Writes key_points.csv,
    localization.jsonl, masks/ and pictures/.

    \b
    Examples:
      bone-age-tf localize hand.png --output localized
      bone-age-tf localize radiographs --output localized
    """
    from bone_age_tf.config import SHIPPED_LOCALIZER, PreprocessingConfig
    from bone_age_tf.inference.localize import localize as run

    config = PreprocessingConfig(scale=scale, localizer=localizer or SHIPPED_LOCALIZER)
    with progress:
        report = run(
            paths,
            output=output,
            config=config,
            accept_dicom=accept_dicom,
            overwrite=overwrite,
            on_progress=progress,
        )
    click.echo(console.count_table("status", {"ok": report.found, **report.rejected}))
    log.info(f"Overlays: {output}/pictures")
    return SOME_REJECTED if report.rejected else 0
