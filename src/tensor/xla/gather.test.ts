/** @file Who may join a worker's conductor, and who is sent away: over TCP, with processes that are started by hand. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { onPython, onXla } from "../../../test/xla.ts";
import { pythonOf } from "../../python/index.ts";
import { runtimeContract } from "../contract.ts";
import { floats, ints } from "../types.ts";
import { gather } from "./gather.ts";
import { type Message, MessageReader, messagePieces, PROTOCOL } from "./message.ts";
import { workerFolder } from "./process.ts";
import { startXla } from "./start.ts";

const token = "0123456789abcdef".repeat(4);
const hello = {
  call: "join",
  protocol: PROTOCOL,
  token,
  process: 0,
  host: "here",
  versions: { jax: "0.10.2" },
};
const join1 = { ...hello, process: 1 };

/** A conductor that waits for two processes. */
async function conductor(patience = 20_000) {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = new AbortController();
  const gathered = gather(server, token, 2, { patience, signal: stop.signal });
  gathered.catch(() => {});
  const { port } = server.address() as AddressInfo;
  return { gathered, stop, port, join: () => connect(port, "127.0.0.1").on("error", () => {}) };
}

/** What a client is told. */
function told(socket: Socket): Promise<Message["call"]> {
  return new Promise((resolve) => {
    const reader = new MessageReader(({ call }) => resolve(call));
    socket.on("data", (chunk) => reader.push(chunk));
  });
}

function say(socket: Socket, call: object): void {
  for (const piece of messagePieces(call, {})) socket.write(piece);
}

describe("a conductor", () => {
  const cases: [who: string, call: object, why: string][] = [
    ["without a token", { ...hello, token: "" }, "it gave no token"],
    ["with another token", { ...hello, token: "x".repeat(64) }, "a token that is not the conductor's"],
    ["of another protocol", { ...hello, protocol: 1 }, `its protocol is 1, and ${PROTOCOL} here: install`],
    ["of a number that there is not", { ...hello, process: 2 }, "it is process 2, and there are 0 to 1"],
    ["that wants something else", { call: "get" }, "who is no process of a worker"],
    ["of a number that is taken", { ...hello, process: 1 }, "process 1 is there already"],
    [
      "with another jax",
      { ...hello, versions: { jax: "0.9.0" } },
      "it has jax 0.9.0 than process 1 on here (0.10.2)",
    ],
  ];
  it("tells those that do not belong to it why, and waits for those that do", async () => {
    const { gathered, join } = await conductor();
    const first = join();
    say(first, join1);
    expect(await told(first)).toEqual({ call: "welcome" });
    for (const [who, call, why] of cases) {
      const socket = join();
      say(socket, call);
      expect((await told(socket)).refused, who).toContain(why);
      await once(socket, "close");
    }
    // Who speaks another language, and who would have it keep more than anyone says at the door.
    for (const words of ["GET / HTTP/1.1\r\n\r\n", Buffer.from([0, 0, 0, 1, 0, 0, 0, 0])]) {
      const socket = join();
      socket.write(words);
      expect(await told(socket)).toEqual({ refused: "who is no process of a worker" });
    }
    // Who says nothing, and who leaves in the middle of a word, keep nobody waiting.
    join();
    join().end(Buffer.alloc(5));
    const second = join();
    say(second, hello);
    expect((await gathered).map(({ process, host }) => [process, host])).toEqual([
      [0, "here"],
      [1, "here"],
    ]);
  });

  it("says who did not come, and who came instead", async () => {
    const { gathered, join } = await conductor(500);
    const stranger = join();
    say(stranger, { ...hello, token: "another" });
    await told(stranger);
    say(join(), hello);
    await expect(gathered).rejects.toThrow(
      "of 2 processes, 1 (from 0) did not join within 0.5 s. Sent away: 127.0.0.1, it gave a token that is not the conductor's.",
    );
  });

  it("waits for a process again that left before all were there", async () => {
    const { gathered, join } = await conductor();
    const first = join();
    say(first, hello);
    await told(first);
    first.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    say(join(), hello);
    say(join(), join1);
    expect(await gathered).toHaveLength(2);
  });
});

let folder: string;
let tokenFile: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-hosts-"));
  tokenFile = join(folder, "token");
  await writeFile(tokenFile, `${token}\n`, { mode: 0o600 });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** A process of a worker as somebody starts it by hand. */
function byHand(
  port: number,
  process: number,
  file = tokenFile,
): { child: ChildProcess; ended: Promise<string> } {
  const args = ["-m", "probeward_xla", "--conductor", `127.0.0.1:${port}`, "--token-file", file];
  const env = { ...globalThis.process.env, PYTHONDONTWRITEBYTECODE: "1" };
  const child = spawn(pythonOf(undefined), [...args, "--process", `${process}`], {
    cwd: workerFolder(),
    env,
  });
  let said = "";
  child.stderr.on("data", (data) => {
    said += data;
  });
  return { child, ended: once(child, "close").then(([status]) => `${status}: ${said.trim()}`) };
}

describe("processes that are started by hand", () => {
  it("take a token that others cannot know", async () => {
    await expect(startXla({ listen: "127.0.0.1:0" })).rejects.toThrow("engine.listen takes engine.tokenFile");
    await expect(startXla({ tokenFile })).rejects.toThrow("it takes engine.listen");
    await expect(startXla({ nodes: 2 })).rejects.toThrow(
      "engine.nodes: 2 takes a job of Slurm (--launch slurm",
    );
    const listen = "127.0.0.1:0";
    await expect(startXla({ listen, tokenFile: join(folder, "none") })).rejects.toThrow(
      "openssl rand -hex 32",
    );
    const short = join(folder, "short");
    await writeFile(short, "secret", { mode: 0o600 });
    await expect(startXla({ listen, tokenFile: short })).rejects.toThrow("holds 6 characters");
    await chmod(short, 0o644);
    await writeFile(short, token);
    await expect(startXla({ listen, tokenFile: short })).rejects.toThrow(`chmod 600 ${short}`);
    await expect(startXla({ listen: "here", tokenFile })).rejects.toThrow("should be HOST:PORT");
  });
});

onPython("a process with a wrong token", () => {
  it("is told so, and ends, and so is one whose conductor is no more", async () => {
    const { gathered, port, stop } = await conductor();
    const wrong = join(folder, "wrong");
    await writeFile(wrong, "f".repeat(64), { mode: 0o600 });
    expect(await byHand(port, 0, wrong).ended).toBe(
      `1: probeward_xla: the conductor at 127.0.0.1:${port} refused this process: it gave a token that is not the conductor's`,
    );
    const { ended } = byHand(port, 0);
    const other = byHand(port, 0);
    const first = await Promise.race([ended, other.ended]);
    expect(first).toMatch(/refused this process: process 0 is there already$/);
    stop.abort(new Error("enough"));
    await expect(gathered).rejects.toThrow("enough");
    expect(await Promise.all([ended, other.ended])).toContain("0: ");
  });
});

onXla("two processes over TCP", () => {
  it("compute together, and one that is killed ends it all", async () => {
    const port = await freePort();
    // They may be there first.
    const processes = [byHand(port, 0), byHand(port, 1)];
    const runtime = await startXla({ listen: `127.0.0.1:${port}`, tokenFile, processes: 2, devices: 2 });
    expect(runtime.info.threads).toBe(4);
    for (const { check } of runtimeContract.slice(0, 2)) await check(runtime);
    // What is divided among processes along either axis, or by rows, is put together again.
    for (const shape of [
      [256, 512],
      [512, 256],
      [8, 3],
    ] as [number, number][]) {
      const numbers = Array.from({ length: shape[0] * shape[1] }, (_, i) => i);
      const tensor =
        shape[1] === 3 ? ints(shape, Int32Array.from(numbers)) : floats(shape, Float32Array.from(numbers));
      const handle = await runtime.put(tensor);
      expect((await runtime.get(handle)).data).toEqual(tensor.data);
    }
    const handle = await runtime.put(floats([2]));
    processes[1]!.child.kill("SIGKILL");
    await expect(async () => {
      for (;;) await runtime.get(handle);
    }).rejects.toThrow(/process 1 of the worker, on .*, is gone: .*Run the same command again/);
    await processes[0]!.ended;
    await runtime.close();
  });
});
