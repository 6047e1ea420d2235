"""The notebooks, shortened and on synthetic radiographs."""

import os
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORT = {"count": 40, "epochs": 1, "scale": 0.0625, "shown": 2, "limit": 2}
SECONDS = 600


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_they_import_and_define_nothing_and_hold_no_output(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert cells
    for cell in cells:
        assert not cell.outputs
        assert cell.execution_count is None
        lines = cell.source.splitlines()
        assert not [line for line in lines if line.lstrip().startswith(("def ", "class "))]
        assert "lambda" not in cell.source


def execute(paths: list[Path], folder: Path, **settings: Any) -> list[str]:
    """Run notebooks in a folder with other parameters; the texts of each.

    One kernel, emptied after each of them, imports TensorFlow once.
    """
    from nbclient import NotebookClient

    notebooks = [nbformat.read(path, as_version=4) for path in paths]
    emptied = nbformat.v4.new_code_cell("%reset -f")
    for notebook in notebooks:
        (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
        named = {
            line.partition(" = ")[0] for line in parameters.source.splitlines() if " = " in line
        }
        given = {name: value for name, value in settings.items() if name in named}
        parameters.source += "".join(f"\n{name} = {value!r}" for name, value in given.items())
    cells = [cell for notebook in notebooks for cell in (*notebook.cells, emptied.copy())]
    for number, cell in enumerate(cells):  # unique in the whole
        cell.id = f"cell-{number}"
    together = nbformat.v4.new_notebook(cells=cells)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(together, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    return [_said(notebook) for notebook in notebooks]


def _said(notebook: nbformat.NotebookNode) -> str:
    outputs = [out for c in notebook.cells if c.cell_type == "code" for out in c.outputs]
    return "\n".join(str(out.get("text") or out.get("data", {})) for out in outputs)


@pytest.mark.skipif(not NOTEBOOKS, reason="no notebooks in this copy")
@pytest.mark.large
def test_they_run_one_after_the_other_on_drawn_hands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))  # without a Kaggle token
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]))  # fmt: skip
    monkeypatch.setenv("MPLBACKEND", "agg")
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
    said = execute(NOTEBOOKS, tmp_path, **SHORT)
    assert "synthetic radiographs (phantoms)" in said[0]
    assert "MAE" in said[0]
    assert "'status': b'ok'" in said[0]
    for stage in ("draw 40/40", "prepare 40/40", r"train \d+/\d+ .*epoch 1/1"):
        assert re.search(rf"^{stage}\b", said[0], re.MULTILINE), stage
    assert "image/png" in said[1]
    assert "<svg" in said[2]
    assert "This is a synthetic radiograph" in said[3]
    assert "bone_age_low_months" in said[3]
    assert "iframe srcdoc=" in said[3]
    assert "Contribution of each group of bones" in said[3]
    assert (tmp_path / "demo/report.html").stat().st_size > 100_000
