"""Batch normalization by the fused kernel, and synchronized over all devices of a run.

On TensorFlow, Keras 3 computes it from some ten operations; the fused kernel makes a step of
InceptionV3 on a CPU 1.14 (float32) to 1.34 times (bfloat16) as fast (`benchmarks/`).
"""

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

_FUSED_DTYPES = ("float32", "bfloat16", "float16")


@keras.saving.register_keras_serializable(package="bone_age_tf")
class BatchNormalization(keras.layers.BatchNormalization):
    """Same weights, configuration and results as Keras' layer; inputs of rank 4, channels last.

    It has the same class name, too: Keras' weight files call a layer's group after its class.
    """

    def call(self, inputs, training=None, mask=None):  # type: ignore[override]
        """[N, h, w, c] normalized; falls back to Keras where the kernel does not apply."""
        channels_last = len(inputs.shape) == 4 and self.axis in (-1, 3)
        special = mask is not None or self.renorm or self.synchronized
        special = special or self.variable_dtype != "float32"
        dtype = keras.backend.standardize_dtype(inputs.dtype)
        if special or not channels_last or dtype not in _FUSED_DTYPES:
            return super().call(inputs, training=training, mask=mask)
        return self._fused(inputs, bool(training and self.trainable))

    def _fused(self, inputs, is_training: bool):
        channels = (inputs.shape[-1],)
        mean = tf.convert_to_tensor(self.moving_mean)
        variance = tf.convert_to_tensor(self.moving_variance)
        fused = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels),
            offset=tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels),
            mean=tf.zeros([0]) if is_training else mean,
            variance=tf.zeros([0]) if is_training else variance,
            epsilon=self.epsilon,
            is_training=is_training,
        )
        if is_training:
            # The kernel returns the unbiased variance; Keras keeps that of the batch itself.
            count = tf.cast(tf.size(inputs, tf.int64) // channels[0], tf.float32)
            biased = fused.batch_variance * (tf.maximum(count - 1.0, 1.0) / count)
            share = 1.0 - self.momentum
            for kept, old, new in (
                (self.moving_mean, mean, fused.batch_mean),
                (self.moving_variance, variance, biased),
            ):
                moved = old * self.momentum + new * share
                kept.assign(tf.where(tf.math.is_finite(moved), moved, old))
        return fused.y


def fuse_normalization(model: keras.Model) -> None:
    """Make every batch normalization of Keras' in the model one of this class, where it stands.

    `keras.models.clone_model` would change the order of the layers, and with it which weights a
    weight file gives to which layer. Does nothing on other backends than TensorFlow.
    """
    if keras.backend.backend() != "tensorflow":
        return
    for layer in model.layers:
        if type(layer) is keras.layers.BatchNormalization:
            object.__setattr__(layer, "__class__", BatchNormalization)


def synchronize_normalization(model: keras.Model) -> None:
    """Take the statistics of a batch over all devices, for a model that is trained on several."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
