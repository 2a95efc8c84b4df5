/**
 * @file The playground measured in Chromium: node bench/playground.mjs [--isolated] [--query=<what is behind ? in a link> | --study=<folder>] [--every=<n>].
 *
 * Built before by `npm run playground`. Prints what was downloaded until the first step, when something was first seen, how long a step takes, and, every n
 * steps, the memory of the tab's process and of the thread that trains, as JSON lines. `--isolated` sends the headers that threads need; `--study` takes in
 * a study that the command line has begun, and goes on with it.
 */

import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { serve } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { zipSync } from "fflate";
import { Hono } from "hono";
import { chromium } from "playwright-core";

const { values: asked } = parseArgs({
  options: {
    isolated: { type: "boolean", default: false },
    query: { type: "string", default: "arms=none" },
    study: { type: "string" },
    every: { type: "string", default: "10" },
  },
});
const every = Number(asked.every);
const root = process.env.PLAYGROUND_OUT ?? fileURLToPath(new URL("../dist/playground", import.meta.url));

let [bytes, files] = [0, 0];
const app = new Hono()
  .use(async (context, next) => {
    await next();
    if (!context.res.ok) return;
    if (asked.isolated) {
      context.header("Cross-Origin-Opener-Policy", "same-origin");
      context.header("Cross-Origin-Embedder-Policy", "require-corp");
    }
    // As small as a server that compresses makes it.
    bytes += gzipSync(await context.res.clone().arrayBuffer()).length;
    files++;
  })
  .use(serveStatic({ root }));
const server = await new Promise((listening) => {
  const made = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => listening(made));
});
const url = `http://127.0.0.1:${server.address().port}/?${asked.query}`;

const browser = await chromium.launch({
  executablePath: process.env.PROBEWARD_CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
const page = await browser.newPage();
const processes = await browser.newBrowserCDPSession();
const inspector = await page.context().newCDPSession(page);
/** What threads of the page are called by, newest last. */
const threads = [];
inspector.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => {
  if (targetInfo.type === "worker") threads.push(sessionId);
});
await inspector.send("Target.setAutoAttach", {
  ...{ autoAttach: true, waitForDebuggerOnStart: false, flatten: false },
});

/** Bytes that the thread that trains holds after a collection: objects, and buffers with WebAssembly's memory. */
function heapOf(sessionId) {
  return new Promise((resolve) => {
    const hear = ({ sessionId: from, message }) => {
      const { id, result } = JSON.parse(message);
      if (from !== sessionId || id !== 1) return;
      inspector.off("Target.receivedMessageFromTarget", hear);
      resolve(result);
    };
    inspector.on("Target.receivedMessageFromTarget", hear);
    ["HeapProfiler.collectGarbage", "Runtime.getHeapUsage"].forEach((method, id) => {
      const message = JSON.stringify({ id, method });
      inspector.send("Target.sendMessageToTarget", { sessionId, message });
    });
  });
}

/** Seconds that the busiest thread of a process has computed: what a step takes on a machine that nobody else uses. */
function busiestThread(process) {
  const ticks = readdirSync(`/proc/${process}/task`).map((thread) => {
    const fields = readFileSync(`/proc/${process}/task/${thread}/stat`, "utf8").split(") ")[1].split(" ");
    return Number(fields[11]) + Number(fields[12]);
  });
  return Math.max(...ticks) / 100;
}

/** Of the page's process: MB that are its own, and seconds that it, and its busiest thread, have computed. */
async function tab() {
  const { processInfo } = await processes.send("SystemInfo.getProcessInfo");
  const pages = processInfo
    .filter(({ type }) => type === "renderer")
    .map(({ id, cpuTime }) => {
      const pss = /^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${id}/smaps_rollup`, "utf8"));
      return {
        memory: Math.round(Number(pss?.[1] ?? 0) / 1024),
        ...{ seconds: Math.round(cpuTime * 10) / 10, thread: busiestThread(id) },
      };
    });
  return pages.toSorted((a, b) => b.memory - a.memory)[0];
}

function zipped(folder) {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .map((path) => [join(basename(folder), relative(folder, path)), readFileSync(path)]);
  return Buffer.from(zipSync(Object.fromEntries(files)));
}

const say = (line) => console.log(JSON.stringify(line));
const megabytes = (count) => Math.round(count / 2 ** 20);
try {
  await page.goto(url);
  await page.getByRole("button", { name: "Run", exact: true }).waitFor();
  const paint = await page.evaluate(
    () => performance.getEntriesByName("first-contentful-paint")[0].startTime,
  );
  say({ firstPaint: Math.round(paint), isolated: await page.evaluate(() => crossOriginIsolated) });
  if (asked.study) {
    const archive = { name: "study.zip", mimeType: "application/zip", buffer: zipped(asked.study) };
    await page.getByLabel("Open a study's archive (.zip)").setInputFiles(archive);
    await page.getByRole("button", { name: `Resume ${basename(asked.study)}` }).waitFor();
    await page.waitForFunction(() => !document.querySelector("progress"));
  }
  // Told by the page itself, as a visitor sees it.
  await page.evaluate(() => {
    const status = document.querySelector("[role=status]");
    window.seen = [];
    new MutationObserver(() => {
      const text = status.textContent.trim();
      if (window.seen.at(-1)?.text !== text) window.seen.push({ at: performance.now(), text });
    }).observe(status, { childList: true, characterData: true, subtree: true });
    window.began = performance.now();
  });
  if (asked.study) await page.getByRole("button", { name: `Resume ${basename(asked.study)}` }).click();
  else await page.getByRole("button", { name: "Run", exact: true }).click();
  const steps = [];
  for (let last = 0; ; ) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const { seen, began, problem } = await page.evaluate(() => ({
      ...{ seen: window.seen, began: window.began },
      problem: document.querySelector(".problem")?.textContent,
    }));
    if (problem) throw new Error(problem);
    const reached = seen.flatMap(({ at, text }) => {
      const found = /: (\d+) of (\d+) steps/.exec(text);
      return found ? [{ step: Number(found[1]), of: Number(found[2]), at: (at - began) / 1000 }] : [];
    });
    const newest = reached.at(-1);
    if (last === 0 && newest) say({ firstStep: reached[0].at, files, downloadedMB: bytes / 1e6 });
    if (newest && (newest.step >= last + every || (last === 0 && newest.step > 0))) {
      last = newest.step;
      const heap = await Promise.race([
        heapOf(threads[0]),
        new Promise((resolve) => setTimeout(() => resolve({}), 20_000)),
      ]);
      const { usedSize: objects, backingStorageSize: buffers } = heap;
      await inspector.send("HeapProfiler.collectGarbage");
      const shown = (await inspector.send("Runtime.getHeapUsage")).usedSize;
      say({
        step: last,
        at: newest.at,
        ...(await tab()),
        page: megabytes(shown),
        objects: megabytes(objects),
        buffers: megabytes(buffers),
      });
    }
    const done = seen.find(({ text }) => text === "Done.");
    if (!done) continue;
    steps.push(...reached);
    say({ done: (done.at - began) / 1000, files, downloadedMB: bytes / 1e6, ...(await tab()) });
    break;
  }
  const taken = steps.slice(1).map(({ at, step }, i) => (at - steps[i].at) / (step - steps[i].step));
  const sorted = taken.toSorted((a, b) => a - b);
  say({ secondsPerStep: sorted[Math.floor(sorted.length / 2)], of: taken.length });
} finally {
  await browser.close();
  server.close();
}
