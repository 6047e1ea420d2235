"""The TensorFlow operations that an exported model may contain."""

from pathlib import Path

from bone_age_tf.errors import ModelRefusedError
from bone_age_tf.tensorflow_c.protos import saved_model_pb2

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
reaches a file (but for the variables of the model itself), the network, or Python."""


def require_harmless(folder: Path) -> None:
    """Check that a SavedModel contains only `ALLOWED_OPERATIONS`; nothing of it is executed.

    Raises `ModelRefusedError`.
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    operations = {
        node.op
        for meta_graph in saved.meta_graphs
        for nodes in (
            meta_graph.graph_def.node,
            *(function.node_def for function in meta_graph.graph_def.library.function),
        )
        for node in nodes
    }
    foreign = sorted(operations - ALLOWED_OPERATIONS)
    if foreign:
        raise ModelRefusedError(
            f"{folder}: the graph holds {', '.join(foreign)}, which no model of this program needs. "
            "It was not loaded."
        )
