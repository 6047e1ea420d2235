"""What a clone carries and what it installs: sizes of files, and no version with a known vulnerability. Part of `make check`."""

import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
MAX_FILE = 2 * 2**20
MAX_WEIGHTS = 25 * 2**20
SHIPPED = Path("saved_models/bone_age")
ADVISORY = r"(?:CVE-\d{4}-\d{4,}|GHSA(?:-\w{4}){3}|PYSEC-\d{4}-\d+)"

# === Sizes ===


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files of a clone, without those that are deleted."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    names = map(Path, listed.stdout.split("\0")[:-1])
    return [name for name in names if (ROOT / name).is_file()]


def test_one_file_is_large_the_weights_of_the_shipped_model(tracked: list[Path]) -> None:
    sizes = {name: (ROOT / name).stat().st_size for name in tracked}
    large = {name for name, size in sizes.items() if size > MAX_FILE}
    assert len(large) == 1, large
    (weights,) = large
    assert weights.match(f"{SHIPPED}/*/variables/variables.data-00000-of-00001")
    assert sizes[weights] <= MAX_WEIGHTS


def test_one_model_is_shipped_as_version_1(tracked: list[Path]) -> None:
    """Exports of a clone's owner take the next numbers: Git overwrites ignored files without asking."""
    models = [name for name in tracked if name.name == "saved_model.pb"]
    assert models == [SHIPPED / "1" / "saved_model.pb"]


# === Versions ===


def read(name: str) -> dict[str, tuple[Requirement, str]]:
    """Package -> its requirement and the comment behind it."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        text, _, comment = line.partition("#")
        if text.strip():
            requirement = Requirement(text)
            found[canonicalize_name(requirement.name)] = (requirement, comment)
    return found


def version_of(requirement: Requirement) -> Version:
    """The version that it names first: the lowest, or the pinned one."""
    return Version(str(requirement.specifier).split(",")[-1].lstrip("=>~"))


SAFE = read("safe_versions.txt")
PINS = {name: read(name) for name in ("constraints.txt", "deploy/flink/constraints.txt")}


@pytest.mark.parametrize("package", SAFE)
def test_a_pin_is_no_version_with_a_known_vulnerability(package: str) -> None:
    requirement, comment = SAFE[package]
    assert re.fullmatch(rf" {ADVISORY}(?:(?:, | to ){ADVISORY})*", comment)
    assert package in PINS["constraints.txt"]
    for name, pins in PINS.items():
        if package in pins:
            assert version_of(pins[package][0]) in requirement.specifier, name


def test_no_older_version_may_be_installed() -> None:
    required = re.findall(r'"([\w-]+(?:\[[\w-]+\])?>=[\w.]+)', (ROOT / "setup.py").read_text())
    lowest = {canonicalize_name(one.name): version_of(one) for one in map(Requirement, required)}
    assert {"keras", "pillow", "pydicom", "starlette"} <= {*lowest} & {*SAFE}
    for package in {*lowest} & {*SAFE}:
        assert lowest[package] in SAFE[package][0].specifier, package
