"""Canaries in every identifying attribute of DICOM files and in their names: nothing that is written holds one."""

import base64
import csv
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import draw_phantom, encode

pytest.importorskip("pydicom", reason="the extra [dicom] is not installed")
from canaries import canaries_in, canary_dicom

from bone_age_tf.cli import main as cli


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Ten canaries, some damaged or of another part of the body, a PNG, and a table."""
    folder = tmp_path / "in"
    files = {f"CANARYDIR{n // 2}/CANARYIM{n}": canary_dicom(n) for n in range(7)}
    files |= {
        "CANARYDIR/CANARYCHEST.dcm": canary_dicom(7, BodyPartExamined="CHEST"),
        "CANARYDIR/CANARYDAMAGED.dcm": canary_dicom(8)[:-30_000],
        "CANARYDIR/CANARYEMPTY.dcm": b"",
        "CANARYDIR/CANARYODD": canary_dicom(9, StudyDate="CANARYDA", PatientAge="CANA"),
        "hand.png": encode(draw_phantom(100, 30)),
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    rows = [f"CANARYACC{n},{60 + 5 * n},CANARY remark" for n in (*range(10), 99)]
    (folder / "ages.csv").write_text("\n".join(["Accession Number,boneage,remark", *rows]))
    return folder


def _run(*words: object) -> int:
    return cli.run([str(word) for word in words])


def _written(folder: Path, *skipped: str) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all files below a folder, but for those of these names."""
    for path in sorted(folder.rglob("*")):
        if path.name not in skipped:
            name = str(path.relative_to(folder))
            yield f"name of {name}", name.encode()
            if path.is_file():
                yield name, path.read_bytes()


def test_canaries_are_found_where_they_are(tmp_path: Path) -> None:
    contents = canary_dicom(0)
    assert canaries_in([("file", contents)])
    in_base64 = [b'{"b64": "' + base64.b64encode(contents[k:]) + b'"}' for k in range(3)]
    assert len(canaries_in([("answer", one) for one in in_base64])) >= 3
    assert canaries_in([("name", b"runs/Canary_1")])
    assert canaries_in([("text", b"born 1977-11-13")])
    assert not canaries_in([("picture", encode(draw_phantom(100, 30)))])


def test_what_prepare_and_evaluate_write_holds_no_canary(
    archive: Path,
    run: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    words = ["prepare", archive, "--output", output / "data", "--scale", 0.05]
    split = ["--split", "train=0.6,test=0.4"]
    with caplog.at_level(logging.DEBUG):
        assert _run(*words, "--dry-run") == 3
        assert _run(*words) == 3
        assert _run(*words, *split, "--skip-bad", "--preview", 3) == 4
        evaluated = output / "evaluation"
        assert (
            _run("evaluate", "--model", run, "--data", output / "data", "--output", evaluated) == 0
        )
    printed = capfd.readouterr()
    with (output / "data.ids.csv").open() as stream:
        assert len([*csv.DictReader(stream)]) == 11
    assert "burned_in" in printed.out + printed.err + caplog.text
    written = [
        *_written(output, "data.salt", "data.ids.csv"),
        *(("printed", text.encode()) for text in (printed.out, printed.err, caplog.text)),
    ]
    assert {"data/manifest.json", "data/problems.csv", "evaluation/predictions.csv"} <= {
        name for name, _ in written
    }
    assert canaries_in(written) == []


@pytest.mark.release
def test_runs_and_exported_models_hold_no_canary(
    archive: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    data, run, model = output / "data", output / "run", output / "model"
    prepared = ["prepare", archive, "--output", data, "--scale", 0.05, "--skip-bad"]
    few = ["--set", "train.epochs=1", "--set", "train.batch_size=4"]
    trained = ["train", "--data", data, "--run", run, "--recipe", "tiny", *few]
    with caplog.at_level(logging.DEBUG):
        assert _run(*prepared, "--split", "train=0.6,validation=0.4", "--variants", 1) == 4
        assert _run(*trained, "--initial-weights", "none") == 0
        assert _run("export", "--run", run, "--output", model) == 0
    printed = capfd.readouterr()
    written = [
        *_written(output, "data.salt", "data.ids.csv"),
        *(("printed", text.encode()) for text in (printed.out, printed.err, caplog.text)),
    ]
    names = {name for name, _ in written}
    assert {"run/run.json", "run/best.weights.h5", "model/1/saved_model.pb"} <= names
    assert any("tfevents" in name for name in names)
    assert canaries_in(written) == []


def test_of_predictions_the_table_alone_has_the_path(
    archive: Path,
    exported: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    files = [archive / "CANARYDIR0", archive / "CANARYDIR"]
    with caplog.at_level(logging.DEBUG):
        assert (
            _run("predict", *files, "--model", exported, "--report", "--output", output / "p") == 4
        )
        assert _run("localize", *files, "--output", output / "l") == 4
        assert _run("explain", files[0], "--model", exported, "--output", output / "e") == 0
    printed = capfd.readouterr()
    assert canaries_in(_written(output / "p")) != []
    written = [
        *_written(output, "predictions.csv", "predictions.jsonl"),  # the same table
        *(("printed", text.encode()) for text in (printed.out, printed.err, caplog.text)),
    ]
    assert canaries_in(written) == []


def test_answers_log_and_metrics_of_the_server_hold_no_canary(
    server: Any,
    client: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    contents = [canary_dicom(0), canary_dicom(1)[:-30_000], canary_dicom(2)[:900]]
    contents.append(canary_dicom(3, BodyPartExamined="CHEST"))
    answers = []
    with caplog.at_level(logging.DEBUG):
        for content in contents:
            for name in ("read", "report", "header"):
                address = f"{server.page}/{name}"
                answers.append(client.post(address, params={"sex": "F"}, content=content))
            instance = {"image_bytes": {"b64": base64.b64encode(content).decode()}, "sex": "F"}
            body = {"instances": [instance]}
            answers.append(client.post(f"{server.model}:predict", json=body))
        answers.append(client.get(f"{server.rest}/metrics"))
    assert answers[0].status_code == 200
    assert answers[-1].status_code == 200
    printed = capfd.readouterr()
    texts = [answer.content + str(answer.headers).encode() for answer in answers]
    texts += [text.encode() for text in (printed.out, printed.err, caplog.text)]
    assert canaries_in((f"text {n}", text) for n, text in enumerate(texts)) == []
