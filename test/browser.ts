/** @file A real browser for tests. Chromium: `PROBEWARD_CHROMIUM`, or Debian's at its usual place. */

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const executablePath = process.env.PROBEWARD_CHROMIUM ?? "/usr/bin/chromium";

/** Is there a browser? Says so where there is none. */
export const browserPresent = existsSync(executablePath);
if (!browserPresent)
  console.warn(
    `Skipped tests in a browser: there is none at ${executablePath}. ` +
      "Install Debian's chromium, or set PROBEWARD_CHROMIUM to a Chromium or Chrome.",
  );

/** @param flags of Chromium's own */
export function launchBrowser(flags: readonly string[] = []): Promise<Browser> {
  // Containers often run as root, where Chromium's own sandbox cannot start.
  return chromium.launch({ executablePath, args: ["--no-sandbox", ...flags] });
}

export interface OpenPage {
  page: Page;
  /** What should not have happened: messages in the console, errors, requests to elsewhere. */
  problems: string[];
}

/** Opens a page and waits for its heading. */
export async function openPage(
  browser: Browser,
  url: string,
  options: BrowserContextOptions = {},
): Promise<OpenPage> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems: string[] = [];
  page.on("console", (message) => problems.push(message.text()));
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("request", (request) => {
    const own = new URL(url).origin;
    if (!/^(file|data|blob):/.test(request.url()) && new URL(request.url()).origin !== own)
      problems.push(`asked for ${request.url()}`);
  });
  await page.goto(url);
  await page.waitForSelector("h1");
  return { page, problems };
}

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What axe-core finds wrong, as `rule: elements`. */
export async function accessibilityViolations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const violations = (await page.evaluate(
    "axe.run().then((result) => result.violations.map(({ id, nodes }) => ({ id, nodes: nodes.map((n) => n.html) })))",
  )) as { id: string; nodes: string[] }[];
  return violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).join(" ")}`);
}
