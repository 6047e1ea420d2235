"""Networks, in Keras layers and `keras.ops` only, so that weights fit every Keras backend."""
