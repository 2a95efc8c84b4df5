/** @file What others may use of the server. */

export { startServer } from "./server.ts";
