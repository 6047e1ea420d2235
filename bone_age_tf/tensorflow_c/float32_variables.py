"""float16 variables of a SavedModel, restored as float32.

A graph that stores its weights as float16 casts them for every use, and TensorFlow keeps no result: each call casts all of
them again, and both copies are in memory. Here the variables themselves become float32; what is restored from the disk
is cast, once. The numbers are the same, since every float16 is a float32.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bone_age_tf.tensorflow_c.protos import node_def_pb2, types_pb2
from bone_age_tf.tensorflow_c.rewriting import read_graph, rewritten

log = logging.getLogger(__name__)

_FLOAT, _HALF = types_pb2.DT_FLOAT, types_pb2.DT_HALF
_TYPE = {
    "VarHandleOp": "dtype",
    "ReadVariableOp": "dtype",
    "AssignVariableOp": "dtype",
    "Cast": "SrcT",
}
"""Operation -> its attribute that becomes float32."""


@contextlib.contextmanager
def with_float32_variables(folder: Path) -> Iterator[Path]:
    """A folder with the same SavedModel, which computes the same; `folder` itself where it has no such variables, or
    computes with float16."""
    saved = read_graph(folder)
    (meta_graph,) = saved.meta_graphs
    if not _can_change(meta_graph):
        yield folder
        return
    for nodes in _bodies(meta_graph):
        _change(nodes)
    with contextlib.ExitStack() as stack:
        try:
            changed = stack.enter_context(rewritten(saved, folder))
        except OSError as error:
            log.warning(
                f"Loaded as stored, which is slower: no temporary folder can be written to ({error})."
            )
            changed = folder
        yield changed


def _can_change(meta_graph: Any) -> bool:
    """Whether it has float16 variables, each of which is cast where it is used. What would save them is removed."""
    is_stored = any(_is_half(node) for node in meta_graph.graph_def.node)
    if is_stored:
        _remove_saving(meta_graph)
    used = [nodes for nodes in _bodies(meta_graph) if all(n.op != "RestoreV2" for n in nodes)]
    return is_stored and not any(
        node.op not in _TYPE and any(map(_names_half, node.attr.values()))
        for nodes in used
        for node in nodes
    )


def _bodies(meta_graph: Any) -> list[Any]:
    """The nodes of the graph, and of each of its functions."""
    functions = meta_graph.graph_def.library.function
    return [meta_graph.graph_def.node, *(function.node_def for function in functions)]


def _remove_saving(meta_graph: Any) -> None:
    name = meta_graph.saver_def.save_tensor_name.partition(":")[0]
    nodes, functions = meta_graph.graph_def.node, meta_graph.graph_def.library.function
    for node in [node for node in nodes if node.name == name]:
        saving = node.attr["f"].func.name
        nodes.remove(node)
        for function in [one for one in functions if one.signature.name == saving]:
            functions.remove(function)


def _change(nodes: Any) -> None:
    for node in [node for node in nodes if _is_half(node)]:
        node.attr[_TYPE[node.op]].type = _FLOAT
        if node.op == "AssignVariableOp":
            restored = node_def_pb2.NodeDef(name=f"{node.name}_float32", op="Cast")
            restored.input.append(node.input[1])
            restored.attr["SrcT"].type, restored.attr["DstT"].type = _HALF, _FLOAT
            node.input[1] = f"{restored.name}:y:0"
            nodes.append(restored)


def _is_half(node: Any) -> bool:
    return node.op in _TYPE and node.attr[_TYPE[node.op]].type == _HALF


def _names_half(attribute: Any) -> bool:
    return attribute.type == _HALF or _HALF in attribute.list.type
