/** @file The live page in a real browser, while studies are written. */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { RunningServer } from "../src/listen.ts";
import { startServer } from "../src/serve/index.ts";
import { accessibilityViolations, browserPresent, launchBrowser, openPage } from "./browser.ts";
import { type FixtureStudy, studyFixture } from "./study-fixture.ts";
import {
  appendMetrics,
  appendRollouts,
  runFolder,
  writeStatus,
  writeStudy,
  writeSummary,
} from "./study-folder.ts";

describe.skipIf(!browserPresent)("the live page", { timeout: 60_000 }, () => {
  let browser: Browser;
  let folder: string;
  let server: RunningServer;
  const serve = (port = 0) => startServer({ folder, host: "127.0.0.1", port, interval: 50 });

  beforeAll(async () => {
    browser = await launchBrowser();
  }, 60_000);
  afterAll(() => browser?.close());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-live-"));
    server = await serve();
  });
  afterEach(async () => {
    await server.close();
    await rm(folder, { recursive: true });
  });

  const full = studyFixture({ steps: 20 });
  /** The study after some steps: the first run has some lines, the others have none. */
  function begun(steps: number): FixtureStudy {
    const [first] = full.runs;
    const status = { state: "running" as const, step: 0, steps: 20, updated: "2026-01-02T03:04:05.000Z" };
    const run = {
      ...first!,
      status,
      lines: first!.lines.slice(0, steps),
      rollouts: first!.rollouts.slice(0, 4 * steps),
    };
    return { ...full, summary: null, runs: [run] };
  }

  const open = (path = "") => openPage(browser, server.url + path);
  const row = (page: Page, index: number) => page.locator("#runs tbody tr").nth(index);

  test("begins with nothing, shows a study when it comes, and follows the link to it", async () => {
    const { page, problems } = await open();
    await expect
      .poll(() => page.locator("main").textContent())
      .toContain("There is no study in this folder yet");
    await writeStudy(join(folder, "first"), begun(2));
    await page.getByRole("link", { name: "first" }).waitFor();
    await writeStudy(join(folder, "second"), { ...full, runs: full.runs.slice(0, 1) });
    await expect.poll(() => page.locator("main li").count()).toBe(2);
    expect(await accessibilityViolations(page)).toEqual([]);
    await page.getByRole("link", { name: "first" }).click();
    await page.waitForSelector("#runs");
    await page.getByRole("link", { name: "All studies" }).click();
    await page.getByRole("link", { name: "second" }).waitFor();
    expect(problems).toEqual([]);
  });

  test("follows a study from its first line to its end", async () => {
    const study = join(folder, "study");
    await writeStudy(study, { ...begun(0), runs: [] });
    const { page, problems } = await open("?study=study");
    await page.getByText("No run has begun").waitFor();

    const [first, second] = full.runs as [FixtureStudy["runs"][0], FixtureStudy["runs"][0]];
    for (const run of [first, second]) await mkdir(runFolder(study, run.arm, run.seed), { recursive: true });
    await writeStatus(study, first, { state: "running", step: 0, steps: 20, updated: "now" });
    await appendMetrics(study, first, first.lines.slice(0, 3));
    await expect.poll(() => row(page, 0).textContent()).toContain("3 of 20");
    expect(await row(page, 1).textContent()).toContain("waiting");
    await appendMetrics(study, first, first.lines.slice(3, 5));
    await appendRollouts(study, first, first.rollouts.slice(0, 8));
    await expect.poll(() => row(page, 0).textContent()).toContain("5 of 20");
    await expect.poll(() => page.locator("#rollouts output").textContent()).toBe("8 rollouts");
    const curve = page.locator("#curves .plot").first();
    expect(await curve.getAttribute("aria-label")).toContain("none from");
    expect(await page.locator("#result").count()).toBe(0);

    // What the reader chose stays while more comes in.
    await page.getByRole("combobox", { name: "label" }).selectOption("solved");
    const solved = await page.locator("#rollouts output").textContent();
    await appendRollouts(study, first, first.rollouts.slice(8, 20));
    await expect.poll(() => page.locator("#rollouts output").textContent()).not.toBe(solved);
    expect(await page.getByRole("combobox", { name: "label" }).inputValue()).toBe("solved");

    for (const run of full.runs) {
      await mkdir(runFolder(study, run.arm, run.seed), { recursive: true });
      await appendMetrics(study, run, run === first ? run.lines.slice(5) : run.lines);
      await writeStatus(study, run, run.status!);
    }
    await writeSummary(study, full.summary!);
    await page.waitForSelector("#result");
    expect(await page.locator("#arms tbody tr").count()).toBe(5);
    await expect.poll(() => page.locator("#runs").count()).toBe(0);
    expect(problems).toEqual([]);
  });

  test("shows a failed run and why", async () => {
    const study = join(folder, "study");
    const settings = { ...(full.settings as object), planned: { runs: 90, steps: 1800 } };
    await writeStudy(study, { ...begun(3), settings });
    const { page, problems } = await open("?study=study");
    const failed = { state: "failed" as const, step: 3, steps: 20, updated: "now", error: "out of <memory>" };
    await writeStatus(study, full.runs[0]!, failed);
    await page.getByRole("cell", { name: "out of <memory>" }).waitFor();
    expect(await page.locator("header").textContent()).toContain("1 run failed");
    expect(await page.locator("header").textContent()).toContain("0 of 90 runs done");
    expect(await accessibilityViolations(page)).toEqual([]);
    await page.getByRole("link", { name: "All studies" }).click();
    await page.getByText(`none, seed 1: ${failed.error}`).waitFor();
    expect(await page.locator("main li").textContent()).toMatch(/0 of 90 runs done,\s+0 % of all steps/);
    expect(await accessibilityViolations(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("shows a finished study, in the server's own security policy", async () => {
    await writeStudy(join(folder, "study"), full);
    const { page, problems } = await open("?study=study");
    await expect.poll(() => page.locator(".plot > svg").count()).toBe(30);
    expect(await accessibilityViolations(page)).toEqual([]);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download Misbehaviour as SVG" }).click();
    expect((await download).suggestedFilename()).toBe("probeward-misbehaviour.svg");
    expect(problems).toEqual([]);
  });

  test("says that a study is not there, or cannot be read, and goes on when it can", async () => {
    const absent = await open("?study=absent");
    await absent.page.getByText("There is no such study here").waitFor();

    const study = join(folder, "study");
    await writeStudy(study, begun(3));
    const { page } = await open("?study=study");
    await page.waitForSelector("#runs");
    await writeSummary(study, { ...full.summary!, version: 3 as 2 });
    await page.getByText("Update probeward to read it").waitFor();
    await writeSummary(study, full.summary!);
    await page.waitForSelector("#result");
    expect(await page.getByText("Update probeward to read it").count()).toBe(0);
  });

  test("takes up the connection again when the server comes back, with all that was written since", async () => {
    const study = join(folder, "study");
    await writeStudy(study, begun(3));
    const { page } = await open("?study=study");
    await expect.poll(() => row(page, 0).textContent()).toContain("3 of 20");
    await server.close();
    await page.getByText("not connected, trying again").waitFor();
    await appendMetrics(study, full.runs[0]!, full.runs[0]!.lines.slice(3, 9));
    server = await serve(Number(new URL(server.url).port));
    await expect.poll(() => row(page, 0).textContent(), { timeout: 20_000 }).toContain("9 of 20");
    expect(await page.locator("header").textContent()).not.toContain("not connected");
  });
});
