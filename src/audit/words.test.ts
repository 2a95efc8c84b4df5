import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { atlasMeanings, diagnosisMeanings, outcomeMeanings, termMeanings } from "./words.ts";

test("docs/words.md says what the page says", async () => {
  const page = await readFile(new URL("../../docs/words.md", import.meta.url), "utf8");
  const meanings = [outcomeMeanings, diagnosisMeanings, atlasMeanings, termMeanings].flatMap(
    Object.entries<string>,
  );
  for (const [word, meaning] of meanings) expect(page).toContain(`| ${word} | ${meaning} |`);
});
