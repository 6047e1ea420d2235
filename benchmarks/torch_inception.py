"""The network of the recipe `default` in PyTorch, trained on random images, for `training_speed.py`.

InceptionV3 with the layers of `keras.applications` (21,802,784 parameters), the sex branch, the head,
AdamW, L1; channels last, bfloat16 by autocast, augmentation with OpenCV in worker processes. Runs
in an environment with torch, numpy and cv2, and imports nothing from this project:

    echo 10 | python benchmarks/torch_inception.py PIXELS.npy --precision bfloat16

Each line of standard input is a number of steps to time; each line of output is the result of one round.
"""

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

BACKBONE_PARAMETERS = 21_802_784
AGE_MEAN_MONTHS, AGE_SD_MONTHS = 127.0, 41.0
UNTIMED_STEPS = 3


# === Model ===


class ConvBatchNorm(nn.Module):
    """Convolution without bias, batch normalization without scale, ReLU."""

    def __init__(
        self, inputs: int, filters: int, rows: int, columns: int, stride: int = 1, same: bool = True
    ) -> None:
        super().__init__()
        padding = (rows // 2, columns // 2) if same else 0
        self.convolution = nn.Conv2d(
            inputs, filters, (rows, columns), stride=stride, padding=padding, bias=False
        )
        nn.init.xavier_uniform_(self.convolution.weight)
        self.norm = nn.BatchNorm2d(filters, eps=1e-3, momentum=0.01)
        self.norm.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, inputs, h, w] -> [N, filters, h', w']."""
        return F.relu(self.norm(self.convolution(x)), inplace=True)


def _chain(inputs: int, *layers: tuple[int, int, int]) -> nn.Sequential:
    """Convolutions (filters, rows, columns) one after another, padded to the same size."""
    parts = []
    for filters, rows, columns in layers:
        parts.append(ConvBatchNorm(inputs, filters, rows, columns))
        inputs = filters
    return nn.Sequential(*parts)


def _pooled(inputs: int, filters: int) -> nn.Sequential:
    pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return nn.Sequential(pool, ConvBatchNorm(inputs, filters, 1, 1))


class Branches(nn.Module):
    """Branches of one input, concatenated along the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, c, h, w] -> [N, sum of the branches' channels, h', w']."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def _mixed_35(inputs: int, pool: int) -> Branches:
    return Branches(
        _chain(inputs, (64, 1, 1)),
        _chain(inputs, (48, 1, 1), (64, 5, 5)),
        _chain(inputs, (64, 1, 1), (96, 3, 3), (96, 3, 3)),
        _pooled(inputs, pool),
    )


def _mixed_17(n: int) -> Branches:
    return Branches(
        _chain(768, (192, 1, 1)),
        _chain(768, (n, 1, 1), (n, 1, 7), (192, 7, 1)),
        _chain(768, (n, 1, 1), (n, 7, 1), (n, 1, 7), (n, 7, 1), (192, 1, 7)),
        _pooled(768, 192),
    )


def _mixed_8(inputs: int) -> Branches:
    def split() -> Branches:
        return Branches(_chain(384, (384, 1, 3)), _chain(384, (384, 3, 1)))

    return Branches(
        _chain(inputs, (320, 1, 1)),
        nn.Sequential(_chain(inputs, (384, 1, 1)), split()),
        nn.Sequential(_chain(inputs, (448, 1, 1), (384, 3, 3)), split()),
        _pooled(inputs, 192),
    )


def inception_v3() -> nn.Sequential:
    """The layers of `keras.applications.InceptionV3(include_top=False)`."""
    return nn.Sequential(
        ConvBatchNorm(3, 32, 3, 3, stride=2, same=False),
        ConvBatchNorm(32, 32, 3, 3, same=False),
        ConvBatchNorm(32, 64, 3, 3),
        nn.MaxPool2d(3, stride=2),
        ConvBatchNorm(64, 80, 1, 1, same=False),
        ConvBatchNorm(80, 192, 3, 3, same=False),
        nn.MaxPool2d(3, stride=2),
        _mixed_35(192, 32),
        _mixed_35(256, 64),
        _mixed_35(288, 64),
        Branches(
            ConvBatchNorm(288, 384, 3, 3, stride=2, same=False),
            nn.Sequential(
                _chain(288, (64, 1, 1), (96, 3, 3)),
                ConvBatchNorm(96, 96, 3, 3, stride=2, same=False),
            ),
            nn.MaxPool2d(3, stride=2),
        ),
        _mixed_17(128),
        _mixed_17(160),
        _mixed_17(160),
        _mixed_17(192),
        Branches(
            nn.Sequential(
                _chain(768, (192, 1, 1)), ConvBatchNorm(192, 320, 3, 3, stride=2, same=False)
            ),
            nn.Sequential(
                _chain(768, (192, 1, 1), (192, 1, 7), (192, 7, 1)),
                ConvBatchNorm(192, 192, 3, 3, stride=2, same=False),
            ),
            nn.MaxPool2d(3, stride=2),
        ),
        _mixed_8(1280),
        _mixed_8(2048),
    )


class BoneAge(nn.Module):
    """Backbone + sex branch + head -> months. The backbone runs in `precision`, the rest in float32."""

    def __init__(self, precision: str) -> None:
        super().__init__()
        self.low_precision = precision == "bfloat16"
        self.backbone = inception_v3()
        self.sex_embedding = nn.Embedding(3, 32)
        self.sex_branch = nn.Linear(32, 32)
        self.joint = nn.Linear(2048 + 32, 512)
        self.score = nn.Linear(512, 1)

    def forward(self, image: torch.Tensor, sex: torch.Tensor) -> torch.Tensor:
        """uint8 [N, h, w], int64 [N] -> months, float32 [N]."""
        grey = image[:, None].float() / 127.5 - 1
        rgb = grey.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.low_precision):
            features = self.backbone(rgb)
        pooled = features.float().mean(dim=(2, 3))
        sex_features = F.relu(self.sex_branch(self.sex_embedding(sex)))
        joined = F.dropout(torch.cat([pooled, sex_features], dim=1), 0.3, self.training)
        joined = F.dropout(F.relu(self.joint(joined)), 0.3, self.training)
        return self.score(joined)[:, 0] * AGE_SD_MONTHS + AGE_MEAN_MONTHS


def keras_parameters(backbone: nn.Module) -> int:
    """Parameter count as in Keras: kernels, offsets, moving means and variances, but no fixed scales."""
    fixed = sum(p.numel() for p in backbone.parameters() if not p.requires_grad)
    statistics = sum(b.numel() for b in backbone.buffers() if b.ndim)
    return sum(p.numel() for p in backbone.parameters()) - fixed + statistics


# === Data ===


class Radiographs(torch.utils.data.Dataset):
    """Raw pixels in memory, augmented on each access."""

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = pixels

    def __len__(self) -> int:
        """The size of a real data set, so that workers are not restarted frequently."""
        return 1_000_000

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int, float]:
        """An augmented radiograph uint8 [h, w], its sex, its months."""
        rng = np.random.default_rng(index)
        image = augment(self._pixels[index % len(self._pixels)], rng)
        sex = 2 if rng.random() < 0.1 else index % 2
        return torch.from_numpy(image), sex, 20.0 + index % 200


def augment(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Rotation, shift, zoom, mirror, gamma, as `bone_age_tf.data.augmentation` with its default ranges."""
    height, width = image.shape
    numbers = rng.uniform(-1, 1, 6)
    angle, zoom = math.radians(15 * numbers[0]), math.exp(-numbers[1] * math.log1p(0.12))
    flip = -1.0 if numbers[2] < 0 else 1.0
    a, b = math.cos(angle) * zoom * flip, -math.sin(angle) * zoom
    c, d = math.sin(angle) * zoom * flip, math.cos(angle) * zoom
    x, y = (width - 1) / 2, (height - 1) / 2
    inverse = np.array(
        [
            [a, b, x + numbers[3] * 0.08 * width - a * x - b * y],
            [c, d, y + numbers[4] * 0.08 * height - c * x - d * y],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, inverse, (width, height), flags=flags)
    curve = 255 * (np.arange(256) / 255) ** math.exp(numbers[5] * math.log(1.33))
    return cv2.LUT(warped, np.round(curve).astype(np.uint8))


def _one_thread(worker: int) -> None:
    del worker
    cv2.setNumThreads(0)


def batches(pixels: np.ndarray, batch_size: int, workers: int) -> Iterator[list[torch.Tensor]]:
    """Endless batches."""
    _one_thread(0)
    return iter(
        torch.utils.data.DataLoader(
            Radiographs(pixels),
            batch_size,
            shuffle=True,
            num_workers=workers,
            worker_init_fn=_one_thread,
            drop_last=True,
        )
    )


# === Rounds ===


def peak_mb() -> float:
    """Peak resident set of this process, plus the private memory of its workers, in MB."""
    status = Path("/proc/self/status").read_text()
    kilobytes = int(re.search(r"VmHWM:\s+(\d+)", status).group(1))
    for worker in torch.multiprocessing.active_children():
        held = Path(f"/proc/{worker.pid}/smaps_rollup").read_text()
        kilobytes += int(re.search(r"Private_Dirty:\s+(\d+)", held).group(1))
    return kilobytes / 1024


def main() -> None:
    """Warm up, then run one round per line of standard input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pixels", type=Path, help="uint8 [n, h, w] as .npy")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)  # as TensorFlow does
    torch.manual_seed(0)

    data = batches(np.load(arguments.pixels), arguments.batch, arguments.workers)
    model = BoneAge(arguments.precision).to(memory_format=torch.channels_last).train()
    if (count := keras_parameters(model.backbone)) != BACKBONE_PARAMETERS:
        raise SystemExit(f"The backbone has {count} parameters, not {BACKBONE_PARAMETERS}.")
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=1e-3, fused=True)
    predict = torch.compile(model) if arguments.compile else model

    def step(image: torch.Tensor, sex: torch.Tensor, months: torch.Tensor) -> float:
        optimizer.zero_grad(set_to_none=True)
        loss = F.l1_loss(predict(image, sex), months.float()) / AGE_SD_MONTHS
        loss.backward()
        optimizer.step()
        return loss.item()

    for _ in range(UNTIMED_STEPS):
        step(*next(data))
    print(json.dumps({"ready": f"PyTorch {torch.__version__}"}), flush=True)
    for line in sys.stdin:
        step(*next(data))
        waiting, start = 0.0, time.perf_counter()
        for _ in range(int(line)):
            waiting_from = time.perf_counter()
            batch = next(data)
            waiting += time.perf_counter() - waiting_from
            step(*batch)
        seconds = time.perf_counter() - start
        result = {
            "images_per_second": int(line) * arguments.batch / seconds,
            "waiting_share": waiting / seconds,
            "peak_mb": peak_mb(),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
