"""`bone-age-tf prepare`."""

import dataclasses
import logging
from typing import Any

import click
from click.core import ParameterSource

from bone_age_tf.cli import SOME_REJECTED, console, options, result_tables
from bone_age_tf.config import PREPROCESSING_METHODS, RUNNERS
from bone_age_tf.errors import InputDataError, UsageError

log = logging.getLogger(__name__)

OF_THE_MODEL = {"preprocess": "--preprocess", "scale": "--scale", "localizer": "--localizer"}
"""Options that --for-model stands for."""
ALL_FOR_EVALUATION = {"test": 1.0}
"""Shares of the splits with --for-model: the split that `evaluate` takes."""


def _parse_split(context: click.Context, parameter: click.Parameter, text: str) -> dict[str, float]:
    shares = {}
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError as error:
            raise click.BadParameter(
                f"expected NAME=SHARE,..., as in train=0.8,validation=0.1,test=0.1. Received: {text!r}."
            ) from error
    return shares


@click.command()
@click.argument("source", type=click.Path(exists=True))
@click.option(
    "--output", required=True, type=click.Path(), help="Folder of the data set to create."
)
@click.option("--labels", type=options.EXISTING_FILE, help="Label table: CSV or .xlsx.")
@click.option("--image-dir", type=click.Path(exists=True), help="Folder or zip of the radiographs.")
@click.option("--id-column", help="Column of the identifier (the file's name without extension).")
@click.option("--age-column", help="Column of the bone age.")
@click.option("--sex-column", help="Column of the sex.")
@options.sex_map_option
@click.option("--sex", type=options.SexWord(), help="Sex of every row, for a table of one sex.")
@click.option("--group-column", help="Column of the patient; a patient stays in one split.")
@options.age_unit_option("--age-unit", "bone age")
@click.option("--unlabelled", is_flag=True, help="Allow missing bone ages: data for prediction.")
@click.option(
    "--split",
    default="train=0.8,validation=0.1,test=0.1",
    show_default=True,
    callback=_parse_split,
    help="Share of each split.",
)
@click.option("--split-column", help="Column that names each row's split, instead of --split.")
@click.option(
    "--preprocess",
    type=click.Choice(PREPROCESSING_METHODS),
    default="registered",
    show_default=True,
    help="registered: the hand alone, upright. letterbox: the whole radiograph.",
)
@options.localizer_option
@click.option(
    "--for-model",
    type=options.MODEL_FOLDER,
    help="Prepare for this model (exported model, run or ensemble): its preprocessing, scale and localizer, "
    "and one split, test, unless --split is given.",
)
@click.option(
    "--scale", default=0.25, show_default=True, help="Frame: 2080 x 1600 pixels times this."
)
@click.option("--seed", default=0, show_default=True, help="Random seed of splits and order.")
@click.option("--shards", type=int, help="Shards of the largest split. [one per 128 radiographs]")
@click.option(
    "--encoding",
    type=click.Choice(["png", "raw"]),
    default="png",
    show_default=True,
    help="png: small. raw: uint8 pixels, about ten times faster to read.",
)
@click.option(
    "--variants",
    default=0,
    show_default=True,
    metavar="N",
    help="Also N pictures of each radiograph with grey levels of other devices, for training.",
)
@click.option("--jobs", type=int, help="Shards written in parallel. [one per core]")
@click.option("--limit", type=int, help="Use (and read) only this many rows, sampled by the seed.")
@click.option("--skip-bad", is_flag=True, help="Continue without bad rows and files; exit code 4.")
@click.option(
    "--salt",
    type=click.Path(dir_okay=False),
    help="File of the salt of DICOM ids, outside OUTPUT; made where there is none. [OUTPUT.salt]",
)
@options.accept_dicom_option
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option(
    "--preview",
    default=0,
    type=click.IntRange(min=0),
    metavar="N",
    help="Write contact sheets of N radiographs before and after, and of all rejected ones.",
)
@click.option(
    "--runner",
    type=click.Choice(RUNNERS),
    default="local",
    show_default=True,
    help="Where shards are written: on this machine, by a Dask cluster, or by Apache Beam.",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="With --runner dask: the scheduler, as in tcp://host:8786, or its scheduler file (.json).",
)
@click.option(
    "--beam-option",
    "beam_options",
    multiple=True,
    help="With --runner beam: passed to Beam, as in --runner=FlinkRunner. Repeatable.",
)
@options.with_tensorflow
def prepare(
    *,
    progress: console.ProgressDisplay,
    dry_run: bool,
    preview: int,
    runner: str,
    scheduler: str | None,
    beam_options: tuple[str, ...],
    **settings: Any,
) -> int:
    """Convert raw radiographs and their labels to TFRecords.

    SOURCE is a folder or zip: the Kaggle or RSNA files of the Pediatric Bone Age Challenge, the
    layout of ml-recipe-bone-age, or any folder of images with a label table. DICOM files are joined with
    the table by file name, SOP Instance UID, Accession Number, or Patient ID and study date; their ids in the data set
    are salted hashes, and OUTPUT.ids.csv names the file of each. An image that does not show one whole hand is rejected with its reason (exit code 4).

    \b
    Examples:
      bone-age-tf prepare rsna-bone-age --output prepared --preview 100
      bone-age-tf prepare rsna-bone-age --output prepared --dry-run
      bone-age-tf prepare radiographs --labels ages.csv --id-column file --age-column months --sex-column sex --output prepared
      bone-age-tf prepare radiographs --for-model saved_models/bone_age --output own
      bone-age-tf prepare rsna-bone-age --output prepared --runner dask --scheduler tcp://host:8786
    """
    from bone_age_tf.data_prep.prepare import prepare as run

    if dry_run and preview:
        raise UsageError("--dry-run writes nothing and --preview writes images. Give one of them.")
    runs_on = _runner(runner, scheduler, beam_options)
    for_model = settings["for_model"]
    config = _config(**settings)
    with progress:
        report = run(
            config,
            dry_run=dry_run,
            preview=preview,
            runner=runs_on,
            on_progress=progress,
        )
    return _show(config, report, for_model, dry_run=dry_run)


def _config(
    *, for_model: str | None, split: dict[str, float], sex: str | None, **settings: Any
) -> Any:
    """`PrepareConfig` of the options."""
    from bone_age_tf.config import PrepareConfig

    given = {name: settings.pop(name) for name in OF_THE_MODEL}
    if for_model is None:
        preprocessing = _preprocessing(**given)
    else:
        preprocessing = _preprocessing_of(for_model)
        split = split if _is_given("split") else ALL_FOR_EVALUATION
    return PrepareConfig(
        label_options=dataclasses.replace(options.pop_label_options(settings), sex=sex),
        preprocessing=preprocessing,
        split=split,
        **settings,
    )


def _preprocessing(*, preprocess: str, localizer: str | None, scale: float) -> Any:
    """`PreprocessingConfig` of the options."""
    from bone_age_tf.config import SHIPPED_LOCALIZER, PreprocessingConfig

    if localizer and preprocess != "registered":
        raise UsageError(f"--localizer needs --preprocess registered. Received: {preprocess}.")
    return PreprocessingConfig(
        method=preprocess, scale=scale, localizer=localizer or SHIPPED_LOCALIZER
    )


def _preprocessing_of(model: str) -> Any:
    """That of a model. Raises `UsageError` where an option contradicts it."""
    from bone_age_tf.export.preprocessing import preprocessing_of

    given = [flag for name, flag in OF_THE_MODEL.items() if _is_given(name)]
    if given:
        raise UsageError(
            f"--for-model {model} decides preprocessing, scale and localizer. Received also {', '.join(given)}. "
            "Leave one of them out."
        )
    found = preprocessing_of(model)
    own = ", its own localizer" if found.has_own_localizer else ""
    log.info(f"As for {model}: --preprocess {found.method} --scale {found.scale:g}{own}.")
    return found


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def _runner(name: str, scheduler: str | None, beam_options: tuple[str, ...]) -> Any:
    """Where the shards are written; None: here."""
    if bool(scheduler) != (name == "dask"):
        raise UsageError(
            f"--runner dask needs --scheduler ADDRESS, and other runners take none. Received: --runner {name}, "
            f"{f'--scheduler {scheduler}' if scheduler else 'no --scheduler'}."
        )
    if beam_options and name != "beam":
        raise UsageError(f"--beam-option needs --runner beam. Received: --runner {name}.")
    if name == "dask":
        from bone_age_tf.data_prep.dask_runner import dask_runner

        return dask_runner(str(scheduler))
    if name == "beam":
        from bone_age_tf.data_prep.beam_runner import beam_runner

        return beam_runner(beam_options)
    return None


def _show(config: Any, report: Any, for_model: str | None, *, dry_run: bool) -> int:
    if report.problems:
        _show_problems(config, report, dry_run=dry_run)
    height, width = report.frame
    click.echo(
        f"layout {report.layout}, frame {height} x {width}, preprocessing {report.fingerprint[:12]}"
    )
    click.echo(result_tables.composition_table(report.splits, report.composition))
    for warning in report.warnings:
        log.warning(f"WARNING: {warning}.")
    if dry_run:
        log.info("Dry run: nothing was written.")
        return InputDataError.exit_code if report.problems and not config.skip_bad else 0
    state = "was already complete" if report.already_complete else "is ready"
    log.info(f"{config.output} {state}. {_next(config, report, for_model)}")
    return SOME_REJECTED if report.problems else 0


def _show_problems(config: Any, report: Any, *, dry_run: bool) -> None:
    from bone_age_tf.data.problems import PROBLEMS, summary

    plural = "s" * (len(report.problems) > 1)
    log.info(f"{len(report.problems)} problem{plural}:\n{summary(report.problems)}")
    if not dry_run:
        log.info(f"All of them: {config.output}/{PROBLEMS}")


def _next(config: Any, report: Any, for_model: str | None) -> str:
    """The next command; none for a model and radiographs without labels."""
    if for_model is None:
        return f"Next: bone-age-tf train --data {config.output} --run runs/1"
    if config.label_options.unlabelled:
        return ""
    split = "" if "test" in report.splits else f" --split {next(iter(report.splits))}"
    return (
        f"Next: bone-age-tf evaluate --model {for_model} --data {config.output}{split} "
        "--output evaluations/1"
    )
