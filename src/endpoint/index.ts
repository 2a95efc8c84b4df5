/** @file What others may use of the endpoint. */

export { createEndpoint, type EndpointOptions } from "./app.ts";
export type { Served } from "./request.ts";
