"""`bone-age-tf predict`."""

import logging
from pathlib import Path
from typing import Any

import click

from bone_age_tf.cli import SOME_REJECTED, console, options, result_tables
from bone_age_tf.config import RESEARCH_ONLY

log = logging.getLogger(__name__)


@click.command()
@options.radiographs_argument
@options.exported_model_option
@options.sex_or_labels_options
@options.label_column_options("id", "age", "sex")
@click.option(
    "--chronological-age-months",
    type=click.FloatRange(0, 360),
    help="Age of every child that has none in --labels or in the header of a DICOM file; adds difference, SD score and "
    "verdict.",
)
@click.option("--chronological-age-column", help="Column of that age in --labels.")
@options.age_unit_option("--chronological-age-unit", "chronological age")
@click.option(
    "--report",
    "with_report",
    is_flag=True,
    help="Also write an HTML page for each radiograph, with explanation; some seconds each.",
)
@click.option(
    "--keep-uids",
    is_flag=True,
    help="Add the SOP Instance UID of each DICOM file to the results.",
)
@options.results_folder_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
@options.accept_dicom_option
@options.with_tensorflow
def predict(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    as_json: bool,
    with_report: bool,
    **settings: Any,
) -> int:
    """Predict the bone age of radiographs.

    PATHS are DICOM, PNG, JPEG, TIFF and BMP files, folders of them and zips of them.

    \b
    Examples:
      bone-age-tf predict hand.png --sex F --output predictions/1
      bone-age-tf predict hand.png --sex M --chronological-age-months 126 --report --output predictions/3
      bone-age-tf predict study --output predictions/4      # DICOM: the header tells the sex
      bone-age-tf predict radiographs --model saved_models/bone_age --labels children.csv --output predictions/2
    """
    from bone_age_tf.inference.predict import predict as run

    label_options = options.pop_label_options(settings)
    output, model = settings["output"], settings["model"]
    with progress:
        report = run(paths, label_options=label_options, on_progress=progress, **settings)
        pages = _write_reports(paths, model, output, progress) if with_report else None
    if as_json:
        lines = Path(output, "predictions.jsonl").read_text(encoding="utf-8")
        click.echo(lines, nl=False)
    else:
        click.echo(result_tables.prediction_table(report))
        if report.accuracy is not None:
            click.echo(result_tables.accuracy_text(report.accuracy))
    if pages is not None:
        log.info(f"Reports: {pages / 'index.html'}")
    if report.without_file:
        labels, count = settings["labels"], len(report.without_file)
        log.info(f"Rows of {labels} without a file: {count}, listed in {output}/problems.csv")
    if report.warnings:
        log.info(f"{report.warnings} with a warning (column `warning`).")
    log.info(
        f"{report.predicted} predicted, {report.rejected} rejected, by version {report.version} of {model}. "
        f"All rows: {output}/predictions.csv\n"
        f"{RESEARCH_ONLY}"
    )
    return SOME_REJECTED if report.rejected else 0


def _write_reports(
    paths: tuple[str, ...], model: str, output: str, progress: console.ProgressDisplay
) -> Path:
    from bone_age_tf.report.patient_report import write_patient_reports

    return write_patient_reports(paths, model=model, predictions=output, on_progress=progress)
