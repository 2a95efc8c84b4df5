/** @file The server's answers: the page, the list of studies, a study, and what changes in it. */

import { Hono } from "hono";
import { type SSEStreamingApi, streamSSE } from "hono/streaming";
import { renderPage } from "../report/index.ts";
import { findStudies } from "./discover.ts";
import { listStudy } from "./listing.ts";
import { guard, securityHeaders } from "./security.ts";
import { StudyWatch, type ViewerMessage } from "./watch.ts";

export interface AppOptions {
  /** A study's folder, or a folder of studies. */
  folder: string;
  /** The address that the server listens on. */
  host: string;
  /** Milliseconds between readings of a study that is looked at. */
  interval?: number;
}

/**
 * Nothing in a request becomes a path: `?study=` is looked up among the studies that were found.
 *
 * - `/`: the page
 * - `/api/studies`: `StudyListing[]`
 * - `/api/study?study=<id>`: `StudyData`
 * - `/api/events?study=<id>`: `ViewerMessage`s as server-sent events
 *
 * @throws if the page has not been built
 */
export async function createApp({ folder, host, interval = 1000 }: AppOptions): Promise<Hono> {
  const page = await renderPage({ live: true });
  const headers = Object.entries(securityHeaders(page));
  const watches = new Map<string, StudyWatch>();
  /** The watch of a study; studies that have come since the last look are found. */
  const watchOf = async (id: string | undefined): Promise<StudyWatch | undefined> => {
    const path = (await findStudies(folder)).get(id ?? ".");
    if (path === undefined) return undefined;
    const watch = watches.get(path) ?? new StudyWatch(path, folder, interval);
    watches.set(path, watch);
    return watch;
  };

  // A study that is served alone is read before anyone asks for it.
  void watchOf(".")
    .then((watch) => watch?.data())
    .catch(() => {});

  const app = new Hono();
  app.use(async (c, next) => {
    await next();
    for (const [name, value] of headers) c.res.headers.set(name, value);
  });
  app.use(guard(host));
  app.get("/", (c) => c.html(page));
  app.get("/api/studies", async (c) => {
    const studies = [...(await findStudies(folder))];
    return c.json(await Promise.all(studies.map(([id, path]) => listStudy(id, path, folder, Date.now()))));
  });
  app.get("/api/study", async (c) => {
    const watch = await watchOf(c.req.query("study"));
    if (watch === undefined) return c.json({ message: "There is no such study." }, 404);
    try {
      return c.body(await watch.data(), 200, { "Content-Type": "application/json" });
    } catch (error) {
      return c.json({ message: (error as Error).message }, 500);
    }
  });
  app.get("/api/events", async (c) => {
    const watch = await watchOf(c.req.query("study"));
    if (watch === undefined) return c.json({ message: "There is no such study." }, 404);
    if (c.req.method === "HEAD") return c.body(null, 200, { "Content-Type": "text/event-stream" });
    return streamSSE(c, (stream) => follow(watch, stream));
  });
  app.notFound((c) => c.text("There is nothing here. The page is at /.\n", 404));
  app.onError((error, c) => c.json({ message: error.message }, 500));
  return app;
}

/** Messages that a viewer may be behind; one that is further behind is cut off, and its browser connects anew. */
const BACKLOG = 32;
/** Milliseconds between signs of life, which tell both sides of a dead connection. */
const HEARTBEAT = 15_000;

/** Sends what a watch tells until the viewer leaves. */
async function follow(watch: StudyWatch, stream: SSEStreamingApi): Promise<void> {
  const waiting: (ViewerMessage | null)[] = [];
  let wake = () => {};
  const send = (message: ViewerMessage | null) => {
    waiting.push(message);
    wake();
  };
  const leave = await watch.view(send);
  const heartbeat = setInterval(() => send(null), HEARTBEAT);
  stream.onAbort(() => wake());
  try {
    while (!stream.aborted && waiting.length < BACKLOG) {
      const message = waiting.shift();
      if (message === undefined)
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      else if (message === null) await stream.write(": \n\n");
      else {
        await stream.write(`event: ${message.event}\ndata: `);
        await stream.write(message.data);
        await stream.write("\n\n");
      }
    }
  } finally {
    clearInterval(heartbeat);
    leave();
  }
}
