/**
 * @file Keeps ONNX Runtime from measuring its use, which it does unasked: an identifier and events that wait to be sent, in the
 * user's home folder. It looks once, when it is loaded: this is imported before it, and nothing else imports it.
 */

import { isMainThread } from "node:worker_threads";

// What a thread sets is seen by that thread alone.
if (!isMainThread && process.env.ORT_DISABLE_TELEMETRY !== "1")
  process.emitWarning(
    "ONNX Runtime measures its use, which cannot be turned off in a worker thread: set ORT_DISABLE_TELEMETRY=1 where the program is started, or import probeward in its main thread first",
  );
process.env.ORT_DISABLE_TELEMETRY = "1";
