/** @file Pulling a checkpoint from a local server that speaks as the hub does. */

import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
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
  /** Answers what is asked in the place of the repository; whether it did. */
  instead: (path: string, response: ServerResponse, request: IncomingMessage) => boolean = () => false;
  /** What came with each request to say who asks. */
  readonly authorizations = new Set<string | undefined>();
  readonly #server: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://hub");
    this.authorizations.add(request.headers.authorization);
    if (this.instead(pathname, response, request)) return;
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

/** Sends without end, as long as somebody reads. */
function sendForEver(response: ServerResponse): void {
  const more = () => {
    while (!response.destroyed && response.write(Buffer.alloc(1 << 16, " ")));
  };
  response.on("drain", more);
  more();
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

  it("refuses what cannot be loaded before it fetches weights", async () => {
    const tokenizer = hub.files.get("tokenizer.json")!;
    hub.files.delete("tokenizer.json");
    hub.files.set("tokenizer.model", Buffer.from("pieces"));
    await expect(pullModel("some/model", folder, { hubUrl })).rejects.toThrow(
      /some\/model at main has no tokenizer.json.*tokenizer.model/,
    );
    expect(hub.ranges).toEqual([]);
    hub.files.set("tokenizer.json", Buffer.from('{"model":{"type":"Other"}}'));
    await expect(pullModel("some/model", folder, { hubUrl })).rejects.toThrow(/tokenizer.json/);
    expect(hub.ranges.map(([name]) => name).join()).not.toMatch(/safetensors(,|$)/);
    hub.files.set("tokenizer.json", tokenizer);
    hub.files.delete(shard);
    await expect(pullModel("some/model", folder, { hubUrl })).rejects.toThrow(
      `names the file "${shard}", which the repository does not have`,
    );
    expect(hub.ranges.map(([name]) => name).join()).not.toMatch(/safetensors(,|$)/);
  });

  it("writes through no link", async () => {
    const mine = join(folder, "mine");
    await writeFile(mine, "mine");
    await symlink(mine, join(folder, "config.json.partial"));
    await pullModel("some/model", folder, { hubUrl });
    expect(await readFile(mine, "utf8")).toBe("mine");
  });
});

describe("a hub that means harm", () => {
  let hub: Hub;
  let other: Hub;
  let hubUrl: string;
  let otherUrl: string;
  let folder: string;
  beforeEach(async () => {
    hub = new Hub();
    other = new Hub();
    for (const each of [hub, other])
      for (const name of await readdir(checkpoint))
        if (!name.startsWith("expected")) each.files.set(name, await readFile(join(checkpoint, name)));
    [hubUrl, otherUrl] = await Promise.all([hub.start(), other.start()]);
    folder = await mkdtemp(join(tmpdir(), "probeward-pull-"));
  });
  afterEach(async () => {
    await Promise.all([hub.stop(), other.stop()]);
    await rm(folder, { recursive: true });
  });
  const list = "/api/models/some/model/tree/main";

  it.each<[string, RegExp, Hub["instead"]]>([
    [
      "sends a file without end",
      /tokenizer.json: the answer is longer than 10\d{4} bytes/,
      (path, response, { headers }) => {
        if (!path.endsWith("tokenizer.json") || headers.range === "bytes=0-0") return false;
        sendForEver(response.writeHead(206));
        return true;
      },
    ],
    [
      "sends a file that is small, and packed",
      /tokenizer.json: the answer is longer than 10\d{4} bytes/,
      (path, response, { headers }) => {
        if (!path.endsWith("tokenizer.json") || headers.range === "bytes=0-0") return false;
        response.writeHead(206, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(50e6)));
        return true;
      },
    ],
    [
      "lists without end",
      /cannot list some\/model at main: the answer is longer than 4000000 bytes/,
      (path, response) => {
        if (path !== list) return false;
        sendForEver(response.writeHead(200));
        return true;
      },
    ],
    [
      "has pages without end",
      /cannot list .*: the list of its files has no end/,
      (path, response) => {
        if (path !== list) return false;
        response
          .writeHead(200, { link: `<http://${response.req.headers.host}${list}>; rel="next"` })
          .end("[]");
        return true;
      },
    ],
    [
      "lists sizes that are none",
      /cannot list .*expected number/,
      (path, response) => {
        if (path !== list) return false;
        response.end('[{"type":"file","path":"config.json","oid":"0","size":"9"}]');
        return true;
      },
    ],
    [
      "lists a configuration of a gigabyte",
      /config.json has 1000000000 bytes, and so is not what it is called/,
      (path, response) => {
        if (path !== list) return false;
        const names = ["config.json", "tokenizer.json", "model.safetensors"];
        response.end(
          JSON.stringify(names.map((name) => ({ type: "file", path: name, oid: "0", size: 1e9 }))),
        );
        return true;
      },
    ],
    ["says nothing", /cannot list .*says nothing for 0.3 seconds/, (path) => path === list],
    [
      "says nothing in the middle of a file",
      /tokenizer.json: the server says nothing for 0.3 seconds/,
      (path, response, { headers }) => {
        if (!path.endsWith("tokenizer.json") || headers.range === "bytes=0-0") return false;
        response.writeHead(206).write("{");
        return true;
      },
    ],
  ])("%s", async (_, message, instead) => {
    hub.instead = instead;
    await expect(pullModel("some/model", folder, { hubUrl, silence: 300 })).rejects.toThrow(message);
    expect(await readdir(folder)).not.toContain("tokenizer.json");
  });

  it("refers to another host, and the token does not go there", async () => {
    const accessToken = "hf_secret";
    hub.instead = (path, response) => {
      if (path === list) response.writeHead(200, { link: `<${otherUrl}${list}>; rel="next"` }).end("[]");
      else if (path.endsWith(".safetensors"))
        response.writeHead(302, { location: otherUrl + path, "x-cache": "Hit from cloudfront" }).end();
      else return false;
      return true;
    };
    other.instead = (path, response) => {
      response.setHeader("x-cache", "Hit from cloudfront");
      return path === "none";
    };
    await pullModel("some/model", folder, { hubUrl: `${hubUrl}/`, accessToken });
    expect([...hub.authorizations]).toEqual(["Bearer hf_secret"]);
    expect([...other.authorizations]).toEqual([undefined]);
  });

  it("is not given a token that could be read on the way, nor one in its address", async () => {
    const pull = (hubUrl: string, accessToken?: string) =>
      pullModel("some/model", folder, { hubUrl, accessToken });
    await expect(pull("http://hub.example", "hf_secret")).rejects.toThrow(/would go to http:\/\/hub.example/);
    for (const address of [
      "hub.example",
      "https://me:secret@hub.example",
      "https://hub.example?key=secret",
    ]) {
      await expect(pull(address)).rejects.toThrow(/should be plain/);
      await expect(pull(address)).rejects.not.toThrow(/secret/);
    }
    await expect(pull(hubUrl, "hf_sec\nret")).rejects.toThrow(/HF_TOKEN.* characters that no key has/);
    await expect(pull(hubUrl, "hf_sec\nret")).rejects.not.toThrow(/ret$/);
  });
});
