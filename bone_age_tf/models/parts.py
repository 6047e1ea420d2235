"""A bone-age network split into backbone and head."""

import keras


def split(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """`build_bone_age_model`'s network -> (backbone, head), which share its variables.

    Backbone: `image` and `sex` -> feature maps [N, h, w, c]. Head: [feature maps, sex] -> months [N].
    """
    names = {layer.name for layer in network.layers}
    features = network.get_layer("pool" if "pool" in names else "flat").input
    backbone = keras.Model(network.inputs, features, name="trunk")
    return backbone, keras.Model([features, network.input["sex"]], network.output, name="head")
