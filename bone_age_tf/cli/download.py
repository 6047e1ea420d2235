"""`bone-age-tf download`."""

import logging

import click

from bone_age_tf.cli import options

log = logging.getLogger(__name__)


@click.command()
@click.argument("name", type=click.Choice(["rsna"]))
@options.output_folder_option("Folder to download into.")
@options.without_tensorflow
def download(*, progress: object, name: str, output: str) -> int:
    """Download the RSNA challenge's radiographs from Kaggle (9 GB).

    The 12,611 training radiographs, for non-commercial use; their number is checked. Needs the package
    kagglehub and a free Kaggle account. Where the download fails, it explains how to get them by hand.

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
