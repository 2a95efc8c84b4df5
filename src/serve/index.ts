/** @file What others may use of the server. */

export { isLoopback } from "./security.ts";
export { type RunningServer, startServer } from "./server.ts";
