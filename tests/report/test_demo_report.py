"""The page of the demo, from a folder as its commands leave it."""

import csv
import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import draw_phantom
from page_reader import Page
from test_evaluation_report import write_evaluation

from bone_age_tf.inference.saliency import ZONES
from bone_age_tf.report.demo_report import IMAGES, read_demo_result, write_demo_page

STEPS = [(f"Sentence {number}.", f"bone-age-tf command{number}") for number in range(8)]


@pytest.fixture
def demo(tmp_path: Path, phantoms: Path) -> Path:
    """A folder of the demo with 40 test radiographs."""
    (tmp_path / "phantoms").symlink_to(phantoms)
    (tmp_path / "prepared").mkdir()
    labels = {name: {"count": 40, "mean_months": 100.0} for name in ("train", "validation", "test")}
    (tmp_path / "prepared/manifest.json").write_text(json.dumps({"labels": labels}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/history.csv").write_text(
        "epoch,mae_months,learning_rate,validation_mae_months\n1,40,1e-3,50\n2,20,1e-3,25\n"
    )
    write_evaluation(tmp_path / "evaluation", 40)
    _write_predictions(tmp_path)
    _write_explanations(tmp_path / "explained")
    return tmp_path


def _write_predictions(folder: Path) -> None:
    (folder / "predictions").mkdir()
    (folder / "new" / IMAGES).mkdir(parents=True)
    months = {"bone_age_months": 98, "bone_age_low_months": None, "bone_age_high_months": None}
    ok = {"id": "1", "status": "ok", "reason": "", "bone_age_months_true": 110, **months}
    rejected = ok | {"id": "2", "status": "rejected", "reason": "blank: nothing <here>"}
    lines = [json.dumps(row) for row in (ok, rejected)]
    (folder / "predictions/predictions.jsonl").write_text("\n".join(lines))
    for number in (1, 2):
        cv2.imwrite(str(folder / "new" / IMAGES / f"{number}.png"), draw_phantom(110, number))


def _write_explanations(folder: Path) -> None:
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), np.full((60, 90, 3), 90, np.uint8))
    row = {"file": "1.png", "reason": "", "picture": "1.png", **dict.fromkeys(ZONES, "-2.50")}
    with (folder / "explanations.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        writer.writeheader()
        writer.writerow(row)


def test_the_whole_way_is_on_one_page(demo: Path) -> None:
    result = read_demo_result(demo, 140.0)
    text = write_demo_page(demo, result, STEPS).read_text(encoding="utf-8")
    page = Page(text)
    assert len(page.named("svg")) == 3  # learning curve, scatter plot, Bland-Altman plot
    sources = [str(image["src"]) for image in page.named("img")]
    assert len(sources) == 8 + 8 + 2 + 1  # samples, test radiographs, predictions, explanation
    assert all(source.startswith("data:image/") for source in sources)
    assert page.named("script") == page.named("link") == []
    assert "@import" not in text
    assert set(re.findall(r"url\((.)", text)) == {"#"}  # clip paths of the figures
    assert all(sentence in page.text and command in page.text for sentence, command in STEPS)
    assert f"{result.mae_months:.1f}" in page.text and "2.3" in page.text  # minutes
    assert "8 y 2 m" in page.text and "blank: nothing <here>" in page.text
    assert page.text.count("−2.5") == len(ZONES)  # the estimate rises without them
    assert "say nothing about real radiographs" in page.text


def test_the_constant_is_the_mean_of_the_training_data(demo: Path) -> None:
    with (demo / "evaluation/predictions.csv").open(newline="") as stream:
        true = [float(row["bone_age_months_true"]) for row in csv.DictReader(stream)]
    result = read_demo_result(demo, 140.0)
    assert result.constant_mae_months == pytest.approx(np.mean([abs(100 - one) for one in true]))
    assert result.test_radiographs == 40


def test_it_needs_the_results_of_all_steps(demo: Path) -> None:
    shutil.rmtree(demo / "explained")
    with pytest.raises(OSError, match="explanations"):
        write_demo_page(demo, read_demo_result(demo, 140.0), STEPS)
