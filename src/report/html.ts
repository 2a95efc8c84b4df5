/** @file Writes the self-contained report: the built page with a study's data inside. */

import { readFile } from "node:fs/promises";
import { writeWhole } from "../files.ts";
import type { StudyData } from "./data.ts";
import type { PageData } from "./page.ts";
import { contentPolicy } from "./policy.ts";

/** The built page: the same place seen from `dist/report/` and from `src/report/`. */
const builtPage = new URL("../../dist/web/index.html", import.meta.url);

const opening = '<script type="application/json" id="probeward-data">';
const closing = "</script>";

/**
 * The report as one HTML document that needs neither a network nor other files. Probe scores of tokens are rounded to
 * three decimals: they become colours, and they are most of a report's size.
 *
 * @throws if the page has not been built
 */
export async function renderReport(data: StudyData): Promise<string> {
  return renderPage(data);
}

/** The page with what it is to show: a study, a probe, several studies, or word that a server has studies. @throws if the page has not been built */
export async function renderPage(data: PageData): Promise<string> {
  const page = withPolicy(await readPage());
  const start = page.indexOf(opening);
  if (start < 0)
    throw new Error("The built page has no place for the data. Build it again with `npm run build`.");
  const from = start + opening.length;
  return page.slice(0, from) + embed(data) + page.slice(page.indexOf(closing, from));
}

/** Writes the report; a reader sees the old one or the new one, and never a part. @throws FileError */
export async function writeReport(path: string, data: StudyData): Promise<void> {
  // A study that ends and someone who asks for its report may write at the same time.
  await writeWhole(path, await renderReport(data), `${path}.${process.pid}.partial`);
}

/** The page with its policy in it, ahead of all that it is about: a file that is opened from a disk has no headers. */
function withPolicy(page: string): string {
  const charset = '<meta charset="utf-8" />';
  const policy = `<meta http-equiv="Content-Security-Policy" content="${contentPolicy(page)}" />`;
  return page.replace(charset, `${charset}\n    ${policy}`);
}

/** JSON that cannot end the script element it stands in: whatever a model wrote stays data. */
function embed(data: PageData): string {
  const rounded = (key: string, value: unknown) =>
    key === "tokenScores"
      ? Object.fromEntries(
          Object.entries(value as Record<string, (number | null)[]>).map(([model, scores]) => [
            model,
            scores.map((score) => (score === null ? null : toThree(score))),
          ]),
        )
      : value;
  return JSON.stringify(data, rounded).replaceAll("<", "\\u003c");
}

function toThree(value: number): number {
  return Math.round(value * 1000) / 1000;
}

async function readPage(): Promise<string> {
  try {
    return await readFile(builtPage, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    throw new Error("The report's page has not been built. Run `npm run build` first.");
  }
}
