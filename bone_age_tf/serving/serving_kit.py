"""The serving kit: an exported model's files for TensorFlow Serving, Docker, Kubernetes, nginx and clients.

`write_serving_kit` fills the templates of `serving/kit/` for one version of a model. The kit lies beside
the versions, in `saved_models/NAME/serving-kit/`: TensorFlow Serving looks only at folders whose name is a
number, so whoever mounts the model has the kit in the container, too. It is made for the last version
that was exported with it, and written anew with the next one.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from bone_age_tf import record
from bone_age_tf.config import RESEARCH_ONLY
from bone_age_tf.data.manifest import MANIFEST
from bone_age_tf.errors import UsageError
from bone_age_tf.export.signatures import IMAGE_BYTES, SERVING
from bone_age_tf.export.warmup import protos_version
from bone_age_tf.files.atomic import write_json, written_whole

KIT = "serving-kit"
SAMPLES = "sample_requests"
TEMPLATES = Path(__file__).parent / "kit"
EXECUTABLE = (".py", ".sh")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,49}")


def model_name(output: str | Path) -> str:
    """The name that a model folder gives the model in TensorFlow Serving: its own.

    Raises `UsageError` where it does not fit into an address.
    """
    name = Path(os.path.abspath(output)).name  # noqa: PTH100 - resolve() would follow a link
    if not NAME.fullmatch(name):
        raise UsageError(
            "--serving-kit: the model folder's name becomes the model's name in TensorFlow Serving. Expected at most "
            f"50 of A-Z, a-z, 0-9, '_', '.', '-', a letter first. Received: {name!r}. Choose another --output."
        )
    return name


def write_serving_kit(version_folder: Path) -> Path:
    """Write the kit of `saved_models/NAME/VERSION`, and return its folder, `saved_models/NAME/serving-kit`."""
    manifest = json.loads((version_folder / MANIFEST).read_text(encoding="utf-8"))
    answer = _expected(manifest["golden"])
    kit = version_folder.parent / KIT
    (kit / SAMPLES).mkdir(parents=True, exist_ok=True)
    _write_samples(kit / SAMPLES, manifest["golden"], answer)
    values = _values(version_folder, manifest) | {"outputs": sorted(set(answer) - {"status"})}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    for template in sorted(path.name for path in TEMPLATES.iterdir() if path.is_file()):
        with written_whole(kit / template) as stream:
            stream.write(environment.get_template(template).render(values))
        if template.endswith(EXECUTABLE):
            (kit / template).chmod(0o755)
    return kit


def _values(version_folder: Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the templates name."""
    name = model_name(version_folder.parent)
    return {
        "model": name,
        "version": int(version_folder.name),
        "service": re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-"),
        "server": protos_version(),
        "tensorflow": manifest["exported_with"]["tensorflow"],
        "research_only": RESEARCH_ONLY,
    }


def _expected(golden: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The outputs for the golden hand: each output's name and its value for each sex."""
    return {
        name: values
        for name, values in golden.items()
        if name not in ("image_png_base64", record.SEX)
    }


def _write_samples(
    folder: Path, golden: Mapping[str, Any], answer: Mapping[str, list[Any]]
) -> None:
    """A request in each of the two forms that TensorFlow Serving reads, and what it answers."""
    picture = {"b64": golden["image_png_base64"]}
    columns = {IMAGE_BYTES: [picture] * len(golden[record.SEX]), record.SEX: golden[record.SEX]}
    rows, answers = _rows(columns), _rows(answer)
    write_json(folder / "rows.json", {"signature_name": SERVING, "instances": rows})
    write_json(folder / "rows.expected.json", {"predictions": answers})
    write_json(folder / "columns.json", {"signature_name": SERVING, "inputs": columns})
    write_json(folder / "columns.expected.json", {"outputs": answer})


def _rows(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    values = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in values]
