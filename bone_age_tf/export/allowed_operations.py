"""The TensorFlow operations that an exported model may contain."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from google.protobuf.message import DecodeError

from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.tensorflow_c.protos import meta_graph_pb2, node_def_pb2, saved_model_pb2

ALLOWED_OPERATIONS = frozenset(
    [
        "Abs",
        "Add",
        "AddV2",
        "All",
        "Any",
        "ArgMax",
        "Assert",
        "AssignVariableOp",
        "AvgPool",
        "AvgPoolGrad",
        "BiasAdd",
        "BiasAddGrad",
        "BroadcastTo",
        "Cast",
        "Ceil",
        "ConcatOffset",
        "ConcatV2",
        "Const",
        "Conv2D",
        "Cumsum",
        "DecodeJpeg",
        "DecodePng",
        "DecodeRaw",
        "DenseBincount",
        "DepthwiseConv2dNative",
        "DisableCopyOnRead",
        "DynamicStitch",
        "Elu",
        "EluGrad",
        "EnsureShape",
        "Equal",
        "Erfc",
        "ExpandDims",
        "ExtractJpegShape",
        "Fill",
        "Floor",
        "FloorDiv",
        "FloorMod",
        "FusedBatchNormV3",
        "GatherV2",
        "Greater",
        "GreaterEqual",
        "Identity",
        "IdentityN",
        "If",
        "ImageProjectiveTransformV3",
        "IsNan",
        "LeftShift",
        "Less",
        "LessEqual",
        "Log",
        "LogicalAnd",
        "LogicalNot",
        "LogicalOr",
        "LowerBound",
        "MatMul",
        "Max",
        "MaxPool",
        "Maximum",
        "Mean",
        "MergeV2Checkpoints",
        "Min",
        "Minimum",
        "MirrorPad",
        "Mul",
        "Neg",
        "NoOp",
        "NotEqual",
        "Pack",
        "Pad",
        "PadV2",
        "PartitionedCall",
        "Placeholder",
        "Pow",
        "Prod",
        "Range",
        "ReadVariableOp",
        "RealDiv",
        "Relu",
        "Relu6",
        "ReluGrad",
        "Reshape",
        "RestoreV2",
        "Round",
        "Rsqrt",
        "SaveV2",
        "ScaleAndTranslate",
        "ScatterNd",
        "Select",
        "SelectV2",
        "Shape",
        "ShapeN",
        "ShardedFilename",
        "Sigmoid",
        "Size",
        "Slice",
        "Softmax",
        "Sqrt",
        "Square",
        "SquaredDifference",
        "Squeeze",
        "StatefulPartitionedCall",
        "StatelessCase",
        "StatelessIf",
        "StatelessWhile",
        "StaticRegexFullMatch",
        "StopGradient",
        "StridedSlice",
        "StringJoin",
        "StringLength",
        "Sub",
        "Substr",
        "Sum",
        "TensorListFromTensor",
        "TensorListGetItem",
        "TensorListReserve",
        "TensorListSetItem",
        "TensorListStack",
        "Tile",
        "Transpose",
        "Unpack",
        "UnsortedSegmentMax",
        "VarHandleOp",
        "VarIsInitializedOp",
        "Where",
        "While",
        "ZerosLike",
    ]
)
"""All that the models of this program are made of, with every backbone of the table. None of them
reaches a file (but for `FILE_OPERATIONS`), the network, or Python."""

FILE_OPERATIONS = frozenset(["MergeV2Checkpoints", "RestoreV2", "SaveV2"])
"""Those that read and write the variables. Only the two functions of TensorFlow's saver may hold them."""


def require_harmless(folder: Path) -> None:
    """Check that a SavedModel contains only `ALLOWED_OPERATIONS`, and `FILE_OPERATIONS` only where TensorFlow reads
    and writes its variables; nothing of it is executed.

    Raises `ModelRefusedError`.
    """
    path = folder / "saved_model.pb"
    try:
        saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise ModelRefusedError(f"{path}: not a SavedModel. It was not loaded.") from error
    operations = {
        node.op
        for meta_graph in saved.meta_graphs
        for node in (*meta_graph.graph_def.node, *_in_functions(meta_graph))
    }
    foreign = sorted(operations - ALLOWED_OPERATIONS)
    if foreign:
        raise ModelRefusedError(
            f"{folder}: the graph holds {', '.join(foreign)}, which no model of this program needs. "
            "It was not loaded."
        )
    if not all(map(_only_the_saver_reaches_files, saved.meta_graphs)):
        raise ModelRefusedError(
            f"{folder}: the graph holds {', '.join(sorted(operations & FILE_OPERATIONS))} outside of TensorFlow's "
            "saver, so that a prediction could read or write files. It was not loaded."
        )


def _only_the_saver_reaches_files(meta_graph: meta_graph_pb2.MetaGraphDef) -> bool:
    """Whether the functions that hold `FILE_OPERATIONS` are called by the saver's two nodes alone, and these by nothing."""
    saver = meta_graph.saver_def
    own = {name.partition(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name)}
    nodes = [node for node in meta_graph.graph_def.node if node.name not in own]
    holders = {
        function.signature.name
        for function in meta_graph.graph_def.library.function
        if any(node.op in FILE_OPERATIONS for node in function.node_def)
    }
    called = set(_called([*nodes, *_in_functions(meta_graph)])) | set(_callable(meta_graph))
    used = {name.strip("^").partition(":")[0] for node in nodes for name in node.input}
    used |= {
        tensor.name.partition(":")[0]
        for signature in meta_graph.signature_def.values()
        for tensor in signature.outputs.values()
    }
    used |= {name for one in meta_graph.collection_def.values() for name in one.node_list.value}
    is_direct = any(node.op in FILE_OPERATIONS for node in meta_graph.graph_def.node)
    return not (is_direct or holders & called or own & used)


def _in_functions(meta_graph: meta_graph_pb2.MetaGraphDef) -> Iterator[node_def_pb2.NodeDef]:
    for function in meta_graph.graph_def.library.function:
        yield from function.node_def


def _called(nodes: Iterable[node_def_pb2.NodeDef]) -> Iterator[str]:
    """Names of the functions that nodes call."""
    for node in nodes:
        for value in node.attr.values():
            yield value.func.name
            yield from (function.name for function in value.list.func)


def _callable(meta_graph: meta_graph_pb2.MetaGraphDef) -> Iterator[str]:
    """Names of the functions that can be called from Python or as gradients."""
    objects = meta_graph.object_graph_def
    yield from objects.concrete_functions
    for node in objects.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name
    for gradient in meta_graph.graph_def.library.gradient:
        yield gradient.gradient_func
