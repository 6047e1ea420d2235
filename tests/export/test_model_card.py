import json
from pathlib import Path

import yaml

from bone_age_tf.evaluation.evaluate import evaluate
from bone_age_tf.export.export import export_saved_model
from bone_age_tf.export.exported_model import ExportedModel
from bone_age_tf.export.model_card import performance_summary

SHIPPED = Path(__file__).parents[2] / "saved_models" / "bone_age" / "1"


def read(folder: Path) -> tuple[dict, str]:
    _, front, body = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def test_an_export_has_a_model_card(exported: Path) -> None:
    front, body = read(exported / "1")
    assert front["library_name"] == "tensorflow"
    assert "model-index" not in front
    assert "Not evaluated at export" in body
    assert "gives no prediction intervals" in body
    assert "Not a medical device" in body
    model = ExportedModel.open(exported)
    assert "README.md" in {entry.name for entry in model.manifest["files"]}
    assert model.fingerprint[:12] in body


def test_the_card_reports_the_evaluation(run: Path, prepared: Path, tmp_path: Path) -> None:
    evaluated = tmp_path / "evaluated"
    evaluate(model=str(run), data=str(prepared), split="train", output=str(evaluated))
    folder = export_saved_model(
        run=str(run), output=str(tmp_path / "model"), evaluation=str(evaluated / "evaluation.json")
    )
    front, body = read(folder)
    overall = json.loads((evaluated / "evaluation.json").read_text())["overall"]
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "split train"
    assert result["metrics"][0]["value"] == round(overall["mae_months"]["value"], 2)
    mae = overall["mae_months"]
    assert f"| MAE | {mae['value']:.1f} [{mae['low']:.1f}, {mae['high']:.1f}] months |" in body
    assert f"On {overall['n']} radiographs (split train)" in body
    ends = f"{mae['low']:.1f} to {mae['high']:.1f}"
    summary = f"Mean absolute error {mae['value']:.1f} months (95 % confidence interval {ends}) on {overall['n']} radiographs"
    assert f"{summary} (split train)." in performance_summary(ExportedModel.open(folder).manifest)


def test_the_summary_of_the_shipped_model() -> None:
    manifest = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))
    assert performance_summary(manifest) == (
        "Trained on 953 radiographs. Mean absolute error 7.7 months (95 % confidence interval 7.4 to 8.2) on 953 "
        "radiographs (held-out folds, by networks with the same settings not trained on them)."
    )


def test_the_summary_of_a_recalibrated_model() -> None:
    manifest = json.loads((SHIPPED / "manifest.json").read_text(encoding="utf-8"))
    del manifest["data"]["training"]
    manifest["calibration"] = {
        "radiographs": {"n": {"F": 20, "M": 30}},
        "correction": {"kept": True, "method": "linear by sex"},
        "result": {
            name: {"overall": {"mae_months": {"value": months}}}
            for name, months in (("before", 12.3), ("after_cross_validated", 9.8))
        },
    }
    text = performance_summary(manifest)
    assert text.startswith("Trained on folds of train 953 radiographs. ")
    assert text.endswith("MAE on these 12.3 months before, 9.8 after (cross-validated).")
