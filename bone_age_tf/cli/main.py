"""The command line: the only file that knows flags.

Each command turns its arguments into a configuration and calls one function. Results go to stdout,
progress and messages to stderr. TensorFlow is imported inside the commands, so that `--help`
answers at once.
"""

import errno
import functools
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from bone_age_tf import __version__
from bone_age_tf.cli import console, result_tables
from bone_age_tf.config import (
    DEFAULT_ENGINE,
    ENGINES,
    EPOCHS,
    PHANTOM_STYLES,
    PREPROCESSING_METHODS,
    RESEARCH_ONLY,
    CalibrationConfig,
    LabelOptions,
    PhantomConfig,
    PrepareConfig,
    PreprocessingConfig,
    ServeConfig,
)
from bone_age_tf.errors import BoneAgeError, EnvironmentFaultError, ModelRefusedError, UsageError

_ENVIRONMENT_ERRNOS = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
)
log = logging.getLogger(__name__)


def main() -> None:
    """Run the command line and leave with its exit code."""
    debug = "--debug" in sys.argv
    try:
        code = commands.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _say("Interrupted.", 130)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except KeyboardInterrupt:
        code = _say("Interrupted. The same command goes on where this one stopped.", 130)
    except Exception as error:  # every error ends as one message and an exit code
        if debug:
            traceback.print_exc()
        code = _explain(error)
    sys.exit(code)


def _explain(error: Exception) -> int:
    if isinstance(error, BoneAgeError):
        return _say(str(error), error.exit_code)
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT_ERRNOS:
        where = f" ({error.filename})" if error.filename else ""
        return _say(
            f"The system refused: {error.strerror}{where}.", EnvironmentFaultError.exit_code
        )
    kind = type(error).__name__
    return _say(f"A bug in bone-age-tf: {kind}: {error}\nSay --debug for the trace.", 1)


def _say(message: str, code: int) -> int:
    click.echo(f"bone-age-tf: {message}", err=True)
    return code


def _with_common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--quiet`, `--debug` and the set-up that every command needs, TensorFlow included."""

    @_without_tensorflow
    @functools.wraps(command)
    def wrapped(**options: Any) -> Any:
        if not click.get_current_context().params["debug"]:
            console.import_tensorflow_silently()
        return command(**options)

    return wrapped


def _without_tensorflow(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--quiet`, `--debug` and the log, for a command that needs no TensorFlow."""

    @click.option("--quiet", is_flag=True, help="No progress and no log, only the result.")
    @click.option("--debug", is_flag=True, help="Full log, and the trace of an error.")
    @functools.wraps(command)
    def wrapped(*, quiet: bool, debug: bool, **options: Any) -> Any:
        console.set_up_logging(quiet=quiet, debug=debug)
        return command(progress=console.ProgressDisplay(quiet=quiet), **options)

    return wrapped


def _folder(name: str, help: str) -> Callable[..., Any]:
    """An option that names a folder that is there."""
    return click.option(
        name, required=True, type=click.Path(exists=True, file_okay=False), help=help
    )


def _exported_model(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option that names an exported model; by itself the shipped one."""
    return click.option(
        "--model",
        default="saved_models/bone_age",
        show_default=True,
        type=click.Path(exists=True, file_okay=False),
        help="Exported model: its highest version, or one version.",
    )(command)


def _sex_or_table(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--sex` and `--labels`, one of which tells the sex of each radiograph."""
    sex = click.option(
        "--sex",
        type=click.Choice(["F", "M", "unknown"]),
        help="Sex of every file without a row in --labels.",
    )
    table = click.option(
        "--labels",
        type=click.Path(exists=True, dir_okay=False),
        help="Table with identifier and sex, joined by the file's stem.",
    )
    return sex(table(command))


def _label_columns(*names: str) -> Callable[..., Any]:
    """`--id-column` and the like, which name columns of `--labels` that are not recognised."""
    meanings = {"id": "identifier", "age": "bone age", "sex": "sex"}

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        if "age" in names:
            command = _age_unit("--age-unit", "bone age")(command)
        for name in reversed(names):
            text = f"Column of the {meanings[name]} in --labels."
            command = click.option(f"--{name}-column", help=text)(command)
        return command

    return with_options


def _serving_kit(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option `--serving-kit` of the commands that write a model."""
    return click.option(
        "--serving-kit",
        is_flag=True,
        help="Also what it takes to deploy it: warm-up requests, and OUTPUT/serving-kit for TensorFlow Serving, Docker, Kubernetes.",
    )(command)


def _age_unit(flag: str, meaning: str) -> Callable[..., Any]:
    """An option for the unit of a column of ages."""
    units = click.Choice(["months", "years"])
    return click.option(flag, type=units, help=f"Unit of the {meaning} in --labels. [months]")


def _label_options(options: dict[str, Any]) -> LabelOptions:
    """Take the options that say how to read `--labels` out of all options."""
    names = [name for name in LabelOptions.__dataclass_fields__ if name in options]
    return LabelOptions(**{name: options.pop(name) for name in names})


def _new_folder(name: str, help: str) -> Callable[..., Any]:
    """An option that names a folder to write into."""
    return click.option(name, required=True, type=click.Path(file_okay=False), help=help)


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=RESEARCH_ONLY,
)
@click.version_option(__version__, prog_name="bone-age-tf")
def commands() -> None:
    """Bone age from a radiograph of the left hand.

    The order of work: prepare, train, evaluate, export, predict. Without data: demo. Runs together:
    ensemble. With radiographs of another place: calibrate.
    """


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


def _parse_ages(context: click.Context, parameter: click.Parameter, text: str) -> tuple[int, int]:
    try:
        youngest, oldest = (int(part) for part in text.split(":"))
    except ValueError as error:
        raise click.BadParameter(
            f"expected YOUNGEST:OLDEST in months, as in 12:228. Received: {text!r}."
        ) from error
    return youngest, oldest


@commands.command()
@click.option(
    "--output", default="demo", show_default=True, type=click.Path(file_okay=False), help="Folder."
)
@click.option(
    "--count", default=800, show_default=True, type=click.IntRange(min=20), help="Hands to draw."
)
@click.option(
    "--epochs",
    default=15,
    show_default=True,
    type=click.IntRange(min=1),
    help="Times that each is trained on.",
)
@_without_tensorflow
def demo(*, progress: console.ProgressDisplay, **options: Any) -> int:
    """Five minutes without data: draw hands, prepare, train, evaluate, export and predict.

    Prints every command before it runs it. The hands are drawings: what the small network reaches
    on them says nothing about real radiographs.

    \b
    Examples:
      bone-age-tf demo
      bone-age-tf demo --output quick --count 120 --epochs 2
    """
    from bone_age_tf.cli.demo import demo as run
    from bone_age_tf.cli.demo import run_command

    context = click.get_current_context().params
    passed_on = [f"--{name}" for name in ("quiet", "debug") if context[name]]
    del progress
    report = run(**options, run=lambda arguments: run_command([*arguments, *passed_on]))
    output = options["output"]
    interval = "" if report.low is None else f" [{report.low:.1f}, {report.high:.1f}]"
    click.echo(
        f"\nMAE {report.mae_months:.1f} months{interval} on {report.test_radiographs} unseen drawn hands "
        f"(a constant: {report.constant_mae_months:.1f}), after {report.seconds / 60:.1f} minutes"
    )
    if report.mae_months > 0.5 * report.constant_mae_months:
        log.info(
            "It has hardly learnt to read: that takes more hands and epochs, as in the defaults."
        )
    log.info(
        f"Drawings, not children: this number says nothing about real radiographs.\n\n"
        f"{output}/phantoms      the drawn radiographs and their truth\n"
        f"{output}/run           history.csv; tensorboard --logdir {output}/run/tensorboard\n"
        f"{output}/evaluation    errors by sex and age band\n"
        f"{output}/saved_models  the model that TensorFlow Serving takes\n"
        f"{output}/predictions   months for each file\n\n"
        "With real radiographs, in Kaggle's layout or a folder with a table:\n"
        "  bone-age-tf prepare rsna-bone-age --output prepared\n"
        "  bone-age-tf train --data prepared --run runs/1"
    )
    return 0


@commands.command()
@_new_folder("--output", "Folder to make.")
@click.option("--count", required=True, type=int, help="Number of radiographs.")
@click.option("--size", default=768, show_default=True, help="Pixels of the longer side.")
@click.option("--seed", default=0, show_default=True, help="Decides everything.")
@click.option(
    "--sex",
    type=click.Choice(["F", "M", "both"]),
    default="both",
    show_default=True,
    help="Sex of the hands.",
)
@click.option(
    "--ages",
    default="12:228",
    show_default=True,
    callback=_parse_ages,
    help="Youngest and oldest bone age in months.",
)
@click.option(
    "--style",
    type=click.Choice(PHANTOM_STYLES),
    default="clean",
    show_default=True,
    help="clean: good radiographs. varied: markers, collimation, rotation, low contrast, ...",
)
@click.option(
    "--no-bones",
    "with_bones",
    flag_value=False,
    default=True,
    help="Soft tissue only: a control for what a network reads.",
)
@click.option("--jobs", type=int, help="Processes. [one for each core]")
@_without_tensorflow
def phantom(*, progress: console.ProgressDisplay, **options: Any) -> int:
    """Draw radiographs of hands whose bones mature by the published schedule, with their truth.

    The folder has Kaggle's layout, which prepare reads, and truth/: masks, bones, key points.

    \b
    Examples:
      bone-age-tf phantom --output phantoms --count 20
      bone-age-tf phantom --output infants --count 12 --ages 0:36 --style varied --size 512
    """
    from bone_age_tf.data_prep.phantom.generate import write_phantoms

    config = PhantomConfig(**options)
    with progress:
        report = write_phantoms(config, on_progress=progress)
    rows = [["sex", "radiographs"], *([sex, str(n)] for sex, n in report.counts.items())]
    click.echo(console.table(rows))
    state = "was complete already" if report.already_complete else "is ready"
    log.info(
        f"{config.output} {state}: drawings, not radiographs of children.\n"
        f"Next: bone-age-tf prepare {config.output} --output prepared"
    )
    return 0


@commands.command()
@click.argument("name", type=click.Choice(["rsna"]))
@_new_folder("--output", "Folder to download into.")
@_without_tensorflow
def download(*, progress: console.ProgressDisplay, name: str, output: str) -> int:
    """The RSNA challenge's 12,611 training radiographs from Kaggle, counted: 9 GB, non-commercial use.

    Needs the package kagglehub and a free Kaggle account; where it fails, it says how to get them by hand.

    \b
    Examples:
      bone-age-tf download rsna --output rsna-bone-age
    """
    del progress, name
    from bone_age_tf.data_prep.download import download_rsna

    folder = download_rsna(output)
    click.echo(str(folder))
    log.info(f"Next: bone-age-tf prepare {folder} --output prepared --preview 100")
    return 0


@commands.command()
@click.argument("source", type=click.Path(exists=True))
@click.option("--output", required=True, type=click.Path(), help="Folder of the data set to make.")
@click.option(
    "--labels", type=click.Path(exists=True, dir_okay=False), help="Label table: CSV or .xlsx."
)
@click.option("--image-dir", type=click.Path(exists=True), help="Folder or zip of the radiographs.")
@click.option("--id-column", help="Column of the identifier (the file's name without its ending).")
@click.option("--age-column", help="Column of the bone age.")
@click.option("--sex-column", help="Column of the sex.")
@click.option("--group-column", help="Column of the patient, who stays in one split.")
@_age_unit("--age-unit", "bone age")
@click.option(
    "--unlabelled", is_flag=True, help="Bone ages may be missing: data for prediction only."
)
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
@click.option(
    "--localizer", help="Folder of a hand localizer of your own. [the one that is shipped]"
)
@click.option(
    "--scale", default=0.25, show_default=True, help="Prepared frame: 2080 x 1600 times this."
)
@click.option("--seed", default=0, show_default=True, help="Decides splits and order.")
@click.option(
    "--shards", type=int, help="Shards of the largest split. [one for every 128 radiographs]"
)
@click.option(
    "--encoding",
    type=click.Choice(["png", "raw"]),
    default="png",
    show_default=True,
    help="png: small. raw: uint8 pixels, some ten times faster to read.",
)
@click.option("--jobs", type=int, help="Shards made at the same time. [one for each core]")
@click.option("--limit", type=int, help="Use (and read) only this many rows, drawn by the seed.")
@click.option("--skip-bad", is_flag=True, help="Go on without bad rows and files; exit code 4.")
@click.option("--dry-run", is_flag=True, help="Check everything, write nothing.")
@click.option(
    "--preview",
    default=0,
    type=click.IntRange(min=0),
    metavar="N",
    help="Write sheets of N radiographs, and of all refused ones, with what became of them.",
)
@click.option(
    "--runner",
    type=click.Choice(["local", "beam"]),
    default="local",
    show_default=True,
    help="Where shards are made: here, or by Apache Beam.",
)
@click.option(
    "--beam-option",
    "beam_options",
    multiple=True,
    help="Passed to Beam, as in --runner=FlinkRunner.",
)
@_with_common_options
def prepare(
    *,
    progress: console.ProgressDisplay,
    dry_run: bool,
    preview: int,
    runner: str,
    beam_options: tuple[str, ...],
    scale: float,
    preprocess: str,
    localizer: str | None,
    **options: Any,
) -> int:
    """Raw radiographs and their labels -> TFRecords of prepared radiographs.

    SOURCE is a folder or zip: the Kaggle or RSNA files of the Pediatric Bone Age Challenge, the
    layout of ml-recipe-bone-age, or any folder of PNG and JPEG files with a label table. A picture
    that is not one whole hand is left out with its reason (exit code 4).

    \b
    Examples:
      bone-age-tf prepare rsna-bone-age --output prepared --preview 100
      bone-age-tf prepare rsna-bone-age --output prepared --dry-run
      bone-age-tf prepare radiographs --labels ages.csv --id-column file --age-column months --sex-column sex --output prepared
    """
    from bone_age_tf.data_prep.prepare import prepare as run

    if dry_run and preview:
        raise UsageError(
            "--dry-run writes nothing, and --preview writes pictures: say one of them."
        )
    if localizer and preprocess != "registered":
        raise UsageError(f"--localizer goes with --preprocess registered, not with {preprocess}.")
    config = PrepareConfig(
        label_options=_label_options(options),
        preprocessing=PreprocessingConfig(
            method=preprocess, scale=scale, localizer=localizer or "shipped"
        ),
        **options,
    )
    with progress:
        report = run(
            config,
            dry_run=dry_run,
            preview=preview,
            runner=_beam_runner(beam_options) if runner == "beam" else None,
            on_progress=progress,
        )
    return _show_prepared(config, report, dry_run=dry_run)


def _beam_runner(beam_options: tuple[str, ...]) -> Any:
    from bone_age_tf.data_prep.beam_runner import beam_runner

    return beam_runner(beam_options)


def _show_prepared(config: PrepareConfig, report: Any, *, dry_run: bool) -> int:
    from bone_age_tf.data.labels import summary

    rows = [["split", "radiographs"], *([name, str(n)] for name, n in report.splits.items())]
    height, width = report.frame
    click.echo(console.table(rows))
    click.echo(
        f"layout {report.layout}, frame {height} x {width}, preprocessing {report.fingerprint[:12]}"
    )
    if report.problems:
        plural = "s" * (len(report.problems) > 1)
        log.info(f"{len(report.problems)} problem{plural}:\n{summary(report.problems)}")
    if dry_run:
        log.info("Dry run: nothing was written.")
        return 3 if report.problems and not config.skip_bad else 0
    state = "was complete already" if report.already_complete else "is ready"
    log.info(
        f"{config.output} {state}. Next: bone-age-tf train --data {config.output} --run runs/1"
    )
    return 4 if report.problems else 0


@commands.command()
@click.option(
    "--data",
    required=True,
    multiple=True,
    type=click.Path(exists=True, file_okay=False),
    help="Data set that prepare made; for the recipe hand_localizer, folders of radiographs.",
)
@_new_folder("--run", "Run folder to make, or to go on with.")
@click.option(
    "--recipe", default="default", show_default=True, help="Named experiment to start from."
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change a setting, as in train.epochs=3.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="First weights: of the trunk imagenet (downloaded), none, or a .weights.h5 file; of trunk and head "
    "a run folder.",
)
@click.option(
    "--fold",
    metavar="I/K",
    help="Deal train and validation into K folds, validate on the I-th: --set data.fold=I/K.",
)
@click.option("--fresh", is_flag=True, help="Start over where the run folder exists.")
@_with_common_options
def train(
    *,
    progress: console.ProgressDisplay,
    recipe: str,
    assignments: tuple[str, ...],
    fold: str | None,
    data: tuple[str, ...],
    weights: str,
    **options: Any,
) -> int:
    """Train a model on a prepared data set; the same command goes on after an interruption.

    The recipe hand_localizer trains the network that finds the hand, from folders of radiographs:
    of phantom, of radiographs with key_points.csv (id or file, point, x, y), and of any others.

    \b
    Examples:
      bone-age-tf train --data prepared --run runs/1
      bone-age-tf train --data prepared --run runs/2 --set train.epochs=40 --set model.trunk=xception
      bone-age-tf train --data prepared --run runs/carpal --set data.region=carpal
      bone-age-tf train --data prepared --run runs/fold2 --fold 2/5
      bone-age-tf train --data prepared --run runs/sex --recipe sex_classifier
      bone-age-tf train --recipe hand_localizer --data phantoms --data radiographs --run runs/localizer
    """
    from bone_age_tf.config import LocalizerConfig, override
    from bone_age_tf.recipes import load_recipe

    config = override(load_recipe(recipe), _with_fold(assignments, fold))
    if isinstance(config, LocalizerConfig):
        if weights != "imagenet":
            raise UsageError("--weights: the recipe hand_localizer starts from random weights.")
        return _train_localizer(config, data, progress, **options)
    if len(data) > 1:
        raise UsageError(f"--data: expected one data set. Received {len(data)}: {', '.join(data)}.")
    folder = next(iter(data))
    from bone_age_tf.training.train import train as run_training

    with progress:
        report = run_training(config, data=folder, weights=weights, on_progress=progress, **options)
    best = report.best_validation
    judged = (
        f"best validation {report.figure.say(best)}" if best is not None else "no validation split"
    )
    click.echo(f"{report.epochs} epochs, {judged}")
    run = options["run"]
    log.info(
        f"Next: bone-age-tf evaluate --model {run} --data {folder} --output evaluations/1\n"
        f"Look: tensorboard --logdir {run}/tensorboard"
    )
    return 0


def _with_fold(assignments: tuple[str, ...], fold: str | None) -> tuple[str, ...]:
    """The assignments and --fold, which must not contradict each other."""
    if fold is None:
        return assignments
    wanted = f"data.fold={fold}"
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        if name.strip() == "data.fold" and value.strip() != fold:
            raise UsageError(f"--fold {fold} contradicts --set {assignment}. Give one of them.")
    return (*assignments, wanted)


def _train_localizer(
    config: Any, data: tuple[str, ...], progress: console.ProgressDisplay, **options: Any
) -> int:
    from bone_age_tf.training.localizer.train import train_localizer

    with progress:
        report = train_localizer(config, data=data, on_progress=progress, **options)
    click.echo("  ".join(f"{name} {count}" for name, count in report.examples.items()))
    log.info(
        f"Next: bone-age-tf localize {data[-1]} --localizer {report.folder} --output localized"
    )
    return 0


@commands.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True))
@_new_folder("--output", "Folder for the results.")
@click.option(
    "--localizer", help="Folder of a hand localizer of your own. [the one that is shipped]"
)
@click.option(
    "--scale",
    default=0.25,
    show_default=True,
    help="Prepared frame that the matrices lead to: 2080 x 1600 times this.",
)
@_with_common_options
def localize(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    output: str,
    localizer: str | None,
    scale: float,
) -> int:
    """Key points, mask and frame of the hand in PNG and JPEG files, folders and zips of them.

    Writes key_points.csv, localization.jsonl, masks/ and pictures/.

    \b
    Examples:
      bone-age-tf localize hand.png --output localized
      bone-age-tf localize radiographs --output localized
    """
    from bone_age_tf.inference.localize import localize as run

    config = PreprocessingConfig(scale=scale, localizer=localizer or "shipped")
    with progress:
        report = run(paths, output=output, config=config, on_progress=progress)
    counts = {"ok": report.found, **report.refused}
    click.echo(
        console.table([["status", "radiographs"], *([k, str(n)] for k, n in counts.items())])
    )
    log.info(f"Look: {output}/pictures")
    return 4 if report.refused else 0


def _epoch(default: str | None) -> Callable[..., Any]:
    return click.option(
        "--epoch",
        type=click.Choice(EPOCHS),
        default=default,
        help=f"Weights of a run: of its best epoch in validation, or of its last. [{default or 'best'}]",
    )


@commands.command()
@click.option(
    "--model",
    type=click.Path(exists=True, file_okay=False),
    help="Run folder, ensemble folder or exported model.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False),
    help="Data set that prepare made.",
)
@click.option(
    "--split",
    default="test",
    show_default=True,
    help="Split to judge; fold: what a run of train --fold has not learnt from.",
)
@_epoch(None)
@click.option(
    "--predictions",
    type=click.Path(exists=True, dir_okay=False),
    help="Instead of --model: a table of predictions that anyone made.",
)
@click.option(
    "--labels",
    type=click.Path(exists=True, dir_okay=False),
    help="With --predictions: a table with identifier, sex and bone age.",
)
@click.option("--prediction-column", multiple=True, help="Column of predicted months. Repeatable.")
@_label_columns("id", "age", "sex")
@click.option(
    "--compare",
    nargs=2,
    type=click.Path(exists=True),
    help="Instead of --model: two evaluation folders, or with --data two models.",
)
@_new_folder("--output", "Folder for the results.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON, not as a table.")
@_with_common_options
def evaluate(
    *,
    progress: console.ProgressDisplay,
    model: str | None,
    predictions: str | None,
    compare: tuple[str, str] | None,
    **options: Any,
) -> int:
    """Judge a model on a labelled split: errors in months, each with a bootstrap interval.

    Of a sex classifier: accuracy and AUROC on the radiographs of known sex. Or judge the predictions in a
    table, or compare two models on the same radiographs.

    \b
    Examples:
      bone-age-tf evaluate --model runs/1 --data prepared --output evaluations/1
      bone-age-tf evaluate --model saved_models/bone_age --data prepared --split validation --output evaluations/2
      bone-age-tf evaluate --model runs/fold2 --data prepared --split fold --output evaluations/fold2
      bone-age-tf evaluate --predictions theirs.csv --labels truth.csv --output evaluations/theirs
      bone-age-tf evaluate --compare evaluations/1 evaluations/2 --output evaluations/comparison
    """
    if sum(map(bool, (model, predictions, compare))) != 1:
        raise UsageError(
            "evaluate needs one of --model with --data, --predictions with --labels, or --compare A B."
        )
    if compare:
        return _compare(*compare, progress, **options)
    if predictions:
        return _evaluate_tables(predictions, **options)
    return _evaluate_model(str(model), progress, **options)


def _evaluate_model(
    model: str,
    progress: console.ProgressDisplay,
    *,
    data: str | None,
    output: str,
    split: str,
    epoch: str | None,
    as_json: bool,
    **others: Any,
) -> int:
    from bone_age_tf.evaluation.evaluate import evaluate as run

    _refuse_others("--model", others)
    if data is None:
        raise UsageError("evaluate --model needs the data set to judge it on: say --data.")
    with progress:
        result = run(
            model=model, data=data, output=output, split=split, epoch=epoch, on_progress=progress
        )
    tells_sex = result["target"] == "sex"
    table = result_tables.sex_table if tells_sex else result_tables.evaluation_table
    click.echo(json.dumps(result, indent=2) if as_json else table(result))
    log.info(
        f"{RESEARCH_ONLY} Results: {output}\nTo look at: bone-age-tf report {output} --output {output}/report.html"
    )
    if tells_sex:
        log.info(
            "Next: bone-age-tf export --run RUN --output saved_models/bone_age --sex-classifier "
            f"{model}"
        )
    elif result["has_learnt_from_split"]:
        log.info("Next: judge it on a split that it has not learnt from.")
    elif any(Path(model, name).exists() for name in ("run.json", "ensemble.json")):
        log.info(
            f"Next: bone-age-tf export --run {model} --output saved_models/bone_age "
            f"--evaluation {output}/evaluation.json"
        )
    return 0


@commands.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True))
@_exported_model
@click.option(
    "--labels",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="Table with identifier, sex and bone age, joined by the file's stem.",
)
@_label_columns("id", "age", "sex")
@click.option("--limit", type=click.IntRange(min=1), help="Radiographs to take, drawn. [all]")
@click.option("--seed", default=0, show_default=True, help="Decides the draw and the noise.")
@click.option(
    "--max-shift",
    type=click.FloatRange(min=0),
    help="Exit code 5 where a change raises the MAE by more than so many months.",
)
@_new_folder("--output", "Folder for the results.")
@click.option("--json", "as_json", is_flag=True, help="Print stress.json instead of a table.")
@_with_common_options
def stress(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    max_shift: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """How far answers move when radiographs are rotated, mirrored, darker, blurred, coarser, noisier.

    \b
    Examples:
      bone-age-tf stress radiographs --labels radiographs/labels.csv --output stress/1 --limit 50
      bone-age-tf stress radiographs --labels radiographs/labels.csv --output stress/2 --max-shift 60
    """
    from bone_age_tf.evaluation.stress import stress as run

    columns = _label_options(options)
    with progress:
        result = run(paths, label_options=columns, on_progress=progress, **options)
    click.echo(json.dumps(result, indent=2) if as_json else result_tables.stress_table(result))
    log.info(f"{RESEARCH_ONLY} Results: {options['output']}")
    largest = result["largest_shift_months"]
    if max_shift is None or (largest is not None and largest <= max_shift):
        return 0
    log.error(f"The largest shift of the MAE is {largest} months, --max-shift is {max_shift:g}.")
    return ModelRefusedError.exit_code


@commands.command()
@click.argument("evaluation", type=click.Path(exists=True, file_okay=False))
@click.option(
    "--stress",
    type=click.Path(exists=True, file_okay=False),
    help="Folder of bone-age-tf stress, for its table.",
)
@click.option(
    "--output", required=True, type=click.Path(dir_okay=False), help="HTML file to write."
)
@_with_common_options
def report(*, progress: console.ProgressDisplay, evaluation: str, **options: Any) -> int:
    """An evaluation as one HTML file: figures, tables, the worst and best radiographs, fingerprints.

    EVALUATION is a folder that evaluate made. The file needs no network and prints on A4.

    \b
    Examples:
      bone-age-tf report evaluations/1 --output evaluations/1/report.html
    """
    del progress
    from bone_age_tf.report.evaluation_report import write_evaluation_report

    click.echo(str(write_evaluation_report(evaluation, **options)))
    log.info(RESEARCH_ONLY)
    return 0


@commands.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True))
@_exported_model
@_sex_or_table
@_label_columns("id", "sex")
@_new_folder("--output", "Folder for the results.")
@click.option(
    "--neighbours",
    type=click.Path(exists=True, file_okay=False),
    metavar="DATA",
    help="Prepared data set: its training radiographs that the model sees as most similar.",
)
@_with_common_options
def explain(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    **options: Any,
) -> int:
    """Where a model looks, and what each group of bones does to its answer.

    \b
    Examples:
      bone-age-tf explain hand.png --sex F --output explained/1
      bone-age-tf explain hand.png --sex F --model saved_models/small --neighbours prepared --output explained/2
    """
    if options["sex"] is None and options["labels"] is None:
        raise UsageError(
            "explain needs the sex: say --sex F, M or unknown, or give a table with --labels."
        )
    from bone_age_tf.inference.explain import explain as run

    columns = _label_options(options)
    with progress:
        counts = run(paths, label_options=columns, on_progress=progress, **options)
    click.echo(f"{counts['explained']} explained, {counts['refused']} refused")
    log.info(f"{RESEARCH_ONLY} Look: {options['output']}/pictures")
    return 4 if counts["refused"] else 0


def _parse_labels(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, int]:
    labels = {}
    for text in texts:
        name, _, version = text.partition("=")
        if not name or not version.isdecimal():
            raise click.BadParameter(f"expected LABEL=VERSION, as in stable=3. Received: {text!r}.")
        labels[name] = int(version)
    return labels


@commands.command()
@_exported_model
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--rest-port", default=8501, show_default=True, help="Port of REST; 0: a free one.")
@click.option("--grpc-port", default=8500, show_default=True, help="Port of gRPC.")
@click.option("--web-port", default=8000, show_default=True, help="Port of the page.")
@click.option(
    "--label",
    "version_labels",
    multiple=True,
    callback=_parse_labels,
    metavar="LABEL=VERSION",
    help="A version to serve besides the highest, and its label. Repeatable.",
)
@click.option(
    "--places", default=64, show_default=True, help="Radiographs at a time; more get 503."
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=DEFAULT_ENGINE,
    show_default=True,
    help="What runs the network; openvino (extra [openvino]) is faster on a processor.",
)
@click.option(
    "--poll-seconds", default=2.0, show_default=True, help="How often to look for new versions."
)
@click.option(
    "--allow-anyone", is_flag=True, help="Listen at an open --host without BONE_AGE_TOKEN."
)
@click.option(
    "--host-name",
    "host_names",
    multiple=True,
    help="Name by which clients call this machine. Repeatable.",
)
@_with_common_options
def serve(*, progress: console.ProgressDisplay, **options: Any) -> int:
    """TensorFlow Serving's REST and gRPC contract on this machine, and a page to drop a radiograph on.

    The folder is watched: a new version takes over when it is whole and has passed its golden request.
    Where BONE_AGE_TOKEN is set (16 characters or more), every question must show it. Needs the extra
    [serve]: pip install 'bone-age-tf[serve]'.

    \b
    Examples:
      bone-age-tf serve
      bone-age-tf serve --model saved_models/small --rest-port 0 --grpc-port 0 --web-port 0
    """
    del progress
    config = ServeConfig(token=os.environ.get("BONE_AGE_TOKEN") or None, **options)
    try:
        from bone_age_tf.serving.server import serve as run
    except ModuleNotFoundError as error:
        raise UsageError(
            f"serve needs {error.name}: pip install 'bone-age-tf[serve]', then again."
        ) from error

    return run(config, on_ready=lambda where: _say_addresses(config, where))


def _say_addresses(config: ServeConfig, where: Any) -> None:
    name = Path(config.model).resolve().name
    host = f"[{where.host}]" if ":" in where.host else where.host
    click.echo(f"REST  http://{host}:{where.rest_port}/v1/models/{name}:predict")
    click.echo(f"gRPC  {host}:{where.grpc_port}")
    key = f"#token={quote(config.token, safe='')}" if config.token else ""
    click.echo(f"page  http://{host}:{where.web_port}/{key}")
    log.info(f"{RESEARCH_ONLY} Nothing is stored. Ctrl-C stops.")


def _refuse_others(flag: str, others: dict[str, Any]) -> None:
    """Refuse options that say nothing in this way of judging."""
    given = [f"--{name.replace('_', '-')}" for name, value in others.items() if value]
    if given:
        raise UsageError(f"evaluate {flag} takes no {', '.join(given)}. Leave them out.")


def _evaluate_tables(
    predictions: str,
    *,
    labels: str | None,
    output: str,
    prediction_column: tuple[str, ...],
    as_json: bool,
    **others: Any,
) -> int:
    from bone_age_tf.evaluation.external import evaluate_tables

    _refuse_others("--predictions", {name: others[name] for name in ("data", "epoch")})
    if labels is None:
        raise UsageError("evaluate --predictions needs the labels to judge them by: say --labels.")
    judged = evaluate_tables(
        predictions=predictions,
        labels=labels,
        output=output,
        options=_label_options(others),
        prediction_columns=prediction_column,
    )
    if as_json:
        click.echo(json.dumps(judged.results, indent=2))
    else:
        for column, result in judged.results.items():
            click.echo(f"{column}\n{result_tables.evaluation_table(result)}\n")
        for comparison in judged.comparisons:
            click.echo(result_tables.comparison_text(comparison))
    log.info(f"{RESEARCH_ONLY} Results: {output}")
    return 0


def _compare(
    first: str,
    second: str,
    progress: console.ProgressDisplay,
    *,
    data: str | None,
    split: str,
    output: str,
    as_json: bool,
    **others: Any,
) -> int:
    from bone_age_tf.evaluation.compare import compare

    _refuse_others("--compare", others)
    with progress:
        result = compare(first, second, output=output, data=data, split=split, on_progress=progress)
    click.echo(json.dumps(result, indent=2) if as_json else result_tables.comparison_text(result))
    log.info(f"{RESEARCH_ONLY} Results: {output}")
    return 0


@commands.command()
@_folder("--run", "Run or ensemble folder.")
@_new_folder("--output", "Model folder, as in saved_models/bone_age.")
@click.option(
    "--version", type=click.IntRange(min=1), help="Version to write. [one above the highest]"
)
@click.option(
    "--evaluation",
    type=click.Path(exists=True, dir_okay=False),
    help="evaluation.json of this run, for the manifest.",
)
@click.option(
    "--variables",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="How the weights are stored; float16 takes half the size.",
)
@click.option(
    "--sex-classifier",
    type=click.Path(exists=True, file_okay=False),
    help="Run of the recipe sex_classifier, to warn where the given sex looks wrong.",
)
@click.option(
    "--held-out",
    type=click.Path(exists=True, file_okay=False),
    help="Ensemble of the folds of a run that was trained on everything, for views, correction and intervals.",
)
@_serving_kit
@_epoch(None)
@_with_common_options
def export(*, progress: console.ProgressDisplay, serving_kit: bool, **options: Any) -> int:
    """Write a run's best model, or an ensemble, as one SavedModel: bytes of a file and sex in, months out.

    \b
    Examples:
      bone-age-tf export --run runs/1 --output saved_models/bone_age
      bone-age-tf export --run runs/1 --output saved_models/bone_age --evaluation evaluations/1/evaluation.json
      bone-age-tf export --run runs/1 --output saved_models/small --variables float16
      bone-age-tf export --run runs/1 --output saved_models/bone_age --serving-kit
    """
    del progress
    from bone_age_tf.export.export import export_saved_model
    from bone_age_tf.serving.serving_kit import model_name, write_serving_kit

    if serving_kit:
        model_name(options["output"])  # before the work
    folder = export_saved_model(**options, warm_up=serving_kit)
    if serving_kit:
        log.info(f"To deploy it: {write_serving_kit(folder)}/README.md")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    click.echo(str(folder))
    log.info(
        f"{size / 1e6:.1f} MB. Whoever names {options['output']} without a version gets version {folder.name} now.\n"
        f"Next: bone-age-tf predict hand.png --model {options['output']} --sex F --output predictions/1"
    )
    return 0


@commands.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False))
@_folder("--data", "Data set that all runs were trained on.")
@_new_folder("--output", "Folder of the ensemble to make.")
@click.option(
    "--weights",
    type=click.Choice(["mean", "fitted"]),
    default="mean",
    show_default=True,
    help="Of the families: equal, or non-negative least squares on what was held out.",
)
@click.option(
    "--tta",
    type=click.Choice(["none", "mirror", "warps", "warps_mirror"]),
    default="none",
    show_default=True,
    help="Views of each radiograph that are averaged: 1, 2, 5 or 10.",
)
@click.option(
    "--correction",
    type=click.Choice(["linear", "none"]),
    default="linear",
    show_default=True,
    help="A line for each sex, as answers lean to the mean and too little on the sex; only where it helps.",
)
@_epoch("last")
@_with_common_options
def ensemble(*, progress: console.ProgressDisplay, **options: Any) -> int:
    """Folds, regions and seeds as one model, judged on the radiographs that its members did not learn.

    RUNS that differ only in fold, sex and seed are one family. The folder is evaluated and exported
    like a run. A single run is allowed: so it gets views and correction.

    \b
    Examples:
      bone-age-tf ensemble runs/1 --data prepared --output ensembles/1 --tta warps
      bone-age-tf ensemble runs/1 runs/2 --data prepared --output ensembles/2 --weights fitted
    """
    from bone_age_tf.ensembling.build import ensemble as run

    with progress:
        result = run(on_progress=progress, **options)
    click.echo(result_tables.ensemble_table(result))
    output = options["output"]
    log.info(
        f"{RESEARCH_ONLY} Next: bone-age-tf evaluate --model {output} --data {options['data']} --output "
        f"evaluations/ensemble\nbone-age-tf export --run {output} --output saved_models/bone_age"
    )
    return 0


@commands.command()
@_folder("--model", "Exported model, as in saved_models/bone_age.")
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False),
    help="Data set of your place that prepare made, with bone ages.",
)
@click.option("--split", help="Its split to fit on.")
@click.option(
    "--predictions",
    type=click.Path(exists=True, dir_okay=False),
    help="Instead: predictions.csv of predict with this model, with true bone ages.",
)
@_new_folder("--output", "Model folder, as in saved_models/bone_age.")
@click.option(
    "--version", type=click.IntRange(min=1), help="Version to write. [one above the highest]"
)
@click.option(
    "--coverage",
    type=float,
    default=CalibrationConfig.coverage,
    show_default=True,
    help="Share of new radiographs whose bone age the interval shall hold.",
)
@click.option(
    "--correction",
    type=click.Choice(["linear", "none"]),
    default="linear",
    show_default=True,
    help="A straight line for each sex, where that helps; or intervals alone.",
)
@_serving_kit
@_with_common_options
def calibrate(
    *,
    progress: console.ProgressDisplay,
    coverage: float,
    correction: str,
    serving_kit: bool,
    **options: Any,
) -> int:
    """Recalibrate an exported model for the radiographs of one place, from about 100, with intervals.

    Writes a new version of the model: a straight line for each sex, where it is better on radiographs
    that it was not fitted on, and around the answers intervals of the coverage asked for.

    \b
    Examples:
      bone-age-tf calibrate --model saved_models/bone_age --data local --split train --output saved_models/local
      bone-age-tf calibrate --model saved_models/bone_age --predictions predictions/local/predictions.csv --output saved_models/local
    """
    from bone_age_tf.export.calibrate import calibrate as run
    from bone_age_tf.serving.serving_kit import model_name, write_serving_kit

    if serving_kit:
        model_name(options["output"])  # before the work
    config = CalibrationConfig(coverage=coverage, correction=correction)
    with progress:
        result = run(config=config, on_progress=progress, warm_up=serving_kit, **options)
    click.echo(f"{result_tables.calibration_table(result)}\n{result['folder']}")
    if serving_kit:
        log.info(f"To deploy it: {write_serving_kit(Path(result['folder']))}/README.md")
    log.info(
        f"{RESEARCH_ONLY} Made from version {result['calibrated']['version']} of {options['model']}.\n"
        f"Next: bone-age-tf predict hand.png --model {options['output']} --sex F --output predictions/local"
    )
    return 0


@commands.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True))
@_exported_model
@_sex_or_table
@_label_columns("id", "age", "sex")
@click.option(
    "--chronological-age-months",
    type=click.FloatRange(0, 360),
    help="Age of every child whose row in --labels has none: difference, SD score, verdict.",
)
@click.option("--chronological-age-column", help="Column of that age in --labels.")
@_age_unit("--chronological-age-unit", "chronological age")
@click.option(
    "--report",
    "with_report",
    is_flag=True,
    help="An HTML page for each radiograph, with explanation; some seconds each.",
)
@_new_folder("--output", "Folder for the results.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
@_with_common_options
def predict(
    *,
    progress: console.ProgressDisplay,
    paths: tuple[str, ...],
    as_json: bool,
    with_report: bool,
    **options: Any,
) -> int:
    """Bone age of radiographs: PNG and JPEG files, folders of them, zips of them.

    \b
    Examples:
      bone-age-tf predict hand.png --sex F --output predictions/1
      bone-age-tf predict hand.png --sex M --chronological-age-months 126 --report --output predictions/3
      bone-age-tf predict radiographs --model saved_models/bone_age --labels children.csv --output predictions/2
    """
    if options["sex"] is None and options["labels"] is None:
        raise UsageError(
            "predict needs the sex: say --sex F, M or unknown, or give a table with --labels."
        )
    from bone_age_tf.inference.predict import predict as run

    columns = _label_options(options)
    with progress:
        report = run(paths, label_options=columns, on_progress=progress, **options)
        if with_report:
            _write_reports(paths, options, progress)
    if as_json:
        click.echo(
            Path(options["output"], "predictions.jsonl").read_text(encoding="utf-8"), nl=False
        )
    else:
        click.echo(result_tables.prediction_table(report))
    if report.warnings:
        log.info(f"{report.warnings} with a warning: sex_looks_wrong or infant (column `warning`).")
    log.info(
        f"{report.predicted} predicted, {report.refused} refused, by version {report.version} of {options['model']}. "
        f"All rows: {options['output']}/predictions.csv\n"
        f"{RESEARCH_ONLY}"
    )
    return 4 if report.refused else 0


def _write_reports(
    paths: tuple[str, ...], options: dict[str, Any], progress: console.ProgressDisplay
) -> None:
    from bone_age_tf.report.patient_report import write_patient_reports

    folder = write_patient_reports(
        paths, model=options["model"], predictions=options["output"], on_progress=progress
    )
    log.info(f"Look: {folder}")
