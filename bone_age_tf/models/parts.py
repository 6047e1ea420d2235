"""A network of the bone age in two parts: what the trunk sees, and what the head makes of it."""

import keras


def split(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """`build_bone_age_model`'s network -> (trunk, head), which share its variables.

    Trunk: `image` and `sex` -> feature maps [N, h, w, c]. Head: [feature maps, sex] -> months [N].
    """
    names = {layer.name for layer in network.layers}
    features = network.get_layer("pool" if "pool" in names else "flat").input
    trunk = keras.Model(network.inputs, features, name="trunk")
    return trunk, keras.Model([features, network.input["sex"]], network.output, name="head")
