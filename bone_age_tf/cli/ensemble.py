"""`bone-age-tf ensemble`."""

import logging
from typing import Any

import click

from bone_age_tf.cli import console, options, result_tables
from bone_age_tf.config import RESEARCH_ONLY, TTA_VIEWS, WEIGHTINGS

log = logging.getLogger(__name__)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=options.EXISTING_FOLDER)
@options.input_folder_option("--data", "Data set that all runs were trained on.")
@options.output_folder_option("Folder of the ensemble to create.")
@options.overwrite_option
@click.option(
    "--weighting",
    type=click.Choice(WEIGHTINGS),
    default="mean",
    show_default=True,
    help="Of the families: mean: equal weights. fitted: non-negative least squares on held-out predictions.",
)
@click.option(
    "--tta",
    type=click.Choice(TTA_VIEWS),
    default="none",
    show_default=True,
    help="Test-time augmentation: mean over 1, 2, 5 or 10 views of each radiograph.",
)
@options.correction_option
@options.checkpoint_option("last")
@options.with_tensorflow
def ensemble(*, progress: console.ProgressDisplay, **settings: Any) -> int:
    """Combine folds, regions and seeds into one model.

    It is evaluated on radiographs that its members were not trained on. RUNS that differ only in fold,
    sex and seed form one family. The folder is evaluated and exported like a run. A single run is allowed, to add test-time augmentation and recalibration.

    \b
    Examples:
      bone-age-tf ensemble runs/1 --data prepared --output ensembles/1 --tta warps
      bone-age-tf ensemble runs/1 runs/2 --data prepared --output ensembles/2 --weighting fitted
    """
    from bone_age_tf.ensembling.build import ensemble as run
    from bone_age_tf.metrics.baseline import is_no_better

    with progress:
        result = run(on_progress=progress, **settings)
    click.echo(result_tables.ensemble_table(result))
    output = settings["output"]
    log.info(
        f"{RESEARCH_ONLY} Next: bone-age-tf evaluate --model {output} --data {settings['data']} --output "
        "evaluations/ensemble"
    )
    if is_no_better(result["result"]["constant"]):
        log.info("An export of this ensemble would be of no use: it is no better than a constant.")
    else:
        log.info(f"bone-age-tf export --run {output} --output saved_models/bone_age")
    return 0
