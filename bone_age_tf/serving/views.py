"""The views of prepared radiographs for test-time augmentation, by the operations that a SavedModel makes them with.

For engines that run the network alone, so that it sees the same pixels.
"""

from typing import Any

import numpy as np

from bone_age_tf.serving.tensor_protos import proto_of
from bone_age_tf.tensorflow_c.protos import node_def_pb2, saved_model_pb2, types_pb2
from bone_age_tf.tensorflow_c.rewriting import rewritten
from bone_age_tf.tensorflow_c.saved_model import TAG, SavedModel

_NAME = "view"
_FLOAT, _UINT8 = types_pb2.DT_FLOAT, types_pb2.DT_UINT8


class Views:
    """Warps radiographs of one frame."""

    def __init__(self, frame: tuple[int, int]) -> None:
        with rewritten(_graph(frame)) as folder:
            self._warp = SavedModel.load(folder).signatures[_NAME]

    def __call__(self, images: np.ndarray, transform: np.ndarray) -> np.ndarray:
        """uint8 [N, height, width, 1] and one row of `transforms_of`, float32 [8] -> the view of each, uint8."""
        return self._warp(image=images, transform=transform[np.newaxis])[_NAME]


def _graph(frame: tuple[int, int]) -> Any:
    """A SavedModel of one signature, without variables."""
    saved = saved_model_pb2.SavedModel(saved_model_schema_version=1)
    meta_graph = saved.meta_graphs.add()
    meta_graph.meta_info_def.tags.append(TAG.decode())
    warp = {"dtype": _FLOAT, "interpolation": b"BILINEAR", "fill_mode": b"CONSTANT"}
    meta_graph.graph_def.node.extend(
        [
            _node("image", "Placeholder", dtype=_UINT8),
            _node("transform", "Placeholder", dtype=_FLOAT),
            _node("size", "Const", dtype=types_pb2.DT_INT32, value=np.array(frame, np.int32)),
            _node("fill", "Const", dtype=_FLOAT, value=np.array(0, np.float32)),
            _node("pixels", "Cast", "image", SrcT=_UINT8, DstT=_FLOAT),
            _node(
                *("seen", "ImageProjectiveTransformV3", "pixels", "transform", "size", "fill"),
                **warp,
            ),
            _node("rounded", "Round", "seen", T=_FLOAT),
            _node(_NAME, "Cast", "rounded", SrcT=_FLOAT, DstT=_UINT8),
        ]
    )
    signature = meta_graph.signature_def[_NAME]
    for ends, name, type in (
        (signature.inputs, "image", _UINT8),
        (signature.inputs, "transform", _FLOAT),
        (signature.outputs, _NAME, _UINT8),
    ):
        ends[name].name, ends[name].dtype = f"{name}:0", type
        ends[name].tensor_shape.unknown_rank = True
    return saved


def _node(name: str, operation: str, *inputs: str, **attributes: Any) -> node_def_pb2.NodeDef:
    """A node; an attribute is a type (a number), text (bytes) or a tensor (an array)."""
    node = node_def_pb2.NodeDef(name=name, op=operation, input=inputs)
    for key, value in attributes.items():
        if isinstance(value, np.ndarray):
            node.attr[key].tensor.CopyFrom(proto_of(value))
        elif isinstance(value, bytes):
            node.attr[key].s = value
        else:
            node.attr[key].type = value
    return node
