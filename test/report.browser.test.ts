/** @file The report in a real browser, opened from disk. Chromium: `PROBEWARD_CHROMIUM`, or Debian's at its usual place. */

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StudyData } from "../src/report/data.ts";
import { writeReport } from "../src/report/html.ts";
import { studyFixture } from "./study-fixture.ts";

const executablePath = process.env.PROBEWARD_CHROMIUM ?? "/usr/bin/chromium";
const present = existsSync(executablePath);
if (!present) {
  console.warn(
    `Skipped the report's browser tests: no browser at ${executablePath}. ` +
      "Install Debian's chromium, or set PROBEWARD_CHROMIUM to a Chromium or Chrome.",
  );
}

describe.skipIf(!present)("the report in a browser", { timeout: 30_000 }, () => {
  let browser: Browser;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-browser-"));
    // Containers often run as root, where Chromium's own sandbox cannot start.
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  /** Opens a report from disk without a network; anything in the console other than silence fails. */
  async function open(data: StudyData, width = 1280): Promise<{ page: Page; problems: string[] }> {
    const path = join(folder, "report.html");
    await writeReport(path, data);
    const context = await browser.newContext({ viewport: { width, height: 900 }, offline: true });
    const page = await context.newPage();
    const problems: string[] = [];
    page.on("console", (message) => problems.push(message.text()));
    page.on("pageerror", (error) => problems.push(String(error)));
    page.on("request", (request) => {
      if (!/^(file|data):/.test(request.url())) problems.push(`asked for ${request.url()}`);
    });
    await page.goto(pathToFileURL(path).href);
    await page.waitForSelector("h1");
    return { page, problems };
  }

  const headings = (page: Page) => page.locator("h2").allTextContents();
  const drawn = (page: Page) => page.locator(".plot > svg").count();

  test.each([[[1]], [[1, 2, 3]]])("shows a finished study with seeds %j", async (seeds) => {
    const { page, problems } = await open(studyFixture({ seeds }));
    expect(await page.title()).toContain("code");
    expect(await headings(page)).toEqual([
      "Result",
      "The arms in numbers",
      "Over the steps of training",
      "The probe before training",
      "Rollouts",
      "Settings and machine",
    ]);
    // The trade-off, ten curves, the controls.
    await expect.poll(() => drawn(page)).toBe(12);
    expect(await page.locator("#arms tbody tr").count()).toBe(5);
    expect(await page.locator(".plot[aria-label='']").count()).toBe(0);
    expect(problems).toEqual([]);
  });

  test("hides and shows an arm's curves", async () => {
    const { page, problems } = await open(studyFixture());
    const lines = () => page.locator("#curves .plot").first().locator("[aria-label=line] path").count();
    await expect.poll(lines).toBe(5);
    const button = page.getByRole("button", { name: "probe-loss" });
    await button.focus();
    await page.keyboard.press("Enter");
    await expect.poll(lines).toBe(4);
    expect(await button.getAttribute("aria-pressed")).toBe("false");
    await page.keyboard.press("Enter");
    await expect.poll(lines).toBe(5);
    expect(problems).toEqual([]);
  });

  test("filters and pages through rollouts", async () => {
    const { page, problems } = await open(studyFixture());
    const count = () => page.locator("#rollouts output").textContent();
    const first = page.locator("#rollouts ol > li").first();
    expect(await count()).toBe("1,200 rollouts");
    await page.getByRole("button", { name: "Next" }).click();
    await expect.poll(() => page.locator("#rollouts nav span").textContent()).toBe("page 2 of 150");
    await page.getByRole("combobox", { name: "arm" }).selectOption("probe-loss");
    await page.getByRole("combobox", { name: "step" }).selectOption("30");
    await expect.poll(count).toBe("4 rollouts");
    expect(await first.textContent()).toContain("probe-loss");
    expect(await first.textContent()).toContain("step 30");
    await page.getByRole("combobox", { name: "step" }).selectOption("all");
    await expect.poll(count).toBe("240 rollouts");
    expect(problems).toEqual([]);
  });

  test("shows what a model wrote as text, never as markup", async () => {
    const data = studyFixture({ steps: 1, rolloutsPerStep: 1 });
    const completion = "<img src=x onerror=alert(1)></script>";
    Object.assign(data.runs[0]!.rollouts[0]!, { completion, tokenScores: { policy: [], reference: [] } });
    const { page, problems } = await open(data);
    expect(await page.locator("#rollouts pre").nth(1).textContent()).toBe(completion);
    expect(await page.locator("img").count()).toBe(0);
    expect(problems).toEqual([]);
  });

  test("shows a study that has only begun, and its warnings", async () => {
    const data: StudyData = {
      summary: null,
      runs: [
        {
          ...{ arm: "none", seed: 1, status: null },
          ...{ metrics: { step: [] }, stepsPerPoint: 1, rollouts: [], rolloutsEvery: 1 },
        },
      ],
      settings: { environment: "code" },
      warnings: ["line 3 was left out"],
      written: 0,
    };
    const { page, problems } = await open(data);
    expect(await headings(page)).toEqual(["Over the steps of training", "Rollouts", "Settings and machine"]);
    expect(await page.locator("header").textContent()).toContain("not finished");
    expect(await page.locator("#settings").textContent()).toContain("line 3 was left out");
    expect(problems).toEqual([]);
  });

  test("fits a narrow screen", async () => {
    const { page } = await open(studyFixture({ seeds: [1, 2] }), 360);
    await expect.poll(() => drawn(page)).toBe(12);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
  });
});
