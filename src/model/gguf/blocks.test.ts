/** @file Quantized types against what `gguf` unpacks of the same blocks (test/fixtures/make_gguf_blocks.py). */

import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { elementTypes } from "./quantized.ts";

const path = fileURLToPath(new URL("../../../test/fixtures/gguf-blocks.json", import.meta.url));
const made = JSON.parse(await readFile(path, "utf8")) as Record<
  string,
  { type: number; elements: number; bytes: string; values: string }
>;

/** The bytes of a text in base64, in a buffer of their own. */
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text, "base64")).buffer;

it.each(Object.entries(made))(
  "%s is unpacked to the same bits",
  (name, { type, elements, bytes, values }) => {
    const wanted = new Float32Array(bytesOf(values));
    const found = new Float32Array(wanted.length);
    const stored = bytesOf(bytes);
    const known = elementTypes[type]!;
    expect(known).toMatchObject({ name, elements, bytes: (stored.byteLength * elements) / wanted.length });
    known.unpack(stored, found);
    expect(found).toEqual(wanted);
    expect(new Set(wanted).size).toBeGreaterThan(elements / 4);
  },
);

it("BF16 is the upper half of float32", () => {
  const found = new Float32Array(2);
  elementTypes[30]!.unpack(new Uint16Array([0x3fc0, 0xc000]).buffer, found);
  expect([...found]).toEqual([1.5, -2]);
});
