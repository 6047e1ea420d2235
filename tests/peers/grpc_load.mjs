// Some gRPC clients at once, until a time: node grpc_load.mjs PROTOS ADDRESS CLIENTS SECONDS
// On stdin {requests, ca, authority, token}; prints a line of JSON for each call: which, code, details, started and ended
// (seconds since 1970), version and months.
import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const [protos, address, clients, seconds] = process.argv.slice(2);
const { requests, ca, authority, token } = JSON.parse(readFileSync(0));
const definition = loader.loadSync("tensorflow_serving/apis/prediction_service.proto", {
  includeDirs: [protos],
  keepCase: true,
  longs: Number,
  enums: String,
});
const { PredictionService } = grpc.loadPackageDefinition(definition).tensorflow.serving;
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${token}`);
const names = { "grpc.ssl_target_name_override": authority, "grpc.default_authority": authority };
const credentials = grpc.credentials.createSsl(readFileSync(ca));
const end = Date.now() + 1000 * Number(seconds);
const later = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

function call(client, which) {
  const started = Date.now() / 1000;
  return new Promise((resolve) => {
    client.Predict(requests[which], metadata, { deadline: Date.now() + 120_000 }, (error, answer) => {
      const { code = 0, details = "" } = error ?? {};
      const version = answer?.model_spec.version.value;
      const months = answer?.outputs.bone_age_months.float_val[0];
      resolve({ which, code: grpc.status[code], details, started, ended: Date.now() / 1000, version, months });
    });
  });
}

async function one(number) {
  const alone = { ...names, "grpc.use_local_subchannel_pool": 1 };
  const client = new PredictionService(address, credentials, alone);
  for (let turn = number; Date.now() < end; turn += 1) {
    const said = await call(client, turn % requests.length);
    console.log(JSON.stringify(said));
    if (said.code === "UNAVAILABLE") await later(500 + 1000 * Math.random());
  }
  client.close();
}

await Promise.all(Array.from({ length: Number(clients) }, (_, number) => one(number)));
