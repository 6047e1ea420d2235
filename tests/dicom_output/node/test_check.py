import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pynetdicom", reason="the extra [dicom-output] is not installed")
from archive_stand_in import StandIn, closed, running
from deliveries import store_destination, web_destination
from dicom_results import dataset_of_phantom, phantom_file
from dicomweb_stand_in import StandIn as WebStandIn
from dicomweb_stand_in import running as web_running
from pynetdicom.sop_class import Verification

from bone_age_tf.cli import main as cli
from bone_age_tf.config import NodeConfig, NodeSection, Rule
from bone_age_tf.dicom_output.attributes import encoded
from bone_age_tf.dicom_output.node.check import checked, echoed

HANDS = Rule(destinations=("archive",), name="hands", modality=("DX",), objects=("report",))
TOML = """
[node]
ae_title = "NODE"
spool = "spool"
accept_any = true
[[destination]]
name = "archive"
host = "localhost"
port = 1
ae_title = "ARCHIVE"
[[rule]]
destinations = ["archive"]
"""
FEET = Rule(destinations=(), name="feet", body_part=("FOOT",))


def config_of(*destinations: Any, rules: tuple[Rule, ...] = (FEET, HANDS)) -> NodeConfig:
    return NodeConfig(
        node=NodeSection(ae_title="NODE", spool="spool", accept_any=True),
        destinations=destinations or (store_destination(104),),
        rules=rules,
    )


def write(folder: Path, **attributes: Any) -> Path:
    dataset = dataset_of_phantom(1)
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    path = folder / f"{len(list(folder.iterdir()))}.dcm"
    path.write_bytes(encoded(dataset))
    return path


def test_each_file_has_its_rule(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, BodyPartExamined="FOOT")
    write(tmp_path, Modality="CR")
    write(tmp_path, Modality="CT")
    write(tmp_path, BodyPartExamined="CHEST")
    (tmp_path / "5.dcm").write_bytes(phantom_file(1)[:100])
    found = list(checked(config_of(), [str(tmp_path)], "CR1"))
    assert [one[1:] for one in found] == [
        ("hands", "archive", "report", ""),
        ("feet", "", "", "ignored: no_destination"),
        ("", "", "", "ignored: no_rule"),
        ("", "", "", "ignored: not_a_radiograph"),
        ("hands", "archive", "report", "rejected: body_part"),
        ("", "", "", "not taken: not_a_radiograph"),
    ]


def test_an_archive_that_answers(tmp_path: Path) -> None:
    with running(StandIn(), sop_classes=(Verification,)) as archive:
        config = config_of(store_destination(archive.port))
        assert echoed(config, config.destinations[0]) == ""


def test_an_archive_that_does_not(tmp_path: Path) -> None:
    with closed() as port:
        config = config_of(store_destination(port))
        assert "Connection refused" in echoed(config, config.destinations[0])


def test_a_dicomweb_server_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    with web_running(WebStandIn()) as server:
        server.token = "secret-of-the-archive"
        config = config_of(web_destination(server.url, token_variable="ARCHIVE_TOKEN"))
        (one,) = config.destinations
        monkeypatch.delenv("ARCHIVE_TOKEN", raising=False)
        assert "the environment variable ARCHIVE_TOKEN is not set" in echoed(config, one)
        monkeypatch.setenv("ARCHIVE_TOKEN", "wrong")
        answer = echoed(config, one)
        assert answer != ""
        assert "wrong" not in answer
        monkeypatch.setenv("ARCHIVE_TOKEN", "secret-of-the-archive")
        assert echoed(config, one) == ""


def test_the_commands_beside_the_node_wait_for_no_tensorflow(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "node.toml").write_text(TOML)
    code = (
        "import sys; from bone_age_tf.cli.main import run\n"
        "from bone_age_tf.dicom_output.node.spool import Spool\n"
        f"Spool({str(tmp_path / 'spool')!r}).close()\n"
        f"words = ['dicom-node', '--config', {str(tmp_path / 'node.toml')!r}]\n"
        f"for more in (['check', {str(path)!r}], ['status'], ['rerun', '--failed'], ['id', '1.2']):\n"
        "    assert run([*words, *more]) == 0\n"
        "assert run([*words, 'echo']) == 4\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "rule 1" in done.stdout
    assert "no connection to ARCHIVE" in done.stdout
    assert "\nuid-" in done.stdout


def test_the_commands_say_what_is_missing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.run(["dicom-node"]) == 2
    assert "Expected --config node.toml" in capsys.readouterr().err
    assert cli.run(["dicom-node", "check", "--help"]) == 0
    (Path("node.toml")).write_text(TOML)
    assert cli.run(["dicom-node", "--config", "node.toml", "status"]) == 2
    assert "start the node with these settings first" in capsys.readouterr().err
    assert not Path("spool").exists()
