/** @file What others may use of the server. */

export { type RunningServer, startServer } from "./server.ts";
