"""Fixtures: phantoms in Kaggle's layout, and the output of each stage for them, once a session."""

import csv
import functools
import gc
import hashlib
import logging
import os
import shutil
import signal
import subprocess
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import httpx
import numpy as np
import pytest
from filelock import FileLock

import bone_age_tf

ROOT = Path(__file__).parent.parent
Once = Callable[[str, Callable[[Path], object]], Path]
"""Name of a folder and what fills it -> the folder."""
LOADED_MODELS = 8
"""Models that are kept in memory."""
DRAWINGS = 400
"""Phantoms that are kept in memory, 0.1 MB each."""

if str(ROOT) not in bone_age_tf.__path__:
    bone_age_tf.__path__.append(str(ROOT))  # finds data_prep in a clone that is not installed


signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it


LONG = (
    *("test_examples", "test_notebooks", "test_train_localizer", "test_distribution"),
    *("test_demo_steps", "test_train"),
)
"""Files that take long: what begins last would keep one process busy while the others have ended."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Release what is left of input pipelines while their threads can still call Python.

    At the end of the interpreter, TensorFlow 2.21 waits in the destructor of such an iterator, possibly
    without end.
    """
    gc.collect()


def draw_phantom(
    age_months: float, seed: int, *, height: int = 340, width: int = 260
) -> np.ndarray:
    """uint8 [height, width]: a whole phantom, as large as fits, on black."""
    return _drawn(age_months, seed, height, width).copy()


@functools.lru_cache(DRAWINGS)
def _drawn(age_months: float, seed: int, height: int, width: int) -> np.ndarray:
    from bone_age_tf.data_prep.phantom import draw

    rng = np.random.default_rng(seed)
    radiograph, _ = draw(age_months, "F", rng, size=min(height, int(width / 0.8)))
    image = np.zeros((height, width), np.uint8)
    image[: radiograph.shape[0], : radiograph.shape[1]] = radiograph
    return image


def encode(picture: np.ndarray, ending: str = ".png") -> bytes:
    """The bytes of an image file."""
    done, encoded = cv2.imencode(ending, picture)
    assert done
    return encoded.tobytes()


def png_without_pixels() -> bytes:
    """A PNG whose chunks and checksums hold, but whose compressed pixels are noise."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data).to_bytes(4, "big")
        return len(data).to_bytes(4, "big") + kind + data + checksum

    header = (100).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    noise = chunk(b"IDAT", bytes(range(256)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + noise + chunk(b"IEND", b"")


def read_key_points(path: Path) -> list[dict[str, np.ndarray]]:
    """The points of each radiograph that has all six, as x and y in pixels."""
    found: dict[str, dict[str, np.ndarray]] = {}
    with path.open(newline="") as stream:
        for row in csv.DictReader(stream):
            at = np.array([float(row["x"]), float(row["y"])])
            found.setdefault(row["id"], {})[row["point"]] = at
    return [points for points in found.values() if len(points) == 6]


def key_point_medians(hands: list[dict[str, np.ndarray]]) -> np.ndarray:
    """Thumb tip, index and little MCP and wrist in hand units, the median of all hands, [4, 2]."""
    placed = []
    for points in hands:
        axis = points["middle_tip"] - points["capitate"]
        unit = float(np.hypot(*axis))
        up, right = axis / unit, np.array([-axis[1], axis[0]]) / unit
        names = ("thumb_tip", "index_mcp", "little_mcp", "wrist")
        offsets = [(points[name] - points["capitate"]) / unit for name in names]
        hand = np.array([[offset @ right, offset @ up] for offset in offsets])
        placed.append(hand * [np.sign(hand[0, 0] - hand[2, 0]), 1])
    return np.median(placed, axis=0)


def write_kaggle_layout(folder: Path, count: int, *, seed: int = 0) -> Path:
    """`boneage-training-dataset.csv` and `boneage-training-dataset/<id>.png` of synthetic radiographs."""
    rng = np.random.default_rng(seed)
    images = folder / "boneage-training-dataset"
    images.mkdir(parents=True)
    rows = []
    for number in range(count):
        identifier = 1000 + number
        age = int(rng.integers(12, 228))
        height, width = int(rng.integers(300, 380)), int(rng.integers(220, 380))
        picture = draw_phantom(age, seed * 10_000 + number, height=height, width=width)
        assert cv2.imwrite(str(images / f"{identifier}.png"), picture)
        rows.append([identifier, age, bool(number % 2)])
    with (folder / "boneage-training-dataset.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["id", "boneage", "male"], *rows])
    return folder


@pytest.fixture(autouse=True)
def _log_is_heard() -> None:
    """A command with `--quiet` sets the level of the log for all tests that follow in its process."""
    logging.getLogger("bone_age_tf").setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def _graphs_are_traced_once() -> None:
    """Preprocessors of one fingerprint, and their exports, share their graphs; tracing one takes seconds.

    The fingerprint covers the localizer's files. Exports with another localizer than the shipped one share
    nothing. Prepared radiographs are decoded, and augmented, by one graph for each setting.
    """
    import tensorflow as tf

    from bone_age_tf import record
    from bone_age_tf.config import WEIGHTS_DTYPES
    from bone_age_tf.data import input_pipeline
    from bone_age_tf.export import export
    from bone_age_tf.export import graph as exported
    from bone_age_tf.preprocessing.examination import Examiner
    from bone_age_tf.preprocessing.preprocessor import Preprocessor

    kept: dict[Any, Any] = {}

    def once(key: Any, make: Callable[[], Any]) -> Any:
        return kept[key] if key in kept else kept.setdefault(key, make())

    trace, set_up = vars(Preprocessor)["graph"].func, Examiner.__init__
    write, stored, prepare = export.write_saved_model, exported._Stored, exported._prepare

    def graph(preprocessor: Preprocessor) -> Any:
        return once(preprocessor.fingerprint, lambda: trace(preprocessor))

    def set_up_once(examiner: Examiner, preprocessor: Preprocessor) -> None:
        set_up(examiner, preprocessor)
        key = ("examiner", preprocessor.fingerprint)
        examiner._graph = once(key, lambda: examiner._graph)

    def write_shared(
        model: Any, classifier: Any, preprocessor: Preprocessor, *more: Any, **named: Any
    ):
        if not preprocessor.config.has_own_localizer and preprocessor.localizer is not None:
            vars(preprocessor)["localizer"] = once("localizer", lambda: preprocessor.localizer)
        write(model, classifier, preprocessor, *more, **named)

    def store_once(network: Any, dtype: str) -> Any:
        is_shipped = "localizer" in kept and network is kept["localizer"].network
        make = functools.partial(stored, network, dtype)
        return once(("stored", dtype), make) if is_shipped else make()

    def prepare_once(preprocessor: Preprocessor, localizer: Any, inputs: Any) -> Any:
        make = functools.partial(prepare, preprocessor, localizer, inputs)
        is_shipped = localizer in [kept.get(("stored", dtype)) for dtype in WEIGHTS_DTYPES]
        return once((preprocessor.config, localizer), make) if is_shipped else make()

    decode, augment = record.decode_images, input_pipeline.augment

    def decode_once(images: Any, frame: tuple[int, int], encoding: str) -> Any:
        if tf.executing_eagerly():
            return decode(images, frame, encoding)
        function = functools.partial(decode, frame=frame, encoding=encoding)
        make = functools.partial(tf.function, function, autograph=False)
        return shaped(once(("decode", frame, encoding), make)(images), images)

    def augment_once(images: Any, numbers: Any, config: Any) -> Any:
        function = functools.partial(augment, config=config)
        make = functools.partial(tf.function, function, autograph=False)
        return shaped(once(("augment", config), make)(images, numbers), images)

    def shaped(found: Any, images: Any) -> Any:
        return tf.ensure_shape(found, [images.shape[0], *found.shape[1:]])

    record.decode_images, input_pipeline.augment = decode_once, augment_once
    Preprocessor.graph = property(graph)
    Examiner.__init__ = set_up_once
    export.write_saved_model = write_shared
    exported._Stored, exported._prepare = store_once, prepare_once


@pytest.fixture(scope="session", autouse=True)
def _operations_keep_no_stack() -> None:
    """Where an operation was made is for TensorFlow's messages alone; to find it out takes a fifth of tracing."""
    from tensorflow.python.util import tf_stack

    stack = tf_stack.extract_stack()
    tf_stack.extract_stack = lambda stacklevel=1: stack


@pytest.fixture(scope="session")
def _models_are_loaded_once() -> Iterator[None]:
    """SavedModels of the same bytes share what was loaded of them; no test changes it."""
    from bone_age_tf.export import export, exported_model
    from bone_age_tf.tensorflow_c.saved_model import SavedModel

    loaded: dict[str, Any] = {}

    def load_once(folder: str | Path, **options: Any) -> Any:
        digest = hashlib.sha256(repr(options).encode())
        for path in sorted(Path(folder).rglob("*")):
            if path.name == "saved_model.pb" or path.parent.name == "variables":
                digest.update(path.name.encode() + path.read_bytes())
        key = digest.hexdigest()
        if key not in loaded:
            if len(loaded) == LOADED_MODELS:
                loaded.pop(next(iter(loaded)), None)
            loaded[key] = SavedModel.load(folder, **options)
        return loaded[key]

    users: list[Any] = [export, exported_model]
    for user in users:
        user.SavedModel = SimpleNamespace(load=load_once)
    yield
    for user in users:
        user.SavedModel = SavedModel


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Fills a folder by its name, once for all processes of pytest-xdist; the others wait for it."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def fill(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = base / "shared" / name, base / "shared" / f"{name}.done"
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # where making it failed
                make(folder)
                done.touch()
        return folder

    return fill


@pytest.fixture(scope="session")
def phantoms(once: Once) -> Path:
    """40 synthetic radiographs in Kaggle's layout. Read only."""
    return once("phantoms", lambda folder: write_kaggle_layout(folder, 40))


@pytest.fixture(scope="session")
def prepared(phantoms: Path, once: Once) -> Path:
    """`phantoms` as a data set of 104 x 80 pixels. Read only."""
    split = {"train": 0.6, "validation": 0.2, "test": 0.2}
    return once("prepared", lambda folder: prepare_hands(phantoms, folder, split))


@pytest.fixture(scope="session")
def local(once: Once) -> Path:
    """40 other phantoms, all in one split, on which the model of `exported` was not trained. Read only."""
    source = once("local_phantoms", lambda folder: write_kaggle_layout(folder, 40, seed=1))
    return once("local", lambda folder: prepare_hands(source, folder, {"train": 1.0}))


def prepare_hands(source: Path, output: Path, split: dict[str, float]) -> Path:
    """A folder of radiographs as a data set of 104 x 80 pixels."""
    from bone_age_tf.config import PrepareConfig, PreprocessingConfig
    from bone_age_tf.data_prep.prepare import prepare

    config = PrepareConfig(
        source=str(source),
        output=str(output),
        preprocessing=PreprocessingConfig(scale=0.05),
        split=split,
        shards=2,
    )
    assert prepare(config).problems == ()
    return output


@pytest.fixture(scope="session")
def run(prepared: Path, once: Once, _models_are_loaded_once: None) -> Path:
    """Two epochs of the tiny recipe on `prepared`. Read only."""
    from bone_age_tf.config import override
    from bone_age_tf.recipes import load_recipe
    from bone_age_tf.training.train import train

    config = override(load_recipe("tiny"), ["train.epochs=2", "train.precision=float32"])
    return once(
        "tiny",
        lambda folder: train(config, data=str(prepared), run=str(folder), initial_weights="none"),
    )


@pytest.fixture(scope="session")
def exported(run: Path, once: Once) -> Path:
    """`run` exported as `bone_age/1`; the model folder. Read only."""
    from bone_age_tf.export.export import export_saved_model

    return once(
        "saved_models/bone_age",
        lambda folder: export_saved_model(run=str(run), output=str(folder)),
    )


@pytest.fixture(scope="session")
def deployed(run: Path, once: Once) -> Path:
    """`run` exported as `bone_age/1` with `--serving-kit`; the model folder. Read only."""
    from bone_age_tf.cli import main as cli

    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")

    def export(folder: Path) -> None:
        words = ["export", "--run", str(run), "--output", str(folder), "--serving-kit", "--quiet"]
        assert cli.commands.main(words, standalone_mode=False) == 0

    return once("deployed/bone_age", export)


@pytest.fixture(scope="session")
def kit(deployed: Path) -> Path:
    """Its serving kit. Read only."""
    return deployed / "serving-kit"


@pytest.fixture
def real_data() -> Path:
    """The folder of real radiographs; the test is skipped where there is none."""
    folder = os.environ.get("BONE_AGE_REAL_DATA")
    if not folder:
        pytest.skip("BONE_AGE_REAL_DATA is not set: no real radiographs here")
    return Path(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    can_mount = shutil.which("mount") and os.geteuid() == 0
    if not can_mount or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a file system of a few MiB")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill_disk(disk: Path, leave: int) -> Path:
    """A file that leaves this many bytes free."""
    ballast = disk / "ballast"
    usage = os.statvfs(disk)
    ballast.write_bytes(bytes(usage.f_bavail * usage.f_frsize - leave))
    return ballast


@pytest.fixture(scope="session")
def start() -> Iterator[Callable[..., Any]]:
    """Starts servers that end with the session."""
    from running_server import Running

    running = []

    def starting(model: Path, **settings: Any) -> Running:
        running.append(Running(model, **settings))
        return running[-1]

    yield starting
    for one in running:
        one.close()


@pytest.fixture(scope="session")
def server(exported: Path, start: Callable[..., Any]) -> Any:
    """A running server of the exported model."""
    return start(exported)


@pytest.fixture(scope="session")
def guarded(exported: Path, start: Callable[..., Any]) -> Any:
    """A running server that asks for a token, knows another name and takes one radiograph at a time."""
    return start(
        exported,
        token="a-long-secret-of-the-tests",
        allowed_hosts=("reading-room.example",),
        max_in_flight=1,
    )


@pytest.fixture(scope="session")
def client() -> Iterator[httpx.Client]:
    """For requests to it."""
    with httpx.Client(timeout=60) as one:
        yield one
