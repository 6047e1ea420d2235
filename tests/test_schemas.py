"""Every JSON result matches its published schema, and the schema rejects deviations."""

import json
from pathlib import Path
from typing import Any

import cv2
import jsonschema
import numpy as np
import pytest
from conftest import ROOT, draw_phantom

from bone_age_tf.evaluation.compare import COMPARISON_SCHEMA, compare
from bone_age_tf.evaluation.evaluate import EVALUATION_SCHEMA, evaluate
from bone_age_tf.evaluation.external import evaluate_tables
from bone_age_tf.evaluation.stress.stress import STRESS_SCHEMA, stress
from bone_age_tf.growth import GROWTH_COLUMNS
from bone_age_tf.inference.predict import predict
from bone_age_tf.inference.prediction import Prediction
from bone_age_tf.report.growth_tables import GROWTH_SCHEMA

SCHEMAS = ROOT / "bone_age_tf" / "schemas"


def require(name: str, values: Any) -> None:
    """Raises where the values, through JSON and back, are not of the schema."""
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(values, allow_nan=False)), schema)


@pytest.fixture
def hands(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "hands"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"h{number}.png"), draw_phantom(60 + 40 * number, number))
    cv2.imwrite(str(folder / "grey.png"), np.full((300, 200), 90, np.uint8))
    rows = [f"h{n},{'FM'[n % 2]},{60 + 40 * n},{70 + 30 * n}" for n in range(3)]
    header = "id,sex,boneage,chronological_age_months"
    (tmp_path / "labels.csv").write_text("\n".join([header, *rows, "grey,F,100,20"]) + "\n")
    return {"folder": str(folder), "labels": str(tmp_path / "labels.csv")}


@pytest.mark.parametrize("kind", ["run", "exported"])
def test_an_evaluation(
    kind: str, request: pytest.FixtureRequest, prepared: Path, tmp_path: Path
) -> None:
    model = str(request.getfixturevalue(kind))
    result = evaluate(model=model, data=str(prepared), output=str(tmp_path / "evaluated"))
    require("evaluation-4", result)
    require("evaluation-4", json.loads((tmp_path / "evaluated/evaluation.json").read_text()))
    del result["overall"]["mae_months"]
    with pytest.raises(jsonschema.ValidationError):
        require("evaluation-4", result)


def test_an_evaluation_of_a_table_and_a_comparison(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("id,sex,boneage\n1,F,100\n2,M,30\n3,unknown,180\n")
    (tmp_path / "p.csv").write_text("id,a,b\n1,104,90\n2,25,35\n3,181,\n")
    tables = {"predictions": str(tmp_path / "p.csv"), "labels": str(tmp_path / "l.csv")}
    evaluated = evaluate_tables(**tables, output=str(tmp_path / "out"))
    for result in evaluated.results.values():
        require("evaluation-4", result)
    require("comparison-2", evaluated.comparisons[0])
    folders = [str(tmp_path / "out" / name) for name in "ab"]
    result = compare(*folders, output=str(tmp_path / "compared"))
    require("comparison-2", result)
    with pytest.raises(jsonschema.ValidationError):
        require("comparison-2", result | {"verdict": "third"})


def test_stress_results(hands: dict[str, str], exported: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "out")
    given = {"model": str(exported), "labels": hands["labels"], "output": output}
    result = stress([hands["folder"]], changes=["noise", "inverted"], **given)
    require("stress-3", result)
    with pytest.raises(jsonschema.ValidationError):
        require("stress-3", result | {"changes": [{"change": "mirrored", "n": 1}]})
    pairs = {"against": hands["folder"], "overwrite": True, **given, "labels": None}
    require("stress-3", stress([hands["folder"]], sex="F", **pairs))


def test_lines_of_predictions(hands: dict[str, str], exported: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    predict([hands["folder"]], model=str(exported), output=str(output), labels=hands["labels"])
    lines = [json.loads(x) for x in (output / "predictions.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines} == {"ok", "rejected"}
    for line in lines:
        require("prediction-5", line)
    read = next(line for line in lines if line["status"] == "ok")
    for wrong in ({"bone_age_months": None}, {"verdict": "old"}, {"reason": "x"}, {"more": 1}):
        with pytest.raises(jsonschema.ValidationError):
            require("prediction-5", read | wrong)


def test_schemas_have_the_versions_that_are_written() -> None:
    properties = json.loads((SCHEMAS / "evaluation-4.json").read_text())["oneOf"][0]["properties"]
    assert properties["schema"]["const"] == EVALUATION_SCHEMA
    for name, schema in (
        ("comparison-2", COMPARISON_SCHEMA),
        ("growth-1", GROWTH_SCHEMA),
        ("stress-3", STRESS_SCHEMA),
    ):
        stored = json.loads((SCHEMAS / f"{name}.json").read_text())
        assert stored["properties"]["schema"]["const"] == schema
    stored = json.loads((SCHEMAS / "prediction-5.json").read_text())
    *fields, growth = Prediction.__dataclass_fields__
    assert growth == "growth"
    assert tuple(stored["properties"]) == (*fields, *GROWTH_COLUMNS)
