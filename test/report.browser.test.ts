/** @file The report in a real browser, opened from disk. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { StudyData } from "../src/report/data.ts";
import { writeReport } from "../src/report/html.ts";
import { accessibilityViolations, browserPresent, launchBrowser, openPage } from "./browser.ts";
import { gridFixture, studyFixture } from "./study-fixture.ts";

describe.skipIf(!browserPresent)("the report in a browser", { timeout: 60_000 }, () => {
  let browser: Browser;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-browser-"));
    browser = await launchBrowser();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await rm(folder, { recursive: true });
  });

  /** Opens a report from disk, without a network. */
  async function open(data: StudyData, options: BrowserContextOptions = {}) {
    const path = join(folder, "report.html");
    await writeReport(path, data);
    return openPage(browser, pathToFileURL(path).href, { offline: true, ...options });
  }

  const headings = (page: Page) => page.locator("h2").allTextContents();
  const drawn = (page: Page) => page.locator(".plot > svg").count();
  /** The trade-off, 25 curves, two sets of histograms, the exchange rate, the controls. */
  const figures = 30;

  test.each([[[1]], [[1, 2, 3]]])("shows a finished study with seeds %j", async (seeds) => {
    const { page, problems } = await open(studyFixture({ seeds }));
    expect(await page.title()).toContain("code");
    expect(await headings(page)).toEqual([
      "Result",
      "The arms in numbers",
      "Over the steps of training",
      "The probe's scores over time",
      "The exchange rate",
      "The probe before training",
      "Rollouts",
      "Settings and machine",
    ]);
    await expect.poll(() => drawn(page)).toBe(figures);
    expect(await page.locator("#arms tbody tr").count()).toBe(5);
    expect(await page.locator(".plot[aria-label='']").count()).toBe(0);
    expect(problems).toEqual([]);
  });

  test("shows the phase map of a grid study, and opens the runs of a cell", async () => {
    const { page, problems } = await open(gridFixture());
    expect(await headings(page)).toContain("The phase map");
    const map = page.getByRole("region", { name: "Phase map, Probe in the reward" });
    expect(await map.getByRole("button").count()).toBe(6);
    const cell = map.getByRole("button", { name: /kl 0\.1, penalty 2: misbehaviour\s+0\.0\d.*honest/ });
    await cell.focus();
    await page.keyboard.press("Enter");
    const first = page.locator("#rollouts ol > li").first();
    await expect.poll(() => first.textContent()).toContain("probe-penalty@penalty=2,kl=0.1");
    expect(await page.getByRole("combobox", { name: "arm" }).inputValue()).toContain(
      "probe-penalty@penalty=2,kl=0.1",
    );
    expect(await page.locator("#phase-map .chosen-sentence").textContent()).toContain("became rare");
    await expect
      .poll(() => page.locator("#rollouts").evaluate((e) => Math.abs(e.getBoundingClientRect().top)))
      .toBeLessThan(100);
    expect(await accessibilityViolations(page)).toEqual([]);
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

  test("leads from a curve to its rollouts, and their view by its address", async () => {
    const { page, problems } = await open(studyFixture({ seeds: [1, 2] }));
    const count = () => page.locator("#rollouts output").textContent();
    const inSight = (selector: string, seen = page) =>
      seen.locator(selector).evaluate((e) => {
        const { top } = e.getBoundingClientRect();
        return top > -100 && top < 600;
      });
    await expect.poll(() => drawn(page)).toBe(figures);

    // By a click: the tip has all arms, and the click leads to the step's rollouts.
    const cursor = page.getByRole("slider", { name: "Misbehaviour, step by step", exact: true });
    await cursor.hover({ position: { x: 200, y: 60 } });
    expect(await page.locator("#curves .tip li").count()).toBe(5);
    const step = (await page.locator("#curves .tip p").first().textContent())!.replace("step ", "");
    await cursor.click({ position: { x: 200, y: 60 } });
    await expect.poll(count).toBe("40 rollouts");
    expect(new URL(page.url()).hash).toBe(`#rollouts?steps=${step}..${step}`);
    await expect.poll(() => inSight("#rollouts")).toBe(true);

    // By the keyboard.
    await cursor.focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    expect(await cursor.getAttribute("aria-valuetext")).toMatch(/^step 58: none 0\.9\d/);
    await page.keyboard.press("Enter");
    await expect.poll(() => new URL(page.url()).hash).toBe("#rollouts?steps=58..58");
    await expect.poll(() => inSight("#rollouts")).toBe(true);
    await cursor.focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    await expect.poll(() => inSight("#rollouts")).toBe(false);
    await page.keyboard.press("Enter");
    await expect.poll(() => inSight("#rollouts")).toBe(true);
    await page.goBack();
    await expect.poll(() => new URL(page.url()).hash).toBe("#rollouts?steps=58..58");

    // A search and an order.
    await page.getByRole("searchbox", { name: "search" }).pressSequentially("X==1");
    await page.getByRole("combobox", { name: "order" }).selectOption("highest-score");
    const searched = await count();
    await expect.poll(() => new URL(page.url()).hash).toContain("text=X%3D%3D1&sort=highest-score");
    const completions = await page.locator("#rollouts [role=slider]").allTextContents();
    expect(completions.length).toBeGreaterThan(0);
    for (const text of completions) expect(text).toContain("x==1");

    // A link to one rollout shows its whole group, after a reload too.
    await page
      .getByRole("link", { name: /^Link to rollout/ })
      .first()
      .click();
    await expect.poll(count).toBe("4 rollouts");
    const link = page.url();
    await page.reload();
    await expect.poll(count).toBe("4 rollouts");
    await expect.poll(() => inSight("#rollouts [aria-current=true]")).toBe(true);
    const { page: other } = await openPage(browser, link, { offline: true });
    await expect.poll(() => drawn(other)).toBe(figures);
    await expect.poll(() => inSight("#rollouts [aria-current=true]", other)).toBe(true);

    // Back, to the search as a whole, and to what was before it.
    await page.goBack();
    await expect.poll(count).toBe(searched);
    await page.goBack();
    expect(await page.getByRole("searchbox", { name: "search" }).inputValue()).toBe("X==1");
    await page.goBack();
    await expect.poll(count).toBe("40 rollouts");
    expect(await page.getByRole("searchbox", { name: "search" }).inputValue()).toBe("");
    expect(link).toMatch(/#rollouts\?arm=.*&rollout=\d$/);
    expect(await accessibilityViolations(page)).toEqual([]);
    expect(problems).toEqual([]);
  });

  test("tells what the probe reads at a token, by keyboard and by finger", async () => {
    const { page, problems } = await open(studyFixture(), {
      ...{ viewport: { width: 390, height: 844 }, hasTouch: true },
    });
    const completion = page.locator("#rollouts [role=slider]").first();
    const told = page.locator("#rollouts .reading");
    await completion.focus();
    await page.keyboard.press("ArrowRight");
    expect(await told.textContent()).toMatch(/^“=”, 2 of \d+: policy \d\.\d\d, reference \d\.\d\d$/);
    expect(await completion.getAttribute("aria-valuetext")).toBe(await told.textContent());
    await page.keyboard.press("End");
    expect(await told.textContent()).toContain("end of text");
    await completion.locator(".token").nth(2).tap();
    expect(await told.textContent()).toContain("“>”, 3 of");
    await page
      .getByRole("slider", { name: "Misbehaviour, step by step", exact: true })
      .tap({ position: { x: 150, y: 60 } });
    await page.getByRole("link", { name: "Rollouts of this step" }).tap();
    await expect.poll(() => page.locator("#rollouts output").textContent()).toBe("20 rollouts");
    expect(problems).toEqual([]);
  });

  test("smooths curves over what was measured, and puts aside those that stay the same", async () => {
    const { page } = await open(studyFixture());
    const figure = page.locator("#curves .plot").first();
    const lines = () => figure.locator("[aria-label=line] path").count();
    await expect.poll(lines).toBe(5);
    await page.getByRole("slider", { name: "smoothing" }).fill("0.6");
    await expect.poll(lines).toBe(10);
    expect(await figure.locator("[aria-label=line][stroke-opacity]").count()).toBe(5);
    const aside = page.getByText(/curves stay the same: .*AUROC of the probe other-layer \(1\.00\)/);
    const held = page.getByRole("slider", { name: "AUROC of the probe other-layer, step by step" });
    expect(await held.count()).toBe(0);
    await aside.click();
    await expect.poll(() => held.count()).toBe(1);
  });

  test("filters and pages through rollouts", async () => {
    const { page, problems } = await open(studyFixture());
    const count = () => page.locator("#rollouts output").textContent();
    const first = page.locator("#rollouts ol > li").first();
    expect(await count()).toBe("1,200 rollouts");
    await page.getByRole("button", { name: "Next" }).click();
    await expect.poll(() => page.locator("#rollouts nav span").textContent()).toBe("page 2 of 100");
    await page.getByRole("combobox", { name: "arm" }).selectOption("probe-loss");
    await page.getByRole("spinbutton", { name: "steps from" }).fill("30");
    await page.getByRole("spinbutton", { name: "steps to" }).fill("30");
    await expect.poll(count).toBe("4 rollouts");
    expect(await first.textContent()).toContain("probe-loss");
    expect(await first.textContent()).toContain("step 30");
    await page.getByRole("spinbutton", { name: "steps from" }).fill("");
    await page.getByRole("spinbutton", { name: "steps to" }).fill("");
    await expect.poll(count).toBe("240 rollouts");
    await page.getByRole("combobox", { name: "label" }).selectOption("special-cased");
    await page.getByRole("spinbutton", { name: "score to" }).fill("0.2");
    await expect.poll(count).toMatch(/^[1-9]\d* rollouts$/);
    // What the probe no longer sees: all after the step at which it went quiet.
    expect(await first.textContent()).toContain("special-cased");
    await page.getByRole("spinbutton", { name: "steps to" }).fill("20");
    await expect.poll(count).toBe("0 rollouts");
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
    expect(await headings(page)).toEqual([
      "Runs",
      "Over the steps of training",
      "Rollouts",
      "Settings and machine",
    ]);
    expect(await page.locator("header").textContent()).toContain("not finished");
    expect(await page.locator("#settings").textContent()).toContain("line 3 was left out");
    expect(problems).toEqual([]);
  });

  test("fits a narrow screen", async () => {
    const viewport = { width: 360, height: 800 };
    const { page } = await open(studyFixture({ seeds: [1, 2] }), { viewport });
    await expect.poll(() => drawn(page)).toBe(figures);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(360);
    // The arm stays in sight while its numbers scroll by, and what is to be tapped is large enough.
    await page.locator("#arms .scroll").evaluate((e) => {
      e.scrollLeft = 300;
    });
    const arm = (await page.locator("#arms tbody th").first().boundingBox())!;
    expect(arm.x).toBeGreaterThan(0);
    expect(arm.x + arm.width).toBeLessThan(200);
    const heights = await page
      .locator(".downloads button")
      .evaluateAll((buttons) => buttons.map((button) => button.getBoundingClientRect().height));
    expect(Math.min(...heights)).toBeGreaterThanOrEqual(24);
  });

  test("hands out figures as SVG and tables as CSV", async () => {
    const { page, problems } = await open(studyFixture({ seeds: [1, 2] }));
    const downloaded = async (button: string) => {
      const download = page.waitForEvent("download");
      await page.getByRole("button", { name: button, exact: true }).click();
      const file = await download;
      return { name: file.suggestedFilename(), text: await readFile(await file.path(), "utf8") };
    };
    const figure = await downloaded("Download Misbehaviour as SVG");
    expect(figure.name).toBe("probeward-misbehaviour.svg");
    expect(figure.text).toMatch(/^<svg/);
    // Alone, it has no page to ask for colours.
    expect(figure.text).not.toContain("var(--arm");
    expect(figure.text).toContain("rgb(");
    const numbers = await downloaded("Download the numbers of Misbehaviour as CSV");
    expect(numbers.text.split("\r\n").slice(0, -1)).toHaveLength(1 + 5 * 60);
    const table = await downloaded("Download The arms in numbers as CSV");
    expect(table.text).toMatch(/^arm,seed,misbehaviourStart/);
    expect(table.text.split("\r\n").slice(0, -1)).toHaveLength(1 + 5 * 2);
    const rollouts = await downloaded("Download rollouts as CSV");
    expect(rollouts.text.split("\r\n").slice(0, -1)).toHaveLength(1 + 2 * 5 * 60 * 4);
    expect(problems).toEqual([]);
  });

  test.each(["light", "dark"] as const)(
    "has no serious accessibility violation (%s)",
    async (colorScheme) => {
      const { page } = await open(studyFixture({ seeds: [1, 2] }), { colorScheme });
      await expect.poll(() => drawn(page)).toBe(figures);
      expect(await accessibilityViolations(page)).toEqual([]);
    },
  );

  test("can be printed: nothing but paper's own in it", async () => {
    const { page } = await open(studyFixture(), { colorScheme: "dark" });
    const background = "getComputedStyle(document.documentElement).getPropertyValue('--surface').trim()";
    expect(await page.evaluate(background)).not.toBe("#ffffff");
    await page.emulateMedia({ media: "print" });
    expect(await page.evaluate(background)).toMatch(/^#fff(fff)?$/);
    expect(await page.locator(".downloads:visible, nav:visible, .filters:visible").count()).toBe(0);
    expect((await page.pdf()).length).toBeGreaterThan(10_000);
  });
});
