/** @file Workers that do not come, are gone, hang, or get what is no message: as real processes. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, it } from "vitest";
import { bundle, start } from "../../../test/process.ts";
import { onPython, onXla } from "../../../test/xla.ts";
import { pythonOf } from "../../python/index.ts";
import { packageFolder } from "../../versions.ts";
import { compile } from "../compile.ts";
import { floats } from "../types.ts";
import { type Message, MessageReader, messagePieces, PROTOCOL } from "./message.ts";
import { startXla } from "./start.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-python-"));
});

/** A Python that says its process in a file before it starts, with some words before its arguments. */
async function pythonWith(
  name: string,
  words: string,
  variables = "",
): Promise<{ python: string; pid(): Promise<number> }> {
  const python = join(folder, name);
  await writeFile(
    python,
    `#!/bin/sh\necho $$ > ${python}.pid\n${variables} exec ${pythonOf(undefined)} ${words} "$@"\n`,
  );
  await chmod(python, 0o755);
  return { python, pid: async () => Number(await readFile(`${python}.pid`, "utf8")) };
}

async function isThere(pid: number): Promise<boolean> {
  const state = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "gone) Z");
  return !/\) Z/.test(state);
}

it("waits for the end of a worker that has to be ended, with nothing else to do", async () => {
  const script = await bundle("slow-worker.ts");
  try {
    const lines: string[] = [];
    const { ended } = start(process.execPath, [script.path], (line) => lines.push(line));
    expect(await ended).toEqual({ status: 0, signal: null, stderr: "" });
    expect(lines).toEqual(["ended"]);
  } finally {
    await script.remove();
  }
});

onPython("a worker that does not come", () => {
  it("for want of a Python", async () => {
    await expect(startXla({ python: "/nowhere/python" })).rejects.toThrow(
      "xla: /nowhere/python cannot be started: there is no such program. Give the path of a Python that has jax",
    );
  });
  it("for want of jax", async () => {
    const { python } = await pythonWith("no-jax", "-S");
    await expect(startXla({ python })).rejects.toThrow(
      /no-jax has no jax \(No module named 'jax'\).*PROBEWARD_PYTHON/,
    );
  });
  it("because jax is too old", async () => {
    for (const name of ["jax", "jaxlib", "numpy"]) {
      await mkdir(join(folder, "old", name), { recursive: true });
      await writeFile(join(folder, "old", name, "__init__.py"), "__version__ = '0.4.30'\n");
    }
    const { python } = await pythonWith("old-jax", "", `PYTHONPATH=${folder}/old`);
    await expect(startXla({ python })).rejects.toThrow(
      /has jax 0\.4\.30, and .* or later is needed: .*pip install/,
    );
  });
  it("because it fails at once, with its last words", async () => {
    const { python } = await pythonWith("broken", `-c "raise SystemExit('no such luck')"`);
    await expect(startXla({ python })).rejects.toThrow(
      /ended with status 1\..*\nIts last words:\nno such luck/s,
    );
  });
});

onPython("a worker that gets what is no message", () => {
  const json = (call: unknown, entries = {}) => {
    const header = Buffer.from(JSON.stringify({ __metadata__: { call: JSON.stringify(call) }, ...entries }));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([length, header]);
  };
  const hello = { call: "hello", protocol: PROTOCOL };
  const tensor = (shape: unknown, begin: number, end: number) => ({
    x: { dtype: "F32", shape, data_offsets: [begin, end] },
  });
  const cases: [what: string, bytes: Uint8Array, answer: RegExp][] = [
    ["a header without end", Buffer.alloc(8, 255), /a header of 18446744073709551615 bytes/],
    [
      "what is not JSON",
      Buffer.concat([Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]), Buffer.from("{x}")]),
      /its header is no table/,
    ],
    ["no call", json(undefined), /its header is no table/],
    ["a call that is no table", json([1]), /its call is not a table/],
    ["a hole in the data", json(hello, tensor([1], 4, 8)), /'x' begins at byte 4/],
    ["fewer bytes than its shape needs", json(hello, tensor([3], 0, 8)), /'x' is described by/],
    ["a size below zero", json(hello, tensor([-1], 0, 8)), /'x' is described by/],
    ["more than any memory holds", json(hello, tensor([2 ** 40], 0, 2 ** 42)), /'x' is described by/],
    ["a call before the greeting", json({ call: "get" }), /'get' before a greeting/],
    ["another protocol", json({ ...hello, protocol: 99 }), /it speaks protocol 99, and this worker/],
  ];
  it.each(cases)("%s", async (_, bytes, answer) => {
    const { socket, child } = await rawWorker();
    const told = nextMessage(socket);
    socket.write(bytes);
    expect(JSON.stringify((await told).call)).toMatch(answer);
    await once(child, "close");
  });

  it("an end in its middle", async () => {
    const { socket, child } = await rawWorker();
    socket.end(Buffer.alloc(5));
    await once(child, "close");
  });
});

function nextMessage(socket: Socket): Promise<Message> {
  return new Promise((resolve) => {
    const reader = new MessageReader((message) => {
      socket.off("data", push);
      resolve(message);
    });
    const push = (chunk: Buffer) => reader.push(chunk);
    socket.on("data", push);
  });
}

/** A worker that only the test speaks to. */
async function rawWorker(): Promise<{ socket: Socket; child: ChildProcess }> {
  const path = join(await mkdtemp(join(tmpdir(), "probeward-raw-")), "socket");
  const server = createServer().listen(path);
  await once(server, "listening");
  const cwd = fileURLToPath(new URL("python", packageFolder()));
  const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const child = spawn(pythonOf(undefined), ["-m", "probeward_xla", "--conductor", path], {
    cwd,
    env,
    stdio: "ignore",
  });
  const [socket] = (await once(server, "connection")) as [Socket];
  server.close();
  socket.on("error", () => {});
  expect((await nextMessage(socket)).call).toMatchObject({ call: "join", protocol: PROTOCOL, process: 0 });
  for (const piece of messagePieces({ call: "welcome" }, {})) socket.write(piece);
  return { socket, child };
}

onXla("a worker", () => {
  it("that is killed in the middle of a call fails that call, and all later ones", async () => {
    const { python, pid } = await pythonWith("killed", "");
    const runtime = await startXla({ python });
    const handle = await runtime.put(floats([2]));
    process.kill(await pid(), "SIGSTOP");
    const got = runtime.get(handle);
    process.kill(await pid(), "SIGKILL");
    const ended = /was ended by SIGKILL; where that was for want of memory.*Run the same command again/s;
    await expect(got).rejects.toThrow(ended);
    await expect(runtime.put(floats([2]))).rejects.toThrow(ended);
    runtime.free(handle);
    await runtime.close();
  });

  it("that hangs is ended", async () => {
    const { python, pid } = await pythonWith("hanging", "");
    const runtime = await startXla({ python, patience: 2 });
    const handle = await runtime.put(floats([2]));
    process.kill(await pid(), "SIGSTOP");
    await expect(runtime.get(handle)).rejects.toThrow("the worker has not answered a call (get) for 2 s");
    await expect.poll(async () => isThere(await pid())).toBe(false);
  });

  it("tells what an unanswered call could not do where its result is needed, and goes on", async () => {
    const runtime = await startXla();
    try {
      const program = await compile((x) => x.ref.add(x), [floats([2])], { runtime });
      const tooLarge = await runtime.zeros({ shape: [2 ** 25, 2 ** 25], dtype: "float32" });
      await expect(runtime.get(tooLarge)).rejects.toThrow(
        /xla: zeros: .*devices' memory is full: give a smaller/s,
      );
      runtime.free(tooLarge);
      expect(await program.evaluate(floats([2], Float32Array.of(1, 2)))).toMatchObject({
        data: Float32Array.of(2, 4),
      });
    } finally {
      await runtime.close();
    }
  });

  it("divides its devices anew before there is anything on them, and understands several calls in a message", async () => {
    const { socket, child } = await rawWorker();
    const say = async (call: object, tensors = {}) => {
      const told = nextMessage(socket);
      for (const piece of messagePieces(call, tensors)) socket.write(piece);
      return (await told).call;
    };
    const greeting = { minimum: "0.6.0", cache: await mkdtemp(join(tmpdir(), "probeward-cache-")) };
    const options = { dtype: "float32", devices: 4, data: 1, processes: 1 };
    const hello = { call: "hello", protocol: PROTOCOL, ...greeting, ...options };
    expect((await say(hello)).mesh).toEqual({ data: 1, fsdp: 4 });
    expect(await say({ call: "divide", data: 3 })).toMatchObject({
      error: expect.stringContaining("4 devices are not 3 equal groups"),
    });
    expect(await say({ call: "divide", data: 2 })).toEqual({});
    const put = { call: "put", id: 0, asOperand: false };
    const there = { "0.tensor": floats([128, 256]) };
    // Half of it is on each of the two devices of a group.
    expect(await say({ calls: [put, { call: "memory" }] }, there)).toMatchObject({
      kept: (128 * 256 * 4) / 2,
    });
    expect(await say({ call: "divide", data: 1 })).toEqual({
      fatal: expect.stringContaining("a call to divide devices that hold something"),
    });
    await once(child, "close");
  });

  it("ends with the process that started it, however that ends", async () => {
    const script = await bundle("xla-process.ts");
    try {
      const { python, pid } = await pythonWith("left", "");
      const before = process.env.PROBEWARD_PYTHON;
      process.env.PROBEWARD_PYTHON = python;
      const lines: string[] = [];
      const ending = start(process.execPath, [script.path], (line) => lines.push(line));
      expect(await ending.ended).toEqual({ status: 0, signal: null, stderr: "" });
      await expect.poll(async () => isThere(await pid())).toBe(false);
      const waiting = start(process.execPath, [script.path, "wait"], (line) => lines.push(line));
      process.env.PROBEWARD_PYTHON = before ?? "";
      await expect.poll(() => lines, { timeout: 60_000 }).toEqual(["1,2", "1,2"]);
      expect(await isThere(await pid())).toBe(true);
      waiting.child.kill("SIGKILL");
      await waiting.ended;
      await expect.poll(async () => isThere(await pid())).toBe(false);
    } finally {
      await script.remove();
    }
  });

  it("takes more than a socket holds, in both directions at once", async () => {
    const runtime = await startXla();
    try {
      const size = 2 ** 23;
      const tensors = [1, 2, 3].map((value) => floats([size], new Float32Array(size).fill(value)));
      const handles = await Promise.all(tensors.map((tensor) => runtime.put(tensor)));
      const got = handles.map((handle) => runtime.get(handle));
      const more = Promise.all(tensors.map((tensor) => runtime.put(tensor)));
      for (const [i, { data }] of (await Promise.all(got)).entries())
        expect([data.length, data[0], data.at(-1)]).toEqual([size, i + 1, i + 1]);
      await more;
    } finally {
      await runtime.close();
    }
  });
});
