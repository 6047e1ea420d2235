"""`predict` on DICOM files against the same radiographs as 16-bit PNG, and against the decoder alone.

    python benchmarks/dicom_speed.py [--files 50 200] [--model MODEL]

The files are DX of 12 bit, 2,500 x 2,000 pixels, JPEG Lossless (Selection Value 1) written by GDCM: drawn
hands with noise, each other. Processor time, user and system, with that of child processes: other
load on the machine does not lengthen it. The decoder alone is GDCM, called by pydicom.
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pydicom

from bone_age_tf.config import PhantomConfig
from bone_age_tf.data_prep.phantom import dicom, draw
from bone_age_tf.files.images import list_files

HEIGHT, WIDTH = 2500, 2000
HANDS = 4
NOISE = 12.0
"""Standard deviation, of 4096 grey levels."""


class Used(NamedTuple):
    """What a program took."""

    cpu: float
    """Seconds."""
    peak: float
    """MiB of the largest of its processes."""


def radiographs(count: int) -> Iterator[tuple[bytes, np.ndarray]]:
    """A DX file without compression, and its pixels uint16 of 12 bit; no two are the same."""
    rng = np.random.default_rng(0)
    config = PhantomConfig(output="", count=1)
    drawn = [draw(60 + 40 * number, "F", rng, size=HEIGHT) for number in range(HANDS)]
    for number in range(count):
        picture, truth = drawn[number % HANDS]
        encoded = dicom.encode(config, 1, cv2.resize(picture, (WIDTH, HEIGHT)), truth)
        grey = cv2.resize(picture, (WIDTH, HEIGHT)).astype(np.float32) * 15
        noise = rng.normal(0, NOISE, (HEIGHT, WIDTH)).astype(np.float32)
        yield encoded, np.clip(grey + 100 + noise, 0, 4095).astype(np.uint16)


def write_files(count: int, folder: Path) -> None:
    """The same radiographs in `folder/dicom` and `folder/png`."""
    for name in ("dicom", "png"):
        (folder / name).mkdir()
    for number, (encoded, pixels) in enumerate(radiographs(count)):
        dataset = pydicom.dcmread(io.BytesIO(encoded))
        dataset.PixelData = pixels.tobytes()
        plain = folder / "plain.dcm"
        dataset.save_as(plain)
        to_jpeg_lossless(plain, folder / "dicom" / f"{number:04}.dcm")
        full = np.round(pixels * (65535 / 4095)).astype(np.uint16)
        cv2.imwrite(str(folder / "png" / f"{number:04}.png"), full)


def to_jpeg_lossless(path: Path, output: Path) -> None:
    """By GDCM, for pydicom has no encoder."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    assert reader.Read()
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(output))
    assert writer.Write()


def predict(files: list[str], output: Path, model: list[str]) -> Used:
    """`bone-age-tf predict` in a process of its own."""
    arguments = ["predict", *files, "--sex", "F", "--output", str(output), *model]
    command = [sys.executable, "-m", "bone_age_tf", *arguments]
    null = os.open(os.devnull, os.O_WRONLY)
    quiet = [(os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, null, 2)]
    pid = os.posix_spawn(sys.executable, command, os.environ, file_actions=quiet)
    os.close(null)
    _, status, used = os.wait4(pid, 0)
    assert status == 0, f"predict ended with {os.waitstatus_to_exitcode(status)}"
    return Used(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def decode(files: list[str]) -> float:
    """Seconds of the decoder alone, of all files."""
    start = time.process_time()
    for file in files:
        assert pydicom.dcmread(file).pixel_array.shape == (HEIGHT, WIDTH)
    return time.process_time() - start


def main() -> None:
    """Print the table: processor seconds a file, and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", nargs="+", type=int, default=[50, 200])
    parser.add_argument("--model")
    chosen = parser.parse_args()
    model = ["--model", chosen.model] if chosen.model else []
    with tempfile.TemporaryDirectory() as work:
        write_files(max(chosen.files), Path(work))
        print("| files | PNG | decoder alone | DICOM | more than both | peak MiB, PNG | DICOM |")
        print("|---|---|---|---|---|---|---|", flush=True)
        for count in chosen.files:
            print(_row(Path(work), count, model), flush=True)


def _row(work: Path, count: int, model: list[str]) -> str:
    files = {
        kind: [file.path for file in list_files(work / kind)][:count] for kind in ("png", "dicom")
    }
    alone = decode(files["dicom"]) / count
    used = {kind: predict(files[kind], work / f"{kind}-{count}", model) for kind in files}
    png, dcm = (used[kind].cpu / count for kind in ("png", "dicom"))
    return (
        f"| {count} | {png:.3f} | {alone:.3f} | {dcm:.3f} | {dcm - png - alone:+.3f} | "
        f"{used['png'].peak:.0f} | {used['dicom'].peak:.0f} |"
    )


if __name__ == "__main__":
    main()
