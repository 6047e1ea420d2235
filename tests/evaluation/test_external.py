import csv
import json
from pathlib import Path

import pytest

from bone_age_tf.config import LabelOptions
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.evaluation.external import evaluate_tables
from bone_age_tf.metrics.predictions import COLUMNS

LABELS = """Case ID,Sex,Ground truth bone age (months)
1,M,100
2,F,120.5
3,F,60
4,M,200
"""
PREDICTIONS = """id,male,official,ours,theirs,remark
1,True,100,104,100,good
2,False,120.5,118.5,,
3,False,60,66,61,good
9,True,50,50,50,
"""


def write(folder: Path, labels: str = LABELS, predictions: str = PREDICTIONS) -> dict[str, str]:
    (folder / "truth.csv").write_text(labels)
    (folder / "theirs.csv").write_text(predictions)
    return {"labels": str(folder / "truth.csv"), "predictions": str(folder / "theirs.csv")}


def test_every_column_of_numbers_is_evaluated_but_the_labels(tmp_path: Path) -> None:
    evaluated = evaluate_tables(**write(tmp_path), output=str(tmp_path / "out"))
    assert list(evaluated.results) == ["ours", "theirs"]
    ours, theirs = evaluated.results.values()
    assert ours["overall"]["mae_months"]["value"] == pytest.approx((4 + 2 + 6) / 3)
    assert theirs["overall"]["mae_months"]["value"] == pytest.approx(0.5)
    assert ours["by_sex"]["F"]["n"] == 2
    assert ours["left_out"] == {
        "labels": 4,
        "labels_without_prediction": 1,
        "reasons": {"no_row": 1},
        "predictions_without_label": 1,
    }
    assert theirs["left_out"]["reasons"] == {"no_number": 1, "no_row": 1}
    assert ours["trained_on_split"] is ours["leakage"] is None  # nobody knows
    assert (ours["constant"]["mean_of"], ours["constant"]["months"]) == ("labels", 280.5 / 3)
    assert ours["constant"]["mae_months"]["value"] == pytest.approx((6.5 + 27 + 33.5) / 3)
    assert theirs["left_out"]["labels_without_prediction"] == 2
    (comparison,) = evaluated.comparisons
    assert comparison["n"] == 2
    stored = tmp_path / "out/comparisons/ours-theirs.json"
    assert json.loads(stored.read_text()) == comparison
    assert json.loads((tmp_path / "out/ours/evaluation.json").read_text()) == ours


def test_a_named_column_is_evaluated_alone(tmp_path: Path) -> None:
    output = tmp_path / "out"
    evaluate_tables(**write(tmp_path), output=str(output), prediction_columns=["ours"])
    assert {path.name for path in output.iterdir()} == {
        "evaluation.json",
        "predictions.csv",
        "provenance.json",
    }
    with (output / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[1] == {
        "id": "2",
        "sex": "F",
        "bone_age_months_true": "120.5",
        "bone_age_months": "118.50",
    }


def test_names_of_files_and_other_headers_are_joined(tmp_path: Path) -> None:
    labels = LABELS.replace("Case ID", "child")
    tables = write(tmp_path, labels, "child,months\n1.png,101\nscans/4.jpg,190\n")
    options = LabelOptions(id_column="child")
    evaluated = evaluate_tables(**tables, output=str(tmp_path / "out"), options=options)
    assert evaluated.results["months"]["overall"]["mae_months"]["value"] == pytest.approx(5.5)


def test_numbers_are_joined_in_spite_of_leading_zeros(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tables = write(tmp_path, predictions="id,months\n00001,101\n00004,190\n")
    evaluated = evaluate_tables(**tables, output=str(tmp_path / "out"))
    assert evaluated.results["months"]["overall"]["n"] == 2
    assert "2 identifiers were joined although they differ" in caplog.text


def test_paths_are_joined_by_their_ends(tmp_path: Path) -> None:
    labels = "path,sex,boneage\np1/image1.png,M,100\np2/image1.png,F,120\n"
    predictions = "id,months\nhands/p2/image1,110\nhands/p1/image1,99\n"
    evaluated = evaluate_tables(
        **write(tmp_path, labels, predictions), output=str(tmp_path / "out")
    )
    assert evaluated.results["months"]["overall"]["mae_months"]["value"] == pytest.approx(5.5)


def test_the_index_of_pandas_is_neither_label_nor_prediction(tmp_path: Path) -> None:
    labels = "Unnamed: 0,id,sex,boneage\n60,1,M,100\n120,2,F,120\n"
    predictions = ",id,Months\n60,1,101\n120,2,110\n"
    tables = write(tmp_path, labels, predictions)
    evaluated = evaluate_tables(**tables, output=str(tmp_path / "out"))
    assert list(evaluated.results) == ["Months"]
    evaluated = evaluate_tables(
        **tables, output=str(tmp_path / "one"), prediction_columns=["months"]
    )
    assert list(evaluated.results) == ["Months"]


def test_our_own_predictions_are_a_table(tmp_path: Path) -> None:
    """What `predict` writes, rejected rows included."""
    own = (
        ",".join(COLUMNS) + "\n"
        "1,1.png,M,103.0,90.0,110.0,,100,90,13.0,1.30,average,0.80,ok,,\n"
        "2,2.png,F,,,,,120.5,90,,,,,rejected,no_hand: x,\n"
    )
    tables = write(tmp_path, predictions=own)
    evaluated = evaluate_tables(**tables, output=str(tmp_path / "out"))
    assert list(evaluated.results) == ["bone_age_months"]
    assert evaluated.results["bone_age_months"]["overall"]["mae_months"]["value"] == pytest.approx(
        3
    )


def test_a_column_with_one_word_is_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", logger="bone_age_tf")
    predictions = PREDICTIONS.replace("118.5", "n/a")
    evaluated = evaluate_tables(
        **write(tmp_path, predictions=predictions), output=str(tmp_path / "o")
    )
    assert list(evaluated.results) == ["theirs"]
    assert "the column 'ours' is left out: 'n/a' is not a number" in caplog.text


def test_each_column_has_its_own_folder(tmp_path: Path) -> None:
    predictions = "id,model A,model_A,comparisons\n1,101,102,103\n2,119,118,117\n"
    output = tmp_path / "out"
    evaluated = evaluate_tables(**write(tmp_path, predictions=predictions), output=str(output))
    assert len(evaluated.results) == 3
    assert len(evaluated.comparisons) == len(list((output / "comparisons").iterdir())) == 3
    stored = [json.loads(path.read_text()) for path in output.glob("*/evaluation.json")]
    assert {result["model"]["column"] for result in stored} == set(evaluated.results)


def test_columns_without_a_common_radiograph_are_not_compared(tmp_path: Path) -> None:
    predictions = "id,a,b\n1,101,\n2,,118\n"
    evaluated = evaluate_tables(
        **write(tmp_path, predictions=predictions), output=str(tmp_path / "o")
    )
    assert len(evaluated.results) == 2
    assert evaluated.comparisons == []


@pytest.mark.parametrize(
    ("labels", "predictions", "columns", "error", "message"),
    [
        (LABELS + "1,F,90\n", PREDICTIONS, (), InputDataError, "duplicate_id"),
        (
            LABELS,
            PREDICTIONS + "1,True,1,2,3,\n",
            (),
            InputDataError,
            "row 6.*occurs more than once",
        ),
        (LABELS, "hand,months\n1,2\n", (), InputDataError, "no column for the identifier.*hand"),
        (LABELS, "id,months\n7,2\n", (), InputDataError, "no column of predicted months.*0 have"),
        (LABELS, "id,months\n7,2\n", ("months",), InputDataError, "no prediction in column"),
        (LABELS, PREDICTIONS, ("remark",), InputDataError, "'good' in column 'remark' is not"),
        (LABELS, PREDICTIONS, ("age",), UsageError, "has the columns id, male"),
        ("Case ID,Sex\n1,F\n", PREDICTIONS, (), InputDataError, "no column for the bone age"),
    ],
)
def test_bad_tables_are_refused(
    labels: str,
    predictions: str,
    columns: tuple[str, ...],
    error: type[Exception],
    message: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(error, match=f"(?s){message}"):
        evaluate_tables(
            **write(tmp_path, labels, predictions),
            output=str(tmp_path / "out"),
            prediction_columns=columns,
        )
    assert not (tmp_path / "out").exists()


def test_published_predictions_have_their_published_errors(real_data: Path, tmp_path: Path) -> None:
    """Two networks of one author on the challenge's 200 test radiographs: 4.46 and 5.00 months."""
    evaluated = evaluate_tables(
        predictions=str(real_data / "rsna_test_published_predictions.csv"),
        labels=str(real_data / "rsna_test_truth.csv"),
        output=str(tmp_path),
    )
    found = {
        name: (result["overall"]["n"], round(result["overall"]["mae_months"]["value"], 2))
        for name, result in evaluated.results.items()
    }
    assert found == {"kosik_DenseNet169_500": (200, 4.46), "kosik_Xception_500": (200, 5.0)}
    assert evaluated.comparisons[0]["verdict"] == "first"
