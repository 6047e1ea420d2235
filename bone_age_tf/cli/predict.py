"""`bone-age-tf predict`."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bone_age_tf.cli import (
    SOME_REJECTED,
    console,
    dicomweb_source,
    height_options,
    options,
    result_tables,
)
from bone_age_tf.config import RESEARCH_ONLY

log = logging.getLogger(__name__)


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True))
@dicomweb_source.dicomweb_options
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
@height_options.heights_options
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
@click.option(
    "--dicom-output",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Also write the results of DICOM files as DICOM objects into this folder: a structured report and a picture "
    "of each, also of one that is rejected.",
)
@options.dicom_object_options
@click.option(
    "--fhir",
    "with_fhir",
    is_flag=True,
    help="Also write each result as a FHIR Observation.",
)
@options.results_folder_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
@options.accept_dicom_option
@options.with_exported_model
def predict(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    as_json: bool,
    with_report: bool,
    with_fhir: bool,
    dicom_output: str | None,
    **settings: Any,
) -> int:
    """Predict the bone age of radiographs.

    PATHS are DICOM, PNG, JPEG, TIFF and BMP files, folders of them and zips of them. With --dicomweb, the radiographs of a
    study are retrieved from an archive instead, and the results stored in it.

    \b
    Examples:
      bone-age-tf predict hand.png --sex F --output predictions/1
      bone-age-tf predict hand.png --sex M --chronological-age-months 126 --report --output predictions/3
      bone-age-tf predict hand.png --sex F --chronological-age-months 126 --height-cm 138 --output predictions/8
      bone-age-tf predict study --output predictions/4      # DICOM: the header tells the sex
      bone-age-tf predict study --output predictions/5 --dicom-output objects
      bone-age-tf predict --dicomweb https://pacs.example/dicom-web --study 1.2.840.113619.2.1 --output predictions/6
      bone-age-tf predict radiographs --model saved_models/bone_age --labels children.csv --output predictions/2
    """
    from bone_age_tf.inference.predict import predict as run

    source = dicomweb_source.pop_source(settings, paths)
    if source and source.is_stored:
        dicom_output = dicom_output or str(Path(settings["output"], dicomweb_source.OBJECTS))
    label_options = options.pop_label_options(settings)
    heights = height_options.pop_heights(settings)
    objects = options.pop_dicom_objects(settings, destination=dicom_output, of="--dicom-output")
    output, model = settings["output"], settings["model"]
    dicom = _dicom_folder(dicom_output, objects, settings) if dicom_output else None
    fhir = _fhir_folder(settings) if with_fhir else None
    writers = [one for one in (dicom, fhir) if one is not None]
    with progress, contextlib.ExitStack() as stack:
        if source:
            paths = stack.enter_context(source.radiographs(progress))
        report = run(
            paths,
            label_options=label_options,
            heights=heights,
            on_progress=progress,
            on_predicted=_to_all(writers),
            **settings,
        )
        objects_line = dicom.close() if dicom else ""
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
    if dicom is not None:
        log.info(objects_line)
    if fhir is not None:
        log.info(f"FHIR Observations: {fhir.written} in {fhir.folder}")
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
    if source and source.is_stored:
        source.store(dicom)
    return SOME_REJECTED if report.rejected or (dicom and dicom.missing) else 0


def _to_all(writers: list[Any]) -> Callable[[Any], None] | None:
    def write(predicted: Any) -> None:
        for writer in writers:
            writer(predicted)

    return write if writers else None


def _dicom_folder(folder: str, config: Any, settings: dict[str, Any]) -> Any:
    from bone_age_tf.dicom_output.folder import DicomFolder

    names = ("model", "output", "overwrite")
    return DicomFolder(folder, config=config, **{name: settings[name] for name in names})


def _fhir_folder(settings: dict[str, Any]) -> Any:
    from bone_age_tf.report.fhir import FhirFolder

    return FhirFolder(settings["output"], settings["model"])


def _write_reports(
    paths: tuple[str, ...], model: str, output: str, progress: console.ProgressDisplay
) -> Path:
    from bone_age_tf.report.patient_report import write_patient_reports

    return write_patient_reports(paths, model=model, predictions=output, on_progress=progress)
