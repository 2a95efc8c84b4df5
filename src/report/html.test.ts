import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import type { StudyData } from "./data.ts";
import { renderReport, writeReport } from "./html.ts";

/** What the page's script reads: the text of the data element, up to the first end tag as a browser does. */
function dataOf(html: string): StudyData {
  return JSON.parse(/id="probeward-data">(.*?)<\/script/s.exec(html)![1]!);
}

describe("renderReport", () => {
  test("carries the data unchanged, apart from rounding the scores of tokens", async () => {
    const data = studyFixture({ steps: 3 });
    data.runs[0]!.rollouts[0]!.tokenScores.policy[0] = 0.12345;
    const read = dataOf(await renderReport(data));
    expect(read.runs[0]!.rollouts[0]!.tokenScores.policy[0]).toBe(0.123);
    expect(read.summary).toEqual(data.summary);
    expect(read.runs[0]!.metrics).toEqual(data.runs[0]!.metrics);
  });

  test("keeps what a model wrote from becoming part of the page", async () => {
    const data = studyFixture({ steps: 1 });
    const completion = "</script><script>alert(1)</script><!-- $& $' $1";
    data.runs[0]!.rollouts[0]!.completion = completion;
    const html = await renderReport(data);
    expect(html).not.toContain("alert(1)</script>");
    expect(dataOf(html).runs[0]!.rollouts[0]!.completion).toBe(completion);
  });

  test("lets nothing run but its own script, before anything runs", async () => {
    const html = await renderReport(studyFixture({ steps: 1 }));
    const [policy, content] = /<meta http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html)!;
    expect(content).toMatch(/^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; /);
    expect(content).not.toContain("unsafe");
    expect(html.indexOf(policy)).toBeLessThan(html.indexOf("<script"));
    expect(html.indexOf(policy)).toBeLessThan(html.indexOf("<style"));
  });

  test("asks for nothing from outside the file", async () => {
    const html = await renderReport(studyFixture({ steps: 1 }));
    expect(html).not.toMatch(/<(script|img|iframe)[^>]*\ssrc=/);
    expect(html).not.toMatch(/<link[^>]*\shref="(?!data:)/);
  });
});

test("writeReport replaces an older report and leaves nothing beside it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "probeward-html-"));
  const path = join(folder, "report.html");
  await writeReport(path, studyFixture({ steps: 1 }));
  const data = studyFixture({ steps: 2 });
  await writeReport(path, data);
  expect(dataOf(await readFile(path, "utf8")).summary!.steps).toBe(2);
  expect(await readdir(folder)).toEqual(["report.html"]);
  await rm(folder, { recursive: true });
});
