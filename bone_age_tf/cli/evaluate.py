"""`bone-age-tf evaluate`: a model on a prepared data set, or predictions in a table."""

import json
import logging
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from bone_age_tf.cli import console, options, result_tables
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.errors import UsageError

log = logging.getLogger(__name__)

MODEL_FORM = ("--model", "--data", "--split", "--checkpoint")
TABLE_FORM = (
    "--predictions",
    "--labels",
    "--prediction-column",
    "--id-column",
    "--age-column",
    "--age-unit",
    "--sex-column",
    "--sex-map",
)
"""Options of either form; the first two are needed. All others belong to both."""


@click.command()
@click.option(
    "--model",
    type=options.MODEL_FOLDER,
    help="Run folder, ensemble folder or exported model; shipped: the shipped model.",
)
@click.option(
    "--data", type=options.EXISTING_FOLDER, help="With --model: data set written by prepare."
)
@click.option(
    "--split",
    default="test",
    show_default=True,
    help="With --model: split to evaluate on; fold: the validation fold of a run with data.fold.",
)
@options.checkpoint_option(None)
@click.option(
    "--predictions",
    type=options.EXISTING_FILE,
    help="Instead of --model: a table of predictions, made by any program or reader.",
)
@click.option(
    "--labels",
    type=options.EXISTING_FILE,
    help="With --predictions: a table with identifier, sex and bone age.",
)
@click.option(
    "--prediction-column",
    "prediction_columns",
    multiple=True,
    help="Column of predicted months in --predictions. Repeatable. [every column of numbers]",
)
@options.label_column_options("id", "age", "sex")
@options.results_folder_options
@options.json_option
@options.with_tensorflow
def evaluate(
    *,
    progress: console.ProgressDisplay,
    model: str | None,
    predictions: str | None,
    **settings: Any,
) -> int:
    """Evaluate a model, or predictions in a table, against labels.

    A model (--model) is run on a split of a prepared data set (--data). Predictions that exist already
    (--predictions) are joined with a table of labels (--labels). Errors are in months, with 95 %
    confidence intervals; a sex classifier gets accuracy and AUROC. To compare two models or two
    evaluations: bone-age-tf compare.

    \b
    Examples:
      bone-age-tf evaluate --model runs/1 --data prepared --output evaluations/1
      bone-age-tf evaluate --model saved_models/bone_age --data prepared --split validation --output evaluations/2
      bone-age-tf evaluate --model runs/fold2 --data prepared --split fold --output evaluations/fold2
      bone-age-tf evaluate --predictions theirs.csv --labels truth.csv --output evaluations/theirs
    """
    _require_one_form(click.get_current_context())
    if model is not None:
        return _evaluate_model(model, progress, **settings)
    return _evaluate_table(str(predictions), **settings)


def _require_one_form(context: click.Context) -> None:
    """Raise `UsageError` where the flags given are not those of one form."""
    given = {
        parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(str(parameter.name)) is ParameterSource.COMMANDLINE
    }
    named = [form for form in (MODEL_FORM, TABLE_FORM) if form[0] in given]
    if len(named) != 1:
        raise UsageError(
            "evaluate: expected --model with --data (a model on a prepared data set), or --predictions "
            "with --labels (predictions in a table). Received "
            f"{'both' if named else 'neither'} of --model and --predictions."
        )
    (form,) = named
    wrong = sorted(given & set(MODEL_FORM + TABLE_FORM) - set(form))
    if wrong:
        raise UsageError(
            f"evaluate {form[0]} takes {', '.join(form[1:])}. Received {', '.join(wrong)}, which belongs "
            f"to the other form, evaluate {(TABLE_FORM if form is MODEL_FORM else MODEL_FORM)[0]}."
        )
    if form[1] not in given:
        what = (
            "data set to evaluate on" if form is MODEL_FORM else "table of labels to compare with"
        )
        raise UsageError(f"evaluate {form[0]} needs {form[1]}, the {what}. Received none.")


def _evaluate_model(
    model: str,
    progress: console.ProgressDisplay,
    *,
    data: str,
    output: str,
    overwrite: bool,
    split: str,
    checkpoint: str | None,
    as_json: bool,
    **unused: Any,
) -> int:
    from bone_age_tf.evaluation.evaluate import evaluate as run

    log.info(f"Evaluating the model {model} on the split {split!r} of the data set {data}.")
    with progress:
        result = run(
            model=model,
            data=data,
            output=output,
            split=split,
            checkpoint=checkpoint,
            overwrite=overwrite,
            on_progress=progress,
        )
    is_classifier = result["target"] == "sex"
    table = result_tables.sex_table if is_classifier else result_tables.evaluation_table
    click.echo(json.dumps(result, indent=2) if as_json else table(result))
    log.info(
        f"{RESEARCH_ONLY} Results: {output}\n"
        f"HTML report: bone-age-tf report {output} --output {output}/report.html"
    )
    _say_next(model, output, result)
    return 0


def _say_next(model: str, output: str, result: dict[str, Any]) -> None:
    """The next command: an export only of a model whose errors are known and better than a constant's."""
    from bone_age_tf.metrics.baseline import is_no_better

    if result["target"] == "sex":
        log.info(
            "Next: bone-age-tf export --run RUN --output saved_models/bone_age --sex-classifier "
            f"{model}"
        )
    elif result["trained_on_split"]:
        log.info("Next: evaluate it on a split that it was not trained on.")
    elif is_no_better(result["constant"]):
        log.info("Next: train longer, or on more data. An export of this model would be of no use.")
    elif any(Path(model, name).exists() for name in ("run.json", "ensemble.json")):
        log.info(
            f"Next: bone-age-tf export --run {model} --output saved_models/bone_age "
            f"--evaluation {output}/evaluation.json"
        )


def _evaluate_table(
    predictions: str,
    *,
    labels: str,
    output: str,
    overwrite: bool,
    prediction_columns: tuple[str, ...],
    as_json: bool,
    **columns: Any,
) -> int:
    from bone_age_tf.evaluation.external import evaluate_tables

    log.info(f"Evaluating the predictions in {predictions} against the labels in {labels}.")
    evaluation = evaluate_tables(
        predictions=predictions,
        labels=labels,
        output=output,
        options=options.pop_label_options(columns),
        prediction_columns=prediction_columns,
        overwrite=overwrite,
    )
    if as_json:
        click.echo(json.dumps(evaluation.results, indent=2))
    else:
        for column, result in evaluation.results.items():
            click.echo(f"{column}\n{result_tables.evaluation_table(result)}\n")
        for comparison in evaluation.comparisons:
            click.echo(result_tables.comparison_text(comparison))
    log.info(f"{RESEARCH_ONLY} Results: {output}")
    return 0
