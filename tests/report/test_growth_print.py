"""The pages of `growth`, printed by headless Chromium: each child on one side of A4."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from bone_age_tf.report.growth_charts import chart_growth
from bone_age_tf.report.growth_report import write_growth_reports

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.large,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium"),
]
A4_POINTS = (595, 842)
PRINTED_WIDTH = 695
"""CSS pixels of A4 without its margins."""


def _result(tmp_path: Path) -> dict[str, Any]:
    header = "id,sex,age_months,height_cm,bone_age_months,father_cm,mother_cm"
    table = tmp_path / "v.csv"
    table.write_text(f"{header}\na,M,120,138,118,180,165\n")
    return chart_growth(str(table), output=str(tmp_path / "out"))


def _longest(result: dict[str, Any], visits: int) -> dict[str, Any]:
    """As many visits as asked for, each with an interval that reaches three columns, and all with problems."""
    child = result["children"][0]
    columns = [
        {"column": name, "probability": 1 / 3, "cm": 170.0}
        for name in ("delayed", "average", "accelerated")
    ]
    more = {
        **{"date": "2024-01-01", "bone_age_low_months": 131.0, "bone_age_high_months": 155.0},
        **{"bone_age_months": 143.0, "adult_height_column": "accelerated"},
        **{"adult_height_low_cm": 160.0, "adult_height_high_cm": 180.0, "bone_age_from": "model"},
        **{"height_velocity_cm_per_year": 5.0, "adult_height_columns": columns},
    }
    rows = [
        {**child["visits"][0], **more, "row": n + 2, "chronological_age_months": 139.0 + 3 * n}
        for n in range(visits)
    ]
    wrong = {"code": "height_falls", "rows": [2, 3], "message": "the height falls " * 8}
    return {**child, "visits": rows, "contradictions": [wrong] * 9}


@pytest.mark.parametrize("visits", [1, 9, 24, 40])
def test_a_child_is_one_side_of_a4_without_scripts_and_network(visits: int, tmp_path: Path) -> None:
    from playwright.sync_api import sync_playwright

    result = _result(tmp_path)
    child = _longest(json.loads(json.dumps(result)), visits)
    write_growth_reports({**result, "children": [child]}, tmp_path)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(java_script_enabled=False, offline=True)
        page = context.new_page()
        page.set_viewport_size({"width": 1000, "height": 900})
        page.goto((tmp_path / "reports/0001-a.html").as_uri())
        box = page.locator(".scroll")
        assert box.evaluate("one => one.scrollWidth <= one.clientWidth")
        page.emulate_media(media="print")
        page.set_viewport_size({"width": PRINTED_WIDTH, "height": 900})
        assert box.evaluate("one => one.scrollWidth <= one.clientWidth")
        printed = page.pdf(prefer_css_page_size=True)
        browser.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    (media,) = re.findall(rb"/MediaBox\s*\[0 0 ([0-9.]+) ([0-9.]+)\]", printed)
    assert tuple(round(float(side)) for side in media) == A4_POINTS
