/** @file A server on an address and a port of this machine. */

import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createAdaptorServer } from "@hono/node-server";

export interface RunningServer {
  url: string;
  close(): Promise<void>;
}

/**
 * Serves what answers requests.
 *
 * @param port 0 takes any that is free
 * @throws Error where the address is not free, or not this machine's
 */
export async function listenAt(
  answer: (request: Request) => Response | Promise<Response>,
  { host, port }: { host: string; port: number },
): Promise<RunningServer> {
  const server = createAdaptorServer({ fetch: answer }) as Server;
  await listen(server, port, host);
  const bound = (server.address() as AddressInfo).port;
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${shown}:${bound}/`,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        // What is open would keep it up for ever.
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
