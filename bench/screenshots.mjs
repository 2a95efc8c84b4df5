/** @file Takes the picture of a report that README shows: `node bench/screenshots.mjs runs/code/report.html`. */

import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const report = process.argv[2];
if (!report) throw new Error("usage: node bench/screenshots.mjs <report.html>");
const executablePath = process.env.PROBEWARD_CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1100, height: 900 }, deviceScaleFactor: 1.5 });
await page.goto(pathToFileURL(resolve(report)).href);
await page.waitForSelector("svg");
await page.screenshot({ path: "docs/report.png" });
await browser.close();
