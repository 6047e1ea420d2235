"""Where an exported model looks, and what each part of the hand does to its answer.

Views of one prepared radiograph:

- **Grad-CAM** (`explain` in `export/graph.py`): where the trunk's features carry the answer; one pass.
- **Occlusion** (Zeiler and Fergus 2014): a cell of the frame is blurred until no bone can be told, and
  the answer falls or rises by so many months. Works for every model, ensembles included.
- **Zones**: the same with all of a group of bones at once. A zone is where drawn hands of all ages have
  those bones in the registered frame (`assets/bone_zones.png`), so it fits any one hand only roughly.
- **Neighbours** (`inference/neighbours.py`): labelled radiographs that the model sees as most like it.

All of them say what moves the *model*; none says that the model is right.
"""

import contextlib
import csv
import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import tensorflow as tf

from bone_age_tf.config import LabelOptions
from bone_age_tf.data.manifest import MANIFEST, sha256_of, written_whole
from bone_age_tf.errors import InputDataError, UsageError
from bone_age_tf.export.exported_model import EXPLAIN, FEATURES, HEAT, ExportedModel
from bone_age_tf.files.images import SourceFile, grey_values, is_safe, radiographs_in
from bone_age_tf.files.provenance import write_provenance
from bone_age_tf.inference.neighbours import CACHE, Neighbour, Reference, strip
from bone_age_tf.inference.predict import read_labels, sex_of
from bone_age_tf.preprocessing.decoding import Refusal
from bone_age_tf.preprocessing.regions import crop_of

log = logging.getLogger(__name__)

ZONES = (
    "radius and ulna",
    "carpals",
    "metacarpals",
    "proximal phalanges",
    "middle phalanges",
    "distal phalanges",
    "thumb",
)
"""In the order of the levels 1 to 7 of `assets/bone_zones.png`."""
ZONE_FILE = Path(__file__).parents[1] / "assets" / "bone_zones.png"
CELLS = 13
"""Cells of the occlusion over the height of the frame; about as many pixels wide as high."""
FEWEST_HAND = 0.1
"""Share of a cell that shows the hand; others are not blurred."""
BLUR = 0.045
"""SD of the blur as a share of the frame's height: about the width of a metacarpal."""
BATCH_SIZE = 16
OPACITY = 0.45
"""Largest opacity of the colours over the radiograph."""
COLUMNS = ("file", "sex", "bone_age_months", *ZONES, "picture", "reason")
NEIGHBOUR_COLUMNS = ("file", "rank", "id", "sex", "bone_age_months", "similarity")

Notify = Callable[[str, int, int], None]
Answers = Callable[[np.ndarray], np.ndarray]
"""Prepared radiographs uint8 [N, height, width, 1] -> months [N], for one sex."""


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Of one radiograph whose bone age was told."""

    prepared: np.ndarray
    """uint8 [height, width]."""
    prepared_to_original: np.ndarray
    """float [2, 3]."""
    bone_age_months: float
    heat: np.ndarray | None
    """Grad-CAM in months, float [height, width]; None: a model that cannot tell."""
    occlusion: np.ndarray
    """By how many months the answer falls where this place is blurred, float [height, width]."""
    zones: Mapping[str, float]
    """Zone -> by how many months the answer falls without its bones; none where no frame is registered."""
    features: np.ndarray | None
    """Means of the trunk's feature maps, float [c]."""


# === One radiograph ===


def explain_prepared(
    model: ExportedModel, image: np.ndarray, to_original: np.ndarray, sex: str
) -> Explanation:
    """All views of a prepared radiograph, uint8 [height, width, 1], with its matrix [2, 3]."""

    def answers(images: np.ndarray) -> np.ndarray:
        return model.months_of_one_view(images, [sex] * len(images))

    as_it_stands = float(answers(image[np.newaxis])[0])
    heat, features = _look_inside(model, image, sex)
    return Explanation(
        prepared=image[..., 0],
        prepared_to_original=to_original,
        bone_age_months=float(model.months_of_prepared(image[np.newaxis], [sex])[0]),
        heat=heat,
        occlusion=occlusion(answers, image, as_it_stands),
        zones=without_zones(answers, image, as_it_stands) if _is_registered(model) else {},
        features=features,
    )


def _is_registered(model: ExportedModel) -> bool:
    return model.manifest["preprocessing"]["method"] == "registered"


def _look_inside(
    model: ExportedModel, image: np.ndarray, sex: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if EXPLAIN not in model.signatures:
        return None, None
    answer = model.signatures[EXPLAIN](image=tf.constant(image[np.newaxis]), sex=tf.constant([sex]))
    region = model.manifest["config"]["data"]["region"]
    return on_frame(answer[HEAT].numpy()[0], image.shape[:2], region), answer[FEATURES].numpy()[0]


def on_frame(heat: np.ndarray, frame: tuple[int, int], region: str) -> np.ndarray:
    """A map of cells [h, w] over the region that the network sees, as pixels of the frame; 0 around it."""
    (above, below), (left, right) = crop_of(region, frame)
    size = (frame[1] - left - right, frame[0] - above - below)
    seen = cv2.resize(heat.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    return np.pad(seen, ((above, below), (left, right)))


def occlusion(answers: Answers, image: np.ndarray, months: float) -> np.ndarray:
    """Months by which the answer falls with each cell blurred, as a smooth map of the frame."""
    height, width = image.shape[:2]
    rows = np.linspace(0, height, CELLS + 1).round().astype(int)
    columns = np.linspace(0, width, round(CELLS * width / height) + 1).round().astype(int)
    places = [
        (row, column, np.s_[rows[row] : rows[row + 1], columns[column] : columns[column + 1]])
        for row in range(len(rows) - 1)
        for column in range(len(columns) - 1)
    ]
    shown = [p for p in places if (image[p[2]] > 0).mean() >= FEWEST_HAND]
    falls = np.zeros((len(rows) - 1, len(columns) - 1), np.float32)
    masks = []
    for _, _, place in shown:
        mask = np.zeros((height, width), bool)
        mask[place] = True
        masks.append(mask)
    for (row, column, _), fall in zip(shown, _falls(answers, image, months, masks), strict=True):
        falls[row, column] = fall
    return cv2.resize(falls, (width, height), interpolation=cv2.INTER_CUBIC)


def without_zones(answers: Answers, image: np.ndarray, months: float) -> dict[str, float]:
    """Zone -> months by which the answer falls with all of its bones blurred."""
    zones = zones_of(image.shape[:2])
    masks = [zones == level for level in range(1, len(ZONES) + 1)]
    return dict(zip(ZONES, _falls(answers, image, months, masks), strict=True))


def zones_of(frame: tuple[int, int]) -> np.ndarray:
    """The level of the zone under each pixel of a registered frame, uint8 [height, width]."""
    return cv2.resize(_zones(), frame[::-1], interpolation=cv2.INTER_NEAREST)


@functools.cache
def _zones() -> np.ndarray:
    levels = cv2.imread(str(ZONE_FILE), cv2.IMREAD_GRAYSCALE)
    assert levels is not None
    return levels


def blurred(image: np.ndarray) -> np.ndarray:
    """The radiograph without its bones, uint8 of the same shape; the background stays 0."""
    hand = (image[..., 0] > 0).astype(np.float32)
    sigma = BLUR * image.shape[0]
    around = cv2.GaussianBlur(image[..., 0].astype(np.float32), (0, 0), sigma)
    weight = cv2.GaussianBlur(hand, (0, 0), sigma)  # so that the outline stays as bright
    return (
        np.round(hand * around / np.maximum(weight, 1e-3)).clip(0, 255)[..., None].astype(np.uint8)
    )


def _falls(
    answers: Answers, image: np.ndarray, months: float, masks: Sequence[np.ndarray]
) -> list[float]:
    """Months by which the answer falls with each mask, bool [height, width], blurred."""
    smooth = blurred(image)
    falls: list[float] = []
    for start in range(0, len(masks), BATCH_SIZE):
        part = masks[start : start + BATCH_SIZE]
        images = np.stack([np.where(mask[..., None], smooth, image) for mask in part])
        falls += (months - answers(images)).tolist()
    return falls


# === Pictures ===


def safe_name(stem: str) -> str:
    """An identifier as a part of a file's name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in stem)[:80]


def over(picture: np.ndarray, values: np.ndarray, largest: float) -> np.ndarray:
    """Colours over a grey picture [height, width]: red where `values` > 0, blue below, uint8 [.., 3].

    Opaque in proportion to the value, fully at `largest`. Blue, green, red.
    """
    share = np.clip(np.abs(values) / max(largest, 1e-6), 0, 1)[..., None] * OPACITY
    colours = np.where(values[..., None] > 0, (40, 40, 235), (235, 130, 30))
    grey = np.repeat(picture[..., None].astype(np.float32), 3, axis=2)
    return np.round(grey * (1 - share) + colours * share).astype(np.uint8)


def on_original(
    values: np.ndarray, prepared_to_original: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """A map of the prepared radiograph as one of the original's pixels, float [height, width]."""
    return cv2.warpAffine(
        values.astype(np.float32), prepared_to_original, shape[::-1], flags=cv2.INTER_LINEAR
    )


def sheet(explanation: Explanation, original: np.ndarray) -> np.ndarray:
    """Original, Grad-CAM on both, occlusion: uint8 [height, width, 3] of one height."""
    prepared = explanation.prepared
    height = prepared.shape[0] * max(1, round(650 / prepared.shape[0]))
    panels = [np.repeat(original[..., None], 3, axis=2)]
    if explanation.heat is not None:
        heat = np.where(prepared > 0, np.maximum(explanation.heat, 0), 0)
        largest = float(np.percentile(heat[prepared > 0], 99)) if (prepared > 0).any() else 1.0
        warped = on_original(heat, explanation.prepared_to_original, original.shape[:2])
        panels += [over(original, warped, largest), over(prepared, heat, largest)]
    falls = np.where(prepared > 0, explanation.occlusion, 0)
    panels.append(over(prepared, falls, max(float(np.abs(falls).max()), 1.0)))
    scaled = [
        cv2.resize(
            p, (round(p.shape[1] * height / p.shape[0]), height), interpolation=cv2.INTER_AREA
        )
        for p in panels
    ]
    return np.hstack([np.pad(panel, ((0, 0), (0, 8), (0, 0))) for panel in scaled])[:, :-8]


# === The verb ===


def explain(
    paths: Sequence[str],
    *,
    model: str,
    output: str,
    sex: str | None = None,
    labels: str | None = None,
    label_options: LabelOptions = LabelOptions(unlabelled=True),  # noqa: B008 - frozen
    neighbours: str | None = None,
    on_progress: Notify | None = None,
) -> dict[str, int]:
    """Explain files, folders and zips: `explanations.csv` and a picture of each; returns counts.

    `neighbours` is a prepared data set, among whose training radiographs the most similar ones are
    looked up (`neighbours.csv`, and another picture).
    Raises `UsageError` where the model's frame is not registered, so that zones mean nothing there.
    """
    exported = ExportedModel.open(model)
    if not _is_registered(exported):
        raise UsageError(
            f"{model} answers for radiographs that are not registered; where their bones are is not known. "
            "Expected a model for data prepared with --preprocess registered."
        )
    files = [file for path in paths for file in radiographs_in(path) if is_safe(file)]
    if not files:
        raise InputDataError(f"No PNG or JPEG files found in {', '.join(paths)}.")
    known = read_labels(labels, label_options)
    notify = on_progress or (lambda stage, done, total: None)
    folder = Path(output)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    reference = (
        Reference(exported, neighbours, cache=folder / CACHE, on_progress=on_progress)
        if neighbours
        else None
    )
    counts = {"explained": 0, "refused": 0}
    notify("explain", 0, len(files))
    with contextlib.ExitStack() as stack:
        table = _table(stack, folder / "explanations.csv", COLUMNS)
        similar = _table(stack, folder / "neighbours.csv", NEIGHBOUR_COLUMNS) if reference else None
        for number, file in enumerate(files, start=1):
            explained = _explain_file(exported, file, sex_of(file, known, sex), reference)
            name = f"pictures/{number:04d}-{safe_name(file.stem)}"
            table.writerow({"file": file.name, **explained.cells(f"{name}.png")})
            if explained.picture is not None:
                cv2.imwrite(str(folder / f"{name}.png"), explained.picture)
            if similar is not None and explained.neighbours:
                similar.writerows({"file": file.name, **row} for row in explained.neighbour_rows())
                cv2.imwrite(str(folder / f"{name}-neighbours.png"), explained.neighbour_strip())
            counts["refused" if explained.reason else "explained"] += 1
            notify("explain", number, len(files))
    settings = {"model": sha256_of(exported.folder / MANIFEST), "sex": sex, "counts": counts}
    settings["neighbours_of"] = len(reference) if reference else None
    write_provenance(folder, "explain", **settings)
    return counts


@dataclasses.dataclass(frozen=True)
class _Explained:
    """What became of one file."""

    sex: str
    reason: str = ""
    explanation: Explanation | None = None
    picture: np.ndarray | None = None
    neighbours: Sequence[Neighbour] = ()

    def cells(self, picture: str) -> dict[str, str]:
        """Its row of `explanations.csv`, but for the file's name."""
        if self.explanation is None:
            return {"sex": self.sex, "reason": self.reason}
        zones = {name: f"{months:.2f}" for name, months in self.explanation.zones.items()}
        months = f"{self.explanation.bone_age_months:.2f}"
        return {"sex": self.sex, "bone_age_months": months, **zones, "picture": picture}

    def neighbour_rows(self) -> Iterator[dict[str, str]]:
        """Its rows of `neighbours.csv`, but for the file's name."""
        for rank, one in enumerate(self.neighbours, start=1):
            yield {
                "rank": str(rank),
                "id": one.id,
                "sex": one.sex,
                "bone_age_months": f"{one.bone_age_months:.2f}",
                "similarity": f"{one.similarity:.4f}",
            }

    def neighbour_strip(self) -> np.ndarray:
        """The radiograph beside its neighbours."""
        assert self.explanation is not None
        title = f"answer {self.explanation.bone_age_months:.0f} months, {self.sex}"
        return strip(self.explanation.prepared, title, list(self.neighbours))


def _table(
    stack: contextlib.ExitStack, path: Path, columns: Sequence[str]
) -> "csv.DictWriter[str]":
    """A table with its first line; whole on the disk when the stack ends well."""
    stream = stack.enter_context(written_whole(path))
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    return writer


def _explain_file(
    model: ExportedModel, file: SourceFile, sex: str | Refusal, reference: Reference | None
) -> _Explained:
    if isinstance(sex, Refusal):
        return _Explained("", f"{sex.reason}: {sex.explanation}")
    try:
        encoded = file.read()
        made = model.prepare_with_matrix(encoded)
        original = None if isinstance(made, Refusal) else grey_levels(encoded)
    except InputDataError as error:
        encoded, made, original = b"", Refusal("unreadable", str(error)), None
    if isinstance(made, Refusal):
        return _Explained(sex, f"{made.reason}: {made.explanation}")
    explanation = explain_prepared(model, *made, sex)
    similar: Sequence[Neighbour] = ()
    if reference is not None and explanation.features is not None:
        similar = reference.nearest(explanation.features, encoded)
    assert original is not None
    picture = sheet(explanation, original)
    return _Explained(sex, explanation=explanation, picture=picture, neighbours=similar)


def grey_levels(encoded: bytes) -> np.ndarray:
    """A file as uint8 [height, width] for the eye: percentiles 0.5 and 99.7 as black and white."""
    picture = grey_values(encoded)
    if picture is None:
        raise InputDataError("OpenCV cannot read the file, though TensorFlow can.")
    low, high = np.percentile(picture, (0.5, 99.7))
    return np.clip((picture - low) * (255 / max(high - low, 1e-3)), 0, 255).astype(np.uint8)
