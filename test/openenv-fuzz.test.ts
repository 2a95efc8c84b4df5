/** @file Damaged frames, to our OpenEnv server and to our client: each is answered, refused, or ends its session, and nothing else. */

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { afterAll, expect, it, vi } from "vitest";
import { serveEnvironment } from "../src/environment/openenv/index.ts";
import { OpenEnvRefusal, openSession, type Session } from "../src/environment/openenv/session.ts";
import type { Environment } from "../src/environment/types.ts";
import { pick, type Random, randomFor, randomInt } from "../src/random.ts";
import { counting } from "./counting-environment.ts";
import { expectClear } from "./fuzz.ts";
import { mutations } from "./mutate.ts";
import { mutateTree } from "./mutate-tree.ts";

/** Frames to each side: few in passing, and as many as are wanted where somebody waits for them. */
const FRAMES = Number(process.env.PROBEWARD_FRAMES ?? 1000);
/** Connections at a time. */
const ABREAST = 96;
/** Milliseconds that an answer is waited for: half a frame has none. */
const PATIENCE = 60;
/** Megabytes that both sides may take more than they had. */
const MEMORY = 256;
vi.setConfig({ testTimeout: 60_000 + 20 * FRAMES });

const tally: Record<string, Record<string, number>> = {};
afterAll(() => console.log(JSON.stringify({ frames: FRAMES, ...tally })));

/** What is no answer, by the first byte of its frame. */
const heads: Record<number, string> = { 136: "goodbye", 138: "pong" };

const harms = [
  "bits flipped",
  "cut off",
  "beginning lost",
  "a part in the wrong place",
  "zeros",
  "random bytes",
];

/** A WebSocket frame of a text; masked where a client sends it. */
function frame(payload: Buffer, isClient: boolean, first = 0x81): Buffer {
  const length = payload.length < 126 ? [payload.length] : [126, payload.length >> 8, payload.length & 255];
  const mask = isClient ? randomBytes(4) : undefined;
  const head = Buffer.from([first, length[0]! | (mask ? 0x80 : 0), ...length.slice(1), ...(mask ?? [])]);
  return Buffer.concat([head, mask ? payload.map((byte, i) => byte ^ mask[i % 4]!) : payload]);
}

/** A frame that says something else, in another way, or is none. */
function damaged(message: object, isClient: boolean, random: Random): Buffer {
  const draw = random();
  if (draw < 0.5) {
    const text = JSON.stringify(mutateTree(message as Record<string, unknown>, random)) ?? "undefined";
    // Longer ones have another kind of head.
    return frame(Buffer.from(text.slice(0, 60_000)), isClient);
  }
  const text = Buffer.from(JSON.stringify(message));
  const harm = mutations[pick(random, harms)]!;
  if (draw < 0.7) return frame(harm(text, random).subarray(0, 60_000), isClient);
  if (draw < 0.8) return frame(text, isClient, randomInt(random, 256));
  return harm(frame(text, isClient), random).subarray(0, 60_000);
}

/** Runs `one` for each frame, some abreast of each other. */
async function each(one: (i: number, random: Random) => Promise<void>, side: string): Promise<void> {
  let next = 0;
  const lane = async () => {
    for (let i = next++; i < FRAMES; i = next++) await one(i, randomFor("frames", side, i));
  };
  await Promise.all(Array.from({ length: ABREAST }, lane));
}

function count(side: string, what: string): void {
  tally[side] ??= {};
  tally[side][what] = (tally[side][what] ?? 0) + 1;
}

const rss = () => process.memoryUsage.rss() / 2 ** 20;

it("a server answers, refuses or ends the session, and goes on serving all others", async () => {
  const environment = counting(ABREAST + 1) as Environment;
  const server = await serveEnvironment(environment, {
    host: "127.0.0.1",
    port: 0,
    split: "train",
    sessions: ABREAST + 1,
  });
  const { port } = new URL(server.url);
  const healthy = await openSession(server.url, 20_000);
  const sockets: (Socket | undefined)[] = [];
  const silence: number[] = [];
  const messages = [
    { type: "reset", data: { seed: 1, episode_id: "e" } },
    { type: "step", data: { completion: "a" } },
    { type: "state" },
    { type: "close" },
  ];
  let before = rss();
  await each(async (i, random) => {
    const place = i % ABREAST;
    let socket = sockets[place];
    // Two lanes may come to one place.
    sockets[place] = undefined;
    if (!socket || socket.destroyed || silence[place]! > 3) {
      socket?.destroy();
      socket = connect(Number(port), "127.0.0.1");
      socket.on("error", () => {});
      socket.write(
        `GET /ws HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
      );
      await once(socket, "data");
      silence[place] = 0;
    }
    const said = await answer(socket, damaged(pick(random, messages), true, random));
    count("server", said.slice(0, 1) === "\x81" ? (/"type":"(\w+)"/.exec(said)?.[1] ?? "answered") : said);
    if (said === "silent") silence[place]!++;
    if (said === "goodbye") socket.destroy();
    if (socket.destroyed || sockets[place]) socket.destroy();
    else sockets[place] = socket;
    if (i === Math.floor(FRAMES / 4)) before = rss();
    if (i % 500 === 0) {
      await healthy.reset({ seed: 1 });
      expect(await healthy.step({ completion: "a" })).toMatchObject({ observation: { prompt: "b?" } });
    }
  }, "server");
  for (const socket of sockets) socket?.destroy();
  await healthy.close();
  expect(rss() - before).toBeLessThan(MEMORY);
  await vi.waitFor(() => environment.close(), 5000);
  await server.close();
});

/** What comes back, as text: nothing for a while, the end, or an answer. */
function answer(socket: Socket, bytes: Buffer): Promise<string> {
  return new Promise((resolve) => {
    const done = (what: string) => {
      clearTimeout(timer);
      socket.off("data", heard).off("close", ended);
      resolve(what);
    };
    const heard = (data: Buffer) => done(heads[data[0]!] ?? data.toString("latin1"));
    const ended = () => done("closed");
    const timer = setTimeout(() => done("silent"), PATIENCE);
    socket.on("data", heard).on("close", ended);
    socket.write(bytes);
  });
}

it("a client has a result of the right kind, or an error that names the server", async () => {
  const random = randomFor("answers");
  const result = {
    observation: {
      prompt: "?a",
      board: [
        [0, 1],
        [2, 3],
      ],
    },
    reward: 0.5,
    done: false,
  };
  let isGood = true;
  const server = createServer((socket) => {
    let asked = 0;
    socket.on("error", () => {});
    socket.on("data", (data) => {
      const key = /sec-websocket-key: (\S+)/i.exec(data.toString("latin1"))?.[1];
      if (key) {
        const accept = createHash("sha1")
          .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
          .digest("base64");
        socket.write(
          `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
        );
      } else if (asked++ === 0 || isGood) {
        const state = Buffer.from('{"type":"state","data":{}}');
        socket.write(frame(state, false));
      } else socket.write(damaged({ type: "observation", data: result }, false, random));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const url = `ws://127.0.0.1:${port}`;
  isGood = false;
  const sessions: (Session | undefined)[] = [];
  let before = rss();
  await each(async (i) => {
    const place = i % ABREAST;
    const kept = sessions[place];
    sessions[place] = undefined;
    const session = kept?.isOpen ? kept : await openSession(url, 20_000);
    const late = setTimeout(() => void session.close(), PATIENCE);
    try {
      const { observation, reward, done } = await session.step({ completion: "a" });
      expect(typeof observation).toBe("object");
      expect(reward === null || Number.isFinite(reward)).toBe(true);
      expect(typeof done).toBe("boolean");
      count("client", "a result");
    } catch (error) {
      if (error instanceof OpenEnvRefusal) expect(error.message).toContain(url);
      else expectClear(error, url, `frame ${i}`);
      count("client", session.isOpen ? "refused" : "session ended");
    }
    clearTimeout(late);
    if (sessions[place]) await session.close();
    else sessions[place] = session;
    if (i === Math.floor(FRAMES / 4)) before = rss();
  }, "client");
  await Promise.all(sessions.map((session) => session?.close()));
  expect(rss() - before).toBeLessThan(MEMORY);
  server.close();
  const left = () => new Promise((resolve) => server.getConnections((_, open) => resolve(open)));
  await vi.waitFor(async () => expect(await left()).toBe(0), 5000);
});
