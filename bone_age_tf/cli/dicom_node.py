"""`bone-age-tf dicom-node`."""

import dataclasses
import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bone_age_tf.cli import console, options
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.errors import UsageError

log = logging.getLogger(__name__)

_STATES = ("waiting", "done", "sent", "committed", "ignored", "failed")


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What `--config` names; read by the command that needs it, so that its `--help` asks for no file."""

    path: str | None

    def read(self) -> Any:
        """The `NodeConfig`."""
        from bone_age_tf.config.node_file import read_node_file
        from bone_age_tf.dicom_output.packages import require_packages

        if self.path is None:
            raise UsageError(
                "dicom-node needs its settings. Expected --config node.toml, in front of the name of what to do. Received "
                "none. deploy/dicom-node/node.toml is an example."
            )
        require_packages()
        return read_node_file(self.path)


@click.group(invoke_without_command=True)
@click.option(
    "--config",
    "config_file",
    type=options.EXISTING_FILE,
    help="Settings of the node, a TOML file; deploy/dicom-node/node.toml is an example.",
)
@options.without_tensorflow
@click.pass_context
def dicom_node(context: click.Context, *, config_file: str | None, progress: object) -> int:
    """Receive radiographs by DICOM and return the results.

    Takes radiographs by C-STORE, keeps them on the disk, and sends a structured report and a picture of each to the
    destinations of the first rule that matches: by C-STORE or DICOMweb, again and again until they are there. Stops at
    Ctrl-C or SIGTERM after the radiograph in work; after a kill or a power cut it resumes. Needs the extra
    [dicom-output]: pip install 'bone-age-tf[dicom-output]'.

    \b
    Examples:
      bone-age-tf dicom-node --config node.toml
      bone-age-tf dicom-node --config node.toml check radiographs
      bone-age-tf dicom-node --config node.toml status
      bone-age-tf dicom-node --config node.toml rerun --failed
    """
    del progress
    is_debug = context.params["debug"]
    if not is_debug:
        _silence_other_packages()
    context.obj = _Settings(config_file)
    if context.invoked_subcommand is None:
        return _run(context.obj.read(), is_debug=is_debug)
    return 0


@dicom_node.command()
@click.argument("paths", nargs=-1, type=click.Path(exists=True))
@click.option("--calling-ae", help="AE title of the sender. [the first of calling_ae_titles]")
@click.pass_obj
def check(settings: _Settings, paths: Sequence[str], calling_ae: str | None) -> int:
    """Show which rule each DICOM file of PATHS matches; nothing is sent.

    Without PATHS only the settings are checked.
    """
    config = settings.read()
    from bone_age_tf.dicom_output.node.check import Checked, checked

    titles = config.node.calling_ae_titles
    sender: str = calling_ae or (titles[0] if titles else "ANY-SCU")
    rows = list(checked(config, paths, sender))
    log.info(
        f"Destinations: {len(config.destinations)}, rules: {len(config.rules)}, sender: {sender}"
    )
    if rows:
        click.echo(console.table([Checked._fields, *rows]))
    return 0


@dicom_node.command()
@click.pass_obj
def echo(settings: _Settings) -> int:
    """Ask each destination whether it answers.

    By C-ECHO, or by a search for one study where it is DICOMweb. Exits with 4 where one does not.
    """
    config = settings.read()
    from bone_age_tf.dicom_output.node.check import echoed

    rows = [[one.name, echoed(config, one) or "ok"] for one in config.destinations]
    click.echo(console.table([["destination", "answer"], *rows]))
    return 0 if all(answer == "ok" for _, answer in rows) else 4


@dicom_node.command()
@options.json_option
@click.pass_obj
def status(settings: _Settings, *, as_json: bool) -> int:
    """Print what waits, what is done and what failed."""
    config = settings.read()
    from bone_age_tf.dicom_output.node.status import status_of

    with _shared_spool(config) as spool:
        found = status_of(spool)
    click.echo(json.dumps(found, indent=2) if as_json else _status_table(found))
    return 0


@dicom_node.command()
@click.option("--failed", is_flag=True, help="All radiographs and deliveries that failed.")
@click.option("--waiting", is_flag=True, help="Deliveries that wait for their next attempt.")
@click.pass_obj
def rerun(settings: _Settings, *, failed: bool, waiting: bool) -> int:
    """Put back into the queue what failed, or what waits for its next attempt.

    A node that runs takes it at once, another one when it starts.
    """
    if not failed and not waiting:
        raise UsageError("rerun: expected --failed, --waiting or both. Received neither.")
    config = settings.read()
    from bone_age_tf.dicom_output.node.audit import open_audit

    with _shared_spool(config) as spool:
        count = spool.hurry() if waiting else 0
        count += spool.rerun_failed() if failed else 0
        open_audit(config)("rerun", count=count)
    click.echo(f"{count} put back")
    return 0


@dicom_node.command("id")
@click.argument("uids", nargs=-1, required=True)
@click.pass_obj
def audit_id(settings: _Settings, uids: Sequence[str]) -> int:
    """Print what the audit calls these UIDS."""
    config = settings.read()
    from bone_age_tf.dicom_output.node.audit import salt_of

    with _shared_spool(config):
        salt = salt_of(config)
    for uid in uids:
        click.echo(salt.uid(uid))
    return 0


def _run(config: Any, *, is_debug: bool) -> int:
    if not is_debug:
        console.load_tensorflow_silently()
    from bone_age_tf.dicom_output.node.node import Node

    return Node(config).run(on_ready=_show_addresses)


def _silence_other_packages() -> None:
    """Their messages quote values of headers, and what matters is said in our words."""
    warnings.simplefilter("ignore")
    for name in ("pydicom", "pynetdicom", "highdicom", "dicomweb_client", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def _show_addresses(addresses: Any) -> None:
    click.echo(f"DICOM    {addresses.ae_title} {addresses.host} {addresses.port}")
    if addresses.metrics_port is not None:
        click.echo(f"metrics  http://127.0.0.1:{addresses.metrics_port}/metrics")
    log.info(f"{RESEARCH_ONLY} Press Ctrl-C to stop.")


def _shared_spool(config: Any) -> Any:
    from bone_age_tf.dicom_output.node.files import DATABASE
    from bone_age_tf.dicom_output.node.spool import Spool

    if not (Path(config.node.spool) / DATABASE).is_file():
        raise UsageError(
            f"{config.node.spool}: expected the spool of a node. There is none: start the node with these settings first."
        )
    return Spool(config.node.spool, shared=True)


def _status_table(found: dict[str, Any]) -> str:
    counts = {"radiographs": found["radiographs"]}
    counts |= {f"to {name}": states for name, states in found["deliveries"].items()}
    ages = found["oldest_waiting_seconds"]
    rows = [
        [what, *(str(states.get(state, "")) for state in _STATES), _age(ages.get(what))]
        for what, states in counts.items()
    ]
    faults = [
        f"{one['what']}, {one['state']}: {one['count']} {one['reason']}" for one in found["faults"]
    ]
    return "\n".join([console.table([["", *_STATES, "oldest waits"], *rows]), *faults])


def _age(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
