import json
from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.evaluation.external import evaluate_tables
from bone_age_tf.evaluation.origin import Origin
from bone_age_tf.metrics.predictions import COLUMNS

MODEL = {
    "name": "bone_age",
    "version": "3",
    "manifest_sha256": "a" * 64,
    "fingerprint": "b" * 64,
    "has_training_files": True,
    "training_mean_months": 100.0,
}


def predicted(folder: Path, *rows: dict[str, str], name: str = "predictions.csv") -> str:
    """What `predict` leaves in a folder."""
    folder.mkdir(exist_ok=True)
    lines = [",".join(row.get(column, "") for column in COLUMNS) for row in rows]
    (folder / name).write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
    (folder / "provenance.json").write_text(json.dumps({"command": "predict", "model": MODEL}))
    return str(folder / name)


def row(identifier: str, months: float, warning: str = "") -> dict[str, str]:
    return {
        "id": identifier,
        "file": f"{identifier}.png",
        "sex": "F",
        "bone_age_months": str(months),
        "bone_age_low_months": str(months - 10),
        "bone_age_high_months": str(months + 10),
        "status": "ok",
        "warning": warning,
    }


LOST = {"id": "c", "file": "c.png", "sex": "F", "status": "rejected", "reason": "blank: all grey"}


@pytest.fixture
def labels(tmp_path: Path) -> str:
    path = tmp_path / "truth.csv"
    path.write_text(
        "id,sex,boneage\n" + "".join(f"{i},F,{90 + 5 * n}\n" for n, i in enumerate("abcd"))
    )
    return str(path)


def evaluated(predictions: str, labels: str, output: Path) -> dict[str, Any]:
    found = evaluate_tables(predictions=predictions, labels=labels, output=str(output)).results
    return found["bone_age_months"]


def test_predictions_of_predict_carry_their_model(labels: str, tmp_path: Path) -> None:
    path = predicted(tmp_path / "p", row("a", 93), row("b", 120, "infant trained_on"), LOST)
    result = evaluated(path, labels, tmp_path / "out")
    assert (result["model"]["name"], result["model"]["version"]) == ("bone_age", "3")
    assert result["fingerprint"] == MODEL["fingerprint"]
    assert result["constant"] == result["constant"] | {"months": 100.0, "mean_of": "training"}
    assert result["trained_on_split"] is True
    assert "trained on 1 of these 2 radiographs" in result["leakage"]
    assert result["left_out"]["reasons"] == {"blank": 1, "no_row": 1}
    assert result["prediction_intervals"]["overall"]["coverage"]["value"] == 0.5
    assert "a.png" in (tmp_path / "out/predictions.csv").read_text()


def test_no_leakage_is_known_only_of_a_model_with_training_files(
    labels: str, tmp_path: Path
) -> None:
    path = predicted(tmp_path / "p", row("a", 93))
    result = evaluated(path, labels, tmp_path / "one")
    assert (result["trained_on_split"], result["leakage"]) == (False, None)
    (tmp_path / "p/provenance.json").unlink()
    result = evaluated(path, labels, tmp_path / "two")
    assert (result["trained_on_split"], result["leakage"]) == (None, None)


def test_another_table_beside_them_has_no_origin(tmp_path: Path) -> None:
    path = Path(predicted(tmp_path / "p", row("a", 93), name="theirs.csv"))
    assert Origin.of(path) == Origin()
    assert Origin.of(path.with_name("predictions.csv")).model["version"] == "3"
