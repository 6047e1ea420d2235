"""`bone-age-tf serve`."""

import logging
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from bone_age_tf.cli import options
from bone_age_tf.config import DEFAULT_ENGINE, ENGINES, RESEARCH_ONLY
from bone_age_tf.errors import UsageError

log = logging.getLogger(__name__)


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


@click.command()
@options.exported_model_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--rest-port", default=8501, show_default=True, help="REST port; 0: any free port.")
@click.option("--grpc-port", default=8500, show_default=True, help="gRPC port.")
@click.option("--web-port", default=8000, show_default=True, help="Port of the web page.")
@click.option(
    "--label",
    "version_labels",
    multiple=True,
    callback=_parse_labels,
    metavar="LABEL=VERSION",
    help="Also serve this version, under this label. Repeatable.",
)
@click.option(
    "--max-in-flight",
    default=64,
    show_default=True,
    help="Radiographs queued or being processed at once; further requests get 503.",
)
@click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default=DEFAULT_ENGINE,
    show_default=True,
    help="Inference engine; openvino (extra [openvino]) is faster on a CPU, openvino-bfloat16 much faster, with nearly the same months.",
)
@click.option(
    "--poll-seconds",
    default=2.0,
    show_default=True,
    help="Seconds between two checks for new versions.",
)
@click.option(
    "--no-auth",
    is_flag=True,
    help="Listen on a --host other than this machine without BONE_AGE_TOKEN.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    help="Another Host header to accept: a name by which clients reach this server. Repeatable.",
)
@options.accept_dicom_option
@options.with_exported_model
def serve(*, progress: object, **settings: Any) -> int:
    """Serve a model by REST and gRPC, and on a web page.

    The API is TensorFlow Serving's; the page takes a radiograph by drag and drop. The model folder is watched: a new version goes live when it is complete and answers its golden
    request as at export. Where BONE_AGE_TOKEN is set (16 characters or more), every request must carry
    it as a bearer token. Needs the extra [serve]: pip install 'bone-age-tf[serve]'.

    \b
    Examples:
      bone-age-tf serve
      bone-age-tf serve --model saved_models/small --rest-port 0 --grpc-port 0 --web-port 0
    """
    del progress
    from bone_age_tf.config import ServeConfig
    from bone_age_tf.tensorflow_c.memory import keep_one_arena

    config = ServeConfig(token=os.environ.get("BONE_AGE_TOKEN") or None, **settings)
    keep_one_arena()
    try:
        from bone_age_tf.serving.server import serve as run
    except ModuleNotFoundError as error:
        raise UsageError(
            f"serve needs the package {error.name}. Install it with: pip install 'bone-age-tf[serve]'"
        ) from error

    return run(config, on_ready=lambda where: _show_addresses(config, where))


def _show_addresses(config: Any, where: Any) -> None:
    from bone_age_tf.serving.model_folder import model_name

    name = model_name(Path(config.model))
    host = f"[{where.host}]" if ":" in where.host else where.host
    click.echo(f"REST  http://{host}:{where.rest_port}/v1/models/{name}:predict")
    click.echo(f"gRPC  {host}:{where.grpc_port}")
    key = f"#token={quote(config.token, safe='')}" if config.token else ""
    click.echo(f"page  http://{host}:{where.web_port}/{key}")
    log.info(f"{RESEARCH_ONLY} Nothing is stored. Press Ctrl-C to stop.")
