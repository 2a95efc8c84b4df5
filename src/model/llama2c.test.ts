/** @file stories260K writes its story, where the shared folder with its files is there. */

import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { createEngine } from "../engine/index.ts";
import { loadLlama2c } from "./llama2c.ts";

const shared = (name: string) => {
  const beside = ["../../../shared/models", "../../../../shared/models"].map((folder) =>
    fileURLToPath(new URL(`${folder}/${name}`, import.meta.url)),
  );
  return beside.find(existsSync) ?? beside[0]!;
};
const model = shared("stories260K.bin");
const pieces = shared("tok512.bin");
const present = existsSync(model) && existsSync(pieces);
if (!present) console.log("stories260K is not in the shared folder: its tests are skipped");

describe.skipIf(!present)("stories260K", () => {
  // The text that llama2.c's own tests expect at temperature 0.
  const story =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.";

  it("writes its story", async () => {
    const engine = createEngine(await loadLlama2c(model, pieces));
    const { reference, tokenizer } = engine;
    const params = { maxTokens: 200, temperature: 0, seed: ["story"] };
    const [completion] = await reference.sample([tokenizer.encodePrompt("")], params);
    await engine.close();
    const text = tokenizer.decode(completion!.tokens).trimStart();
    expect(text.slice(0, story.length)).toBe(story);
  });

  it("reads back what it has written, with bytes for what is no piece", async () => {
    const { tokenizer } = await loadLlama2c(model, pieces);
    expect(tokenizer.encode("")).toEqual([]);
    expect(tokenizer.encode("Once upon a time").length).toBeLessThan(10);
    for (const text of [story, "naïve\n3 €"]) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it("refuses a file of another size", async () => {
    const size = (await readFile(pieces)).length;
    expect(size).toBeGreaterThan(0);
    await expect(loadLlama2c(pieces, pieces)).rejects.toThrow(/tok512\.bin/);
  });
});

it.each([
  ["shorter than a header", 20, /few\.bin: has 20 bytes, fewer than its header/],
  ["of zeros", 400, /few\.bin: its size does not fit its header/],
])("refuses a file %s", async (_, bytes, message) => {
  const folder = await mkdtemp(join(tmpdir(), "probeward-llama2c-"));
  const path = join(folder, "few.bin");
  await writeFile(path, Buffer.alloc(bytes));
  await expect(loadLlama2c(path, path)).rejects.toThrow(message);
  await rm(folder, { recursive: true });
});
