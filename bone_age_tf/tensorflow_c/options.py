"""How TensorFlow runs a SavedModel: with the graph's optimizations that pay, and no others.

Each signature is optimized when it first runs. The whole default is more than half of what a prediction of one file
costs, and of it only the fusion of convolutions with what follows them makes later runs faster.
"""

import functools

from bone_age_tf.tensorflow_c.protos import config_pb2, rewriter_config_pb2

_OFF = (
    "arithmetic_optimization",
    "common_subgraph_elimination",
    "constant_folding",
    "dependency_optimization",
    "layout_optimizer",
    "loop_optimization",
    "shape_optimization",
)
"""Of `RewriterConfig`. On: inlining of functions, and the fusions (`remapping`)."""


@functools.cache
def session_config() -> bytes:
    """A `ConfigProto`."""
    config = config_pb2.ConfigProto()
    rewriting = config.graph_options.rewrite_options
    for name in _OFF:
        setattr(rewriting, name, rewriter_config_pb2.RewriterConfig.OFF)
    rewriting.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    rewriting.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    return config.SerializeToString()
