/** @file Starts the server. */

import { resolve } from "node:path";
import { UsageError } from "../errors.ts";
import { listenAt, type RunningServer } from "../listen.ts";
import { statIfPresent } from "../store/index.ts";

import { type AppOptions, createApp } from "./app.ts";

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
  return listenAt(app.fetch, { host: options.host, port });
}
