#!/usr/bin/env bash
# A session whose configuration switches TensorFlow's graph optimizer off still optimizes the functions of a SavedModel.
#
# Versions: tensorflow-cpu 2.21.0; seen on Python 3.11.
# Behaviour: with `disable_meta_optimizer`, the session's own graph is left alone, and each function that it calls is
#   optimized by itself when it is first run, with default settings: a call node carries a configuration of its own
#   (`config_proto`), and that of a SavedModel is empty. As signatures are functions, almost everything is optimized.
# A good guess: a setting of the session holds for what the session runs.
# Why it matters: with a large graph of many functions, such as one that prepares pictures, the first prediction takes
#   longer with the optimizer off than on. Single passes that are switched off by name stay off: then the session
#   inlines the functions into its own graph.
set -euo pipefail
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet tensorflow-cpu==2.21.0

cat >model.py <<'EOF'
import sys

import numpy as np
import tensorflow as tf

SPEC = [tf.TensorSpec([None, 64])]


class Model(tf.Module):
    def __init__(self):
        self.weights = tf.Variable(tf.ones([64, 64]))

    @tf.function(input_signature=SPEC, autograph=False)
    def __call__(self, x):
        return {"y": tf.matmul(x, self.weights) + tf.reduce_sum(x * 0.5)}


if sys.argv[1] == "save":
    model = Model()
    tf.saved_model.save(model, "saved", signatures=model.__call__)
    sys.exit()
config = tf.compat.v1.ConfigProto()
config.graph_options.rewrite_options.disable_meta_optimizer = sys.argv[1] == "off"
with tf.Graph().as_default(), tf.compat.v1.Session(config=config) as session:
    signature = tf.compat.v1.saved_model.load(session, ["serve"], "saved").signature_def["serving_default"]
    x, y = signature.inputs["x"].name, signature.outputs["y"].name
    session.run(y, {x: np.ones((2, 64), np.float32)})
EOF
venv/bin/python model.py save 2>/dev/null
for optimizer in on off; do
  TF_CPP_MAX_VLOG_LEVEL=1 TF_CPP_VMODULE=meta_optimizer=1 venv/bin/python model.py $optimizer >log 2>&1
  grep -o 'Starting optimization for grappler item: .*' log | sed -E 's/.*: //; s/__inference_(.*)_[0-9]+$/function \1/' |
    sort -u | sed "s/^/optimizer $optimizer: optimized /"
done | tee said.txt
grep -qx 'optimizer on: optimized tf_graph' said.txt
test "$(grep -c '^optimizer on:' said.txt)" = 1
grep -q '^optimizer off: optimized function signature_wrapper' said.txt
! grep -q '^optimizer off: optimized tf_graph' said.txt
