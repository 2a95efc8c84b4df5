/** @file OpenEnv, both ways: environments that others serve, and ours for others. */

export { connectOpenEnv } from "./environment.ts";
export type { EpisodeRecord, Grade, Grader } from "./grader.ts";
export type { Fields, Observed } from "./messages.ts";
export { type EnvironmentServer, type ServingOptions, serveEnvironment } from "./server.ts";
export { OpenEnvRefusal, openSession, type Session } from "./session.ts";
export type { OpenEnvSettings } from "./settings.ts";
