#!/usr/bin/env bash
# A map field of a gRPC message is a list of key and value in @grpc/proto-loader, if it was loaded from a descriptor set.
#
# Versions: @grpc/proto-loader 0.8.1 (protobufjs 7) of npm, protobuf 6.31.1 of PyPI; seen on Node 20, Python 3.11.
# Behaviour: from the .proto file a map is an object by key. From the FileDescriptorSet of the same file (loadFileDescriptorSetFromBuffer)
#   the object is refused, "array expected"; [{key, value}, ...] gives the same bytes, and answers have that form. A list given to the
#   .proto file's map is not refused: it makes an entry "0" with the value 0.
# A good guess: both are the same API, as the descriptor says `map_entry`.
# Why it matters: TensorFlow Serving's protos come compiled in a Python package; who hands a Node client the descriptors instead of the .proto
#   files must write `inputs` and read `outputs` of Predict, both maps, in another way than every example.
set -euo pipefail
command -v npm >/dev/null && command -v node >/dev/null || { echo "needs Node and npm: apt-get install nodejs npm"; exit 77; }
FOLDER=$(mktemp -d)
trap 'rm -rf "$FOLDER"' EXIT
cd "$FOLDER"

"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install --quiet protobuf==6.31.1
venv/bin/python - <<'EOS'
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorSet

one = FileDescriptorSet()
file = one.file.add(name="call.proto", package="example", syntax="proto3")
message = file.message_type.add(name="Request")
message.field.add(name="inputs", number=1, label=Field.LABEL_REPEATED, type=Field.TYPE_MESSAGE, type_name=".example.Request.InputsEntry")
entry = message.nested_type.add(name="InputsEntry")
entry.options.map_entry = True
entry.field.add(name="key", number=1, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL, type=Field.TYPE_INT32)
service = file.service.add(name="Service")
service.method.add(name="Call", input_type=".example.Request", output_type=".example.Request")
with open("call.desc", "wb") as stream:
    stream.write(one.SerializeToString())
EOS
cat >call.proto <<'EOS'
syntax = "proto3";
package example;
message Request { map<string, int32> inputs = 1; }
service Service { rpc Call(Request) returns (Request); }
EOS
echo '{}' >package.json
npm install --silent --no-audit --prefer-offline @grpc/proto-loader@0.8.1 >/dev/null
cat >show.mjs <<'EOS'
import { readFileSync } from "node:fs";
import loader from "@grpc/proto-loader";

const methods = {
  "from .proto": loader.loadSync("call.proto")["example.Service"].Call,
  "from descriptors": loader.loadFileDescriptorSetFromBuffer(readFileSync("call.desc"))["example.Service"].Call,
};
for (const [name, method] of Object.entries(methods)) {
  for (const inputs of [{ sex: 1 }, [{ key: "sex", value: 1 }]]) {
    let said;
    try {
      const bytes = method.requestSerialize({ inputs });
      said = `${bytes.toString("hex")} = ${JSON.stringify(method.requestDeserialize(bytes).inputs)}`;
    } catch (error) {
      said = error.message;
    }
    console.log(`${name}, ${JSON.stringify(inputs)}: ${said}`);
  }
}
EOS
node show.mjs | tee said.txt
diff said.txt - <<'EOS'
from .proto, {"sex":1}: 0a070a037365781001 = {"sex":1}
from .proto, [{"key":"sex","value":1}]: 0a050a01301000 = {"0":0}
from descriptors, {"sex":1}: .example.Request.inputs: array expected
from descriptors, [{"key":"sex","value":1}]: 0a070a037365781001 = [{"key":"sex","value":1}]
EOS
