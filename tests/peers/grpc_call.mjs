// One gRPC call of a client that is not Python: node grpc_call.mjs PROTOS ADDRESS SERVICE METHOD
// The request is JSON on stdin, with `authority`, `ca` and `token` beside it. Prints {code, details, answer} as JSON.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const MEBIBYTES = 2 ** 20;
const FILES = { ModelService: "model_service", PredictionService: "prediction_service" };
const [protos, address, service, method] = process.argv.slice(2);
const { request, ca, authority, token } = JSON.parse(readFileSync(0));

const definition = loader.loadSync(`tensorflow_serving/apis/${FILES[service]}.proto`, {
  includeDirs: [protos],
  keepCase: true,
  longs: Number,
  enums: String,
  bytes: String,
});
const metadata = new grpc.Metadata();
if (token) metadata.set("authorization", `Bearer ${token}`);
const credentials = ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure();
const names = authority ? { "grpc.ssl_target_name_override": authority, "grpc.default_authority": authority } : {};
const options = { ...names, "grpc.max_receive_message_length": 64 * MEBIBYTES };
const client = new (grpc.loadPackageDefinition(definition).tensorflow.serving[service])(address, credentials, options);

client[method](request, metadata, { deadline: Date.now() + 60_000 }, (error, answer) => {
  const { code = 0, details = "" } = error ?? {};
  process.stdout.write(JSON.stringify({ code: grpc.status[code], details, answer: unpacked(answer) }));
  client.close();
});

/** The signatures, which are a message of a type of their own inside. */
function unpacked(answer) {
  const packed = answer?.metadata?.signature_def;
  if (!packed) return answer;
  const type = definition["tensorflow.serving.SignatureDefMap"];
  return { ...answer, metadata: { signature_def: type.deserialize(Buffer.from(packed.value, "base64")) } };
}
