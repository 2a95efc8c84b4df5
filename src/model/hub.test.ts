/** @file Pulling a checkpoint from a local server that speaks as the hub does. */

import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadModel } from "./checkpoint.ts";
import { pullModel } from "./hub.ts";

const checkpoint = fileURLToPath(new URL("../../test/fixtures/checkpoints/qwen2", import.meta.url));

/** Serves a repository `some/model`; files whose names end in .safetensors as large ones. */
class Hub {
  readonly files = new Map<string, Buffer>();
  /** Ranges that were asked for, by file. */
  readonly ranges: [string, string][] = [];
  /** Files whose bytes are sent wrong. */
  readonly corrupt = new Set<string>();
  /** Files that are cut off after so many bytes. */
  readonly cutOff = new Map<string, number>();
  readonly #server: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://hub");
    if (pathname === "/api/models/some/model/tree/main") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify([...this.files].map(([path, data]) => entryOf(path, data))));
      return;
    }
    const name = pathname.replace("/some/model/resolve/main/", "");
    const whole = this.files.get(name);
    if (whole === undefined) {
      response.writeHead(404).end("{}");
      return;
    }
    const range = request.headers.range ?? `bytes=0-${whole.length - 1}`;
    if (range !== "bytes=0-0") this.ranges.push([name, range]);
    const [, start, end] = /bytes=(\d+)-(\d+)/.exec(range)!;
    let part = Buffer.from(whole.subarray(Number(start), Number(end) + 1));
    if (this.corrupt.has(name) && range !== "bytes=0-0") part[0]! ^= 1;
    response.writeHead(206, {
      "content-range": `bytes ${start}-${end}/${whole.length}`,
      "content-length": part.length,
      etag: `"${name}"`,
    });
    const limit = this.cutOff.get(name);
    if (limit !== undefined && part.length > limit) {
      part = part.subarray(0, limit);
      response.write(part, () => response.destroy());
    } else response.end(part);
  });

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

function entryOf(path: string, data: Buffer) {
  const git = createHash("sha1").update(`blob ${data.length}\0`).update(data).digest("hex");
  const sha256 = createHash("sha256").update(data).digest("hex");
  const lfs = path.endsWith(".safetensors") && { lfs: { oid: sha256, size: data.length, pointerSize: 130 } };
  return { type: "file", path, size: data.length, oid: lfs ? "0".repeat(40) : git, ...lfs };
}

describe("pullModel", () => {
  let hub: Hub;
  let hubUrl: string;
  let folder: string;
  beforeEach(async () => {
    hub = new Hub();
    for (const name of await readdir(checkpoint))
      if (!name.startsWith("expected")) hub.files.set(name, await readFile(join(checkpoint, name)));
    hub.files.set("README.md", Buffer.from("not needed"));
    hub.files.set("pytorch_model.bin", Buffer.from("never wanted"));
    hubUrl = await hub.start();
    folder = await mkdtemp(join(tmpdir(), "probeward-pull-"));
  });
  afterEach(async () => {
    await hub.stop();
    await rm(folder, { recursive: true });
  });
  const shard = "model-00002-of-00002.safetensors";

  it("fetches what a model is loaded from, and nothing else", async () => {
    const seen = new Map<string, number>();
    await pullModel("some/model", folder, { hubUrl, onProgress: (file, bytes) => seen.set(file, bytes) });
    const names = await readdir(folder);
    expect(names.sort()).toEqual([...hub.files.keys()].filter((name) => !/README|pytorch/.test(name)).sort());
    for (const name of names) {
      expect(await readFile(join(folder, name))).toEqual(hub.files.get(name));
      expect(seen.get(name)).toBe(hub.files.get(name)!.length);
    }
    expect((await loadModel(folder)).config.architecture).toBe("qwen2");
  });

  it("fetches nothing again that is there", async () => {
    await pullModel("some/model", folder, { hubUrl });
    hub.ranges.length = 0;
    await pullModel("some/model", folder, { hubUrl });
    expect(hub.ranges).toEqual([]);
  });

  it("goes on where it was cut off", async () => {
    hub.cutOff.set(shard, 4000);
    await expect(pullModel("some/model", folder, { hubUrl })).rejects.toThrow();
    const done = (await readFile(join(folder, `${shard}.partial`))).length;
    expect(done).toBe(4000);
    hub.cutOff.clear();
    hub.ranges.length = 0;
    await pullModel("some/model", folder, { hubUrl });
    expect(hub.ranges.map(([name, range]) => [name, range.split("-")[0]])).toEqual([[shard, "bytes=4000"]]);
    expect(await readFile(join(folder, shard))).toEqual(hub.files.get(shard));
  });

  it.each([shard, "tokenizer.json"])("refuses %s where its bytes are not the hub's", async (name) => {
    hub.corrupt.add(name);
    await expect(pullModel("some/model", folder, { hubUrl })).rejects.toThrow(`${name}: its checksum`);
    expect(await readdir(folder)).not.toContain(name);
    expect(await readdir(folder)).not.toContain(`${name}.partial`);
  });

  it("mends a file that was changed", async () => {
    await pullModel("some/model", folder, { hubUrl });
    await writeFile(join(folder, "tokenizer.json"), "{}");
    await pullModel("some/model", folder, { hubUrl });
    expect(await readFile(join(folder, "tokenizer.json"))).toEqual(hub.files.get("tokenizer.json"));
  });

  it("refuses an architecture that is not supported before it fetches weights", async () => {
    hub.files.set("config.json", Buffer.from('{"model_type":"mamba","architectures":["MambaForCausalLM"]}'));
    await expect(pullModel("some/model", folder, { hubUrl })).rejects.toThrow(/MambaForCausalLM/);
    expect(hub.ranges.map(([name]) => name)).toEqual(["config.json"]);
  });

  it("names a repository that is not there, or is no checkpoint", async () => {
    await expect(pullModel("some/other", folder, { hubUrl })).rejects.toThrow(
      /cannot list some\/other at main/,
    );
    hub.files.delete("config.json");
    await expect(pullModel("some/model", folder, { hubUrl })).rejects.toThrow(
      /some\/model at main is no checkpoint/,
    );
  });
});
