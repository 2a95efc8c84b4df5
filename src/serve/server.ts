/** @file Starts and stops the server. */

import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { createAdaptorServer } from "@hono/node-server";
import { UsageError } from "../errors.ts";
import { statIfPresent } from "../store/index.ts";

import { type AppOptions, createApp } from "./app.ts";

export interface RunningServer {
  url: string;
  close(): Promise<void>;
}

/**
 * Serves a study's folder or a folder of studies.
 *
 * @param port 0 takes any that is free
 * @throws if there is no such folder, the address is not free or not this machine's, or the page has not been built
 */
export async function startServer({
  port,
  ...options
}: AppOptions & { port: number }): Promise<RunningServer> {
  const folder = resolve(options.folder);
  if (!(await statIfPresent(folder))?.isDirectory())
    throw new UsageError(
      `${folder}: there is no such folder. Give a study's folder, or a folder of studies.`,
    );
  const app = await createApp({ ...options, folder });
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
  await listen(server, port, options.host);
  const bound = (server.address() as AddressInfo).port;
  const shown = options.host.includes(":") ? `[${options.host}]` : options.host;
  return {
    url: `http://${shown}:${bound}/`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        // Pages that are open would keep it up for ever.
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((done, fail) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const problems: Record<string, string> = {
        EADDRINUSE: `port ${port} is in use. Give another one with --port, or --port 0 for any that is free.`,
        EACCES: `port ${port} is not allowed for this user. Give one above 1023 with --port.`,
        EADDRNOTAVAIL: `${host} is not an address of this machine. Leave --host out for this machine only.`,
        ENOTFOUND: `${host} is not an address of this machine. Leave --host out for this machine only.`,
      };
      fail(new Error(problems[error.code ?? ""] ?? error.message));
    });
    server.listen(port, host, done);
  });
}
