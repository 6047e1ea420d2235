"""The files for Kubernetes, checked against its published schemas of several releases."""

import re

import pytest
from conftest import ROOT

pytestmark = pytest.mark.release
KIT = ROOT / "bone_age_tf/serving/kit/kubernetes.yaml"
WORKERS = ROOT / "deploy/kubernetes/train-workers.yaml"
RELEASES = ("1.25", "1.31", "1.37")


@pytest.fixture
def of_the_kit() -> str:
    """The kit's file, for a model `bone_age`."""
    values = {"model": "bone_age", "service": "bone-age", "server": "2.21.0"}
    return re.sub(r"\{\{ (\w+) \}\}", lambda name: values[name[1]], KIT.read_text())


@pytest.mark.parametrize("release", RELEASES)
def test_every_object_fits_the_schema(release: str, of_the_kit: str) -> None:
    validator = pytest.importorskip(
        "kubernetes_validate", reason="pip install kubernetes-validate==1.37.0"
    )
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    kinds = []
    for text in (of_the_kit, WORKERS.read_text()):
        for each in yaml.safe_load_all(text):
            validator.validate(each, release, strict=True)
            kinds.append(each["kind"])
    assert kinds == ["Deployment", "Service", "HorizontalPodAutoscaler", "Service", "Job"]
