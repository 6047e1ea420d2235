"""The house's rule: a module imports only from its own row or the rows below."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

ROWS = {
    "errors": 0, "record": 0, "config": 0,
    "manifest": 1, "locks": 1, "image_files": 1, "labels": 1, "tables": 1, "radiograph": 1, "preprocessing": 1, "recipes": 1, "folds": 1,
    "overlay": 1,
    "record_files": 1, "learnt": 1, "input_pipeline": 2, "selection": 2, "lines": 2, "held_out": 2, "ensembles": 2, "augmentation": 2, "models": 2, "metrics": 2, "judged": 2, "intervals": 2, "reference_standards": 2, "runs": 2, "exported_model": 2, "neighbours": 3,
    "ensemble": 3, "calibration": 3, "model_card": 3, "stress": 3, "explanation": 3, "comparison": 3, "table_evaluation": 3, "signatures": 3, "warm_up": 3,
    "data_prep": 3, "training": 3, "evaluation": 3, "export": 3, "prediction": 3, "localize": 3,
    "demo": 4, "report": 4, "serving": 4,
    "cli": 5, "result_tables": 5, "console": 5, "__main__": 5,
}  # fmt: skip
HIGHEST_FOR = {"data_prep": 1}
"""Rows that a package may import from where that is less than its own row."""

MODULES = sorted([*ROOT.glob("bone_age_tf/**/*.py"), *ROOT.glob("data_prep/**/*.py")])


def _home(parts: tuple[str, ...]) -> str:
    return parts[0] if parts[0] == "data_prep" else parts[1]


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "bone_age_tf":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bone_age_tf."):
            found.add(node.module.split(".")[1])
    return found - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_downwards(path: Path) -> None:
    home = _home(path.relative_to(ROOT).with_suffix("").parts)
    if home == "__init__":
        return
    limit = HIGHEST_FOR.get(home, ROWS[home])
    for name in _imports(path) - {home}:
        assert ROWS[name] <= limit, (
            f"{path.name} (row {ROWS[home]}) imports {name} (row {ROWS[name]})"
        )


def test_every_module_has_a_row() -> None:
    homes = {_home(path.relative_to(ROOT).with_suffix("").parts) for path in MODULES}
    assert homes - {"__init__"} == set(ROWS)


def test_no_print_in_the_library() -> None:
    for path in MODULES:
        calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
        names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
        assert "print" not in names, path
