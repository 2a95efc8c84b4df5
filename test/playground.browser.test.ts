/** @file The playground in a real browser: its runtime, a study as Node has it, kept over a reload, handed out and taken in. */

import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { serve } from "@hono/node-server";
import { serveStatic } from "@hono/node-server/serve-static";
import { unzipSync, zipSync } from "fflate";
import { Hono } from "hono";
import type { Browser, Page } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadStudy } from "../src/report/index.ts";
import type { RolloutRecord, StepMetrics } from "../src/store/index.ts";
import { readStudy, runStudy } from "../src/study/index.ts";
import { accessibilityViolations, browserPresent, launchBrowser, openPage } from "./browser.ts";
import { firefoxPresent, openFirefox } from "./firefox.ts";

/** As small as a study of the real model can be that still has all of a study's parts. */
const settings = () =>
  readStudy("code", {
    quick: true,
    anyway: true,
    arms: ["none", "probe-loss"],
    steps: 3,
    set: [
      ...(["prompts", "rollouts"] as const).map((name) => [`training.${name}`, 4] as const),
      ...(["checkpointEvery", "evaluateEvery"] as const).map((name) => [`training.${name}`, 2] as const),
      ["training.warmupSteps", 0],
      ...Object.entries({ tasks: 64, samples: 2, demonstrations: 16, tracer: 16 }).map(
        ([name, value]) => [`probe.${name}`, value] as const,
      ),
      ["probe.hooks", ["blocks.2.hook_resid_post"]],
      ["probe.positions", ["completion"]],
    ],
  });

describe.skipIf(!browserPresent)("the playground", { timeout: 600_000 }, () => {
  let browser: Browser;
  let folder: string;
  let server: ReturnType<typeof serve>;
  let url: string;
  const site = () => join(folder, "site");

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-playground-"));
    process.env.PLAYGROUND_OUT = site();
    process.env.PLAYGROUND_BASES = "";
    await build({ configFile: "vite.playground.config.ts", logLevel: "error" });
    const app = new Hono().use(serveStatic({ root: site() }));
    await new Promise<void>((listening) => {
      server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => listening());
    });
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    browser = await launchBrowser();
  }, 600_000);
  afterAll(async () => {
    await browser?.close();
    server?.close();
    await rm(folder, { recursive: true });
  });

  const run = (page: Page) => page.getByRole("button", { name: "Run", exact: true });
  const keepsPromises = async (page: Page) => {
    await page.getByText("Does this browser compute right?").click();
    await page.getByRole("button", { name: "Check it" }).click();
    await expect.poll(() => page.locator(".checks li").count(), { timeout: 60_000 }).toBe(8);
    expect(await page.locator(".checks .badge.good").count()).toBe(8);
  };
  const idle = async (page: Page) =>
    expect.poll(() => run(page).isEnabled(), { timeout: 120_000 }).toBe(true);

  test("asks a browser for nothing of Node's", async () => {
    const assets = await readdir(join(site(), "assets"));
    const scripts = assets.filter((name) => name.endsWith(".js"));
    expect(scripts.length).toBeGreaterThan(3);
    for (const name of scripts)
      expect(await readFile(join(site(), "assets", name), "utf8")).not.toMatch(
        /(\bfrom|\bimport|require)\s*\(?\s*["'`]node:/,
      );
  });

  test("keeps what every runtime promises, and is accessible", async () => {
    const { page, problems } = await openPage(browser, url, { viewport: { width: 360, height: 740 } });
    expect(await accessibilityViolations(page)).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
    await keepsPromises(page);
    expect(unexpected(problems)).toEqual([]);
  });

  test("keeps it by WebGPU, too, on a processor that stands in for a GPU", async () => {
    const other = await launchBrowser(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]);
    try {
      const { page, problems } = await openPage(other, url);
      await page.getByLabel("Compute on the GPU").check();
      await keepsPromises(page);
      expect(unexpected(problems)).toEqual([]);
    } finally {
      await other.close();
    }
  });

  test.skipIf(!firefoxPresent)("keeps what every runtime promises in Firefox, too", async () => {
    const page = await openFirefox(url);
    try {
      await page.evaluate(
        "[...document.querySelectorAll('button')].find((one) => one.textContent === 'Check it').click()",
      );
      const kept = () => page.evaluate("document.querySelectorAll('.checks .badge.good').length");
      await expect.poll(kept, { timeout: 240_000 }).toBe(8);
    } finally {
      await page.close();
    }
  });

  test("says that its storage is full, and keeps nothing by halves", async () => {
    const { page } = await openPage(browser, url);
    const inspector = await page.context().newCDPSession(page);
    await inspector.send("Storage.overrideQuotaForOrigin", {
      origin: new URL(url).origin,
      quotaSize: 2 ** 12,
    });
    const told = (place: string) =>
      expect
        .poll(() => page.locator(`${place} [role=alert]`).textContent(), { timeout: 60_000 })
        .toContain("The storage that this browser allows this page is full.");
    const study = { settings: { environment: "code" } };
    const files = { "big/study.json": JSON.stringify(study), "big/base.json": "x".repeat(2 ** 22) };
    const bytes = zipSync(
      Object.fromEntries(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])),
    );
    const archive = { name: "big.zip", mimeType: "application/zip", buffer: Buffer.from(bytes) };
    await page.getByLabel("Open a study's archive (.zip)").setInputFiles(archive);
    await told("#kept");
    await run(page).click();
    await told(".act");
    await inspector.send("Storage.overrideQuotaForOrigin", { origin: new URL(url).origin });
    await page.reload();
    await page.waitForSelector("#kept");
    expect(await page.getByRole("button", { name: /^Remove/ }).count()).toBe(0);
  });

  test("trains as Node does, over a reload, in a folder that is handed out and taken in", async () => {
    const there = join(folder, "node");
    await runStudy(there, await settings());
    // What was prepared, and no runs: the browser trains them.
    const begun = join(folder, "begun");
    for (const name of ["study.json", "base.json", "probes"])
      await cp(join(there, name), join(begun, name), { recursive: true });
    const archive = join(folder, "begun.zip");
    await writeFile(archive, zipSync(await filesOf(folder, "begun")));

    const { page, problems } = await openPage(browser, url);
    await page.getByLabel("Open a study's archive (.zip)").setInputFiles(archive);
    await idle(page);
    await page.getByRole("button", { name: "Resume begun" }).click();
    await expect
      .poll(() => page.locator("[role=status]").first().textContent(), { timeout: 240_000 })
      .toMatch(/of 6 steps/);
    await page.reload();
    // Another tab has the study, as one does that trains it.
    const other = await page.context().newPage();
    await other.goto(url);
    await other.evaluate(
      "void navigator.locks.request('probeward /studies/begun', () => new Promise(() => {}))",
    );
    await page.getByRole("button", { name: "Resume begun" }).click();
    await expect
      .poll(() => page.locator("[role=alert]").textContent(), { timeout: 60_000 })
      .toBe("Another tab trains this study. Close it, or wait until it is done.");
    await other.close();
    const writing = page.waitForSelector("#writing .completion .token", { timeout: 240_000 });
    await page.getByRole("button", { name: "Resume begun" }).click();
    await writing;
    await expect
      .poll(() => page.locator("[role=status]").first().textContent(), { timeout: 240_000 })
      .toContain("Done.");
    await expect.poll(() => page.locator("#result").count()).toBe(1);
    expect(await accessibilityViolations(page)).toEqual([]);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "Download begun" }).click(),
    ]);
    expect(unexpected(problems)).toEqual([]);

    const here = join(folder, "browser");
    for (const [name, bytes] of Object.entries(unzipSync(await readFile((await download.path())!)))) {
      await mkdir(dirname(join(here, name)), { recursive: true });
      await writeFile(join(here, name), bytes);
    }
    const study = join(here, "begun");
    for (const arm of ["none", "probe-loss"]) {
      const lines = async <T>(root: string, name: string) =>
        (await readFile(join(root, "runs", arm, "seed-1", name), "utf8"))
          .trim()
          .split("\n")
          .map((line) => JSON.parse(line) as T);
      const [ours, theirs] = [
        await lines<StepMetrics>(study, "metrics.jsonl"),
        await lines<StepMetrics>(there, "metrics.jsonl"),
      ];
      expect(ours.length).toBe(3);
      expect(differences(ours, theirs)).toEqual([]);
      const texts = async (root: string) =>
        (await lines<RolloutRecord>(root, "rollouts.jsonl")).map(({ completion, label, note }) => [
          completion,
          label,
          note,
        ]);
      expect(await texts(study)).toEqual(await texts(there));
    }
    // The command line takes the folder for its own: the report reads it, and the study finds nothing left to do.
    expect((await loadStudy(study)).warnings).toEqual((await loadStudy(there)).warnings);
    const steps: unknown[] = [];
    const summary = await runStudy(
      study,
      await settings(),
      (event) => event.kind === "step" && steps.push(event),
    );
    expect(steps).toEqual([]);
    expect(Object.keys(summary.arms)).toEqual(["none", "probe-loss"]);
  });
});

/** What happened but for what Chromium says where the page asks whether there is a GPU, and there is none. */
const unexpected = (problems: readonly string[]) =>
  problems.filter((one) => one !== "No available adapters.");

/** Names of metrics that differ by more than one part in ten thousand. */
function differences(ours: StepMetrics[], theirs: StepMetrics[]): string[] {
  return theirs.flatMap((line, i) =>
    Object.entries(line).flatMap(([name, value]) => {
      const own = ours[i]![name];
      if (name === "step_time" || own === value) return [];
      const close =
        typeof own === "number" &&
        value !== null &&
        Math.abs(own - value) <= 1e-4 * Math.max(1, Math.abs(value));
      return close ? [] : [`step ${i}, ${name}: ${own}, and ${value} in Node`];
    }),
  );
}

/** Files by their paths from a folder. */
async function filesOf(root: string, name: string): Promise<Record<string, Uint8Array>> {
  const files: Record<string, Uint8Array> = {};
  for (const entry of await readdir(join(root, name), { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile()) files[path.slice(root.length + 1).replaceAll("\\", "/")] = await readFile(path);
  }
  return files;
}
