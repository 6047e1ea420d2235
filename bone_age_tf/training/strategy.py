"""The only place that knows `tf.distribute`, devices and what precision they compute in."""

from pathlib import Path

import tensorflow as tf

_BF16_FLAGS = ("avx512_bf16", "amx_bf16")


def choose_strategy() -> tf.distribute.Strategy:
    """MirroredStrategy over all GPUs where there are several, one device otherwise."""
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.MirroredStrategy() if len(gpus) > 1 else tf.distribute.get_strategy()


def choose_precision(setting: str) -> str:
    """A Keras dtype policy: the setting, or for `auto` bfloat16 where the device computes in it."""
    if setting != "auto":
        return setting
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        capability = min(detail.get("compute_capability", (0, 0)) for detail in details)
        return _gpu_precision(capability)
    flags = Path("/proc/cpuinfo")
    has_bf16 = flags.exists() and any(flag in flags.read_text() for flag in _BF16_FLAGS)
    return "mixed_bfloat16" if has_bf16 else "float32"


def _gpu_precision(capability: tuple[int, int]) -> str:
    if capability >= (8, 0):
        return "mixed_bfloat16"
    return "mixed_float16" if capability >= (7, 0) else "float32"
