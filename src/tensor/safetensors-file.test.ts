/** @file Files read tensor by tensor hold what files read whole hold; half precision against Node's own numbers. */

import { createHash } from "node:crypto";
import { appendFile, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { widenBrainHalves, widenHalves } from "./halves.ts";
import { encodeSafetensors, type StorableTensor, safetensorsPieces } from "./safetensors.ts";
import { openSafetensors, readSafetensors } from "./safetensors-file.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-safetensors-"));
});
afterAll(() => rm(folder, { recursive: true }));

describe("openSafetensors", () => {
  it("reads the tensors of a file one by one", async () => {
    const bytes = encodeSafetensors({
      a: { shape: [2, 3], data: Float32Array.from([1, -2, 3, 4, 5, 6.5]) },
      b: { shape: [3], data: Int32Array.from([7, -8, 9]) },
    });
    const path = join(folder, "whole.safetensors");
    await writeFile(path, bytes);
    const source = await openSafetensors(path);
    expect(source.shapes).toEqual({ a: [2, 3], b: [3] });
    const { tensors } = await readSafetensors(path);
    for (const name of ["b", "a"]) expect(await source.read(name)).toEqual(tensors[name]);
    await expect(source.read("c")).rejects.toThrow(/lacks the tensor c/);
    await source.close();
  });

  it("passes over element types that it does not read, until they are asked for", async () => {
    const header = JSON.stringify({
      mask: { dtype: "U8", shape: [4], data_offsets: [0, 4] },
      x: { dtype: "F32", shape: [1], data_offsets: [4, 8] },
    });
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    const path = join(folder, "mask.safetensors");
    await writeFile(
      path,
      Buffer.concat([length, Buffer.from(header), Buffer.from([1, 0, 1, 0, 0, 0, 128, 63])]),
    );
    const source = await openSafetensors(path);
    expect((await source.read("x")).data).toEqual(Float32Array.of(1));
    await expect(source.read("mask")).rejects.toThrow(/mask\.safetensors: tensor mask has dtype "U8"/);
    await source.close();
  });

  it.each([0, 7, 20, 60])("refuses a file cut off after %d bytes by its name", async (length) => {
    const bytes = encodeSafetensors({ a: { shape: [8], data: new Float32Array(8) } });
    const path = join(folder, "cut.safetensors");
    await writeFile(path, bytes.subarray(0, length));
    await expect(openSafetensors(path)).rejects.toThrow(/cut\.safetensors/);
  });

  it("names a file that is not there", async () => {
    await expect(openSafetensors(join(folder, "none"))).rejects.toThrow(/cannot read .*none/);
  });
});

describe("half precision", () => {
  it.each([
    [0x0000, 0],
    [0x3c00, 1],
    [0xc500, -5],
    [0x7bff, 65504],
    [0x0001, 2 ** -24],
    [0x0400, 2 ** -14],
    [0x7c00, Infinity],
    [0xfc00, -Infinity],
    [0x7e00, NaN],
  ])("half %i is %d", (bits, value) => {
    expect(widenHalves(Uint16Array.of(bits))[0]).toBe(value);
  });

  it("bfloat16 is a float32 without its lower half", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true }), (value) => {
        const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
        const kept = new Float32Array(Uint32Array.of((bits & 0xffff0000) >>> 0).buffer)[0];
        expect(widenBrainHalves(Uint16Array.of(bits >>> 16))[0]).toBe(kept);
      }),
    );
  });
});

it("reads and hashes tensors over 2 GiB, which no system call and no checksum takes at once", async () => {
  const count = 537_000_000;
  const path = join(folder, "large.safetensors");
  const json = JSON.stringify({ big: { dtype: "F32", shape: [count], data_offsets: [0, 4 * count] } });
  const padded = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  // Sparse: it takes no room on the disk.
  await writeFile(path, Buffer.concat([length, padded]));
  await truncate(path, 8 + padded.length + 4 * count - 4);
  await appendFile(path, Buffer.from(Float32Array.of(7).buffer));
  const { tensors } = await readSafetensors(path);
  expect(tensors.big!.data.length).toBe(count);
  expect(tensors.big!.data.at(-1)).toBe(7);
  const hash = createHash("sha256");
  for (const piece of safetensorsPieces(tensors as Record<string, StorableTensor>)) hash.update(piece);
  // That of the file, by sha256sum.
  expect(hash.digest("hex")).toBe("14e7a3b97ba92b125cedf24d07e9918f2a145f63f4debe4085cf565463ffed28");
}, 120_000);
