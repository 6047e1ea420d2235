import subprocess
import sys

import pytest

CODE = """
import sys
import bone_age_tf.dicom_output.folder, bone_age_tf.report.fhir, bone_age_tf.serving.server
from bone_age_tf.tensorflow_c.protos import tensor_pb2
assert not {"tensorflow", "tensorflow.python", "keras"} & set(sys.modules)
if len(sys.argv) > 1:
    import tensorflow as tf
    assert tf.make_tensor_proto([1.0]).__class__ is tensor_pb2.TensorProto
    assert tf.constant(3).numpy() == 3
"""
"""With an argument: and TensorFlow can still be imported."""


def test_predictions_and_servers_do_not_import_tensorflow() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)


def test_a_server_does_not_import_pandas() -> None:
    """80 MB, and it has no table."""
    code = "import bone_age_tf.serving.server, sys; assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.large
def test_tensorflow_is_whole_afterwards() -> None:
    subprocess.run([sys.executable, "-c", CODE, "import"], check=True)
