/** @file An environment of ours as an OpenEnv server: for trainers and evaluations that speak OpenEnv. */

import { randomInt, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { z } from "zod";
import { parseJson } from "../../files.ts";
import { isLoopback, loopbackNames } from "../../network.ts";
import { randomFor } from "../../random.ts";
import type { Environment, Episode, Outcome, Split, Task } from "../types.ts";
import { type ErrorCode, type Fields, type Observed, requestSchema } from "./messages.ts";

/** How an environment is served. */
export interface ServingOptions {
  /** Address to listen on; 127.0.0.1 is this machine's own. */
  host: string;
  /** 0 for any that is free. */
  port: number;
  /** Which tasks there are. */
  split: Split;
  /** Sessions at a time; who comes then is told so and sent away. */
  sessions: number;
}

/** An environment that is being served. */
export interface EnvironmentServer {
  /** `ws://<host>:<port>`. */
  url: string;
  /** Ends all sessions. The environment stays open. */
  close(): Promise<void>;
}

/** Bytes of the longest message that is read. */
const LONGEST_MESSAGE = 1 << 20;
/** Messages of a client that may wait while another one of its own is answered. */
const QUEUE = 16;
/** Milliseconds between two looks whether clients are still there. */
const HEARTBEAT = 30_000;

const actionSchema = z.strictObject({
  completion: z.string(),
  metadata: z.record(z.string(), z.unknown()).optional(),
});
const resetSchema = z.looseObject({
  seed: z.int().min(0).nullish(),
  episode_id: z.string().max(255).nullish(),
});
const stateSchema = z.object({
  episode_id: z.string().nullable(),
  step_count: z.int(),
  seed: z.int().nullable(),
  split: z.string(),
  outcome: z.record(z.string(), z.unknown()).nullable(),
});

/** What a client is told in place of a result. */
class Refusal extends Error {
  readonly code: ErrorCode;
  readonly errors: unknown[] | undefined;
  constructor(code: ErrorCode, message: string, errors?: unknown[]) {
    super(message);
    this.code = code;
    this.errors = errors;
  }
}

/**
 * Serves an environment: `/ws` for episodes, `/health`, `/metadata` and `/schema` for whoever looks.
 *
 * A reset with a seed draws a task from the seed alone. An action is a completion; the reward is the environment's proxy. The
 * outcome, ground truth included, is in the state once an episode is over, which policies do not read.
 *
 * @throws Error where the port is taken
 */
export async function serveEnvironment(
  environment: Environment,
  { host, port, split, sessions }: ServingOptions,
): Promise<EnvironmentServer> {
  const server = createServer((request, response) => {
    const body = isMeant(request, host) ? pages(environment)[request.url ?? ""] : undefined;
    response.writeHead(body ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(body ?? { detail: "Not Found" }));
  });
  const sockets = new WebSocketServer({
    ...{ server, path: "/ws", maxPayload: LONGEST_MESSAGE, perMessageDeflate: false },
    verifyClient: ({ req }: { req: IncomingMessage }) => isMeant(req, host),
  });
  const room = Math.min(sessions, environment.episodes?.atOnce ?? sessions);
  const silent = new WeakSet<WebSocket>();
  sockets.on("connection", (socket) => {
    // What a client does to the protocol ends its session, and no more.
    socket.on("error", () => socket.terminate());
    if (sockets.clients.size > room) {
      const full = new Refusal("CAPACITY_REACHED", `all ${room} sessions are in use`);
      socket.send(JSON.stringify(errorOf(full)));
      return socket.close();
    }
    socket.on("pong", () => silent.delete(socket));
    serveSession(socket, environment, split);
  });
  const heartbeat = setInterval(() => {
    for (const socket of sockets.clients) {
      if (silent.has(socket)) socket.terminate();
      silent.add(socket);
      socket.ping();
    }
  }, HEARTBEAT);
  heartbeat.unref();
  await new Promise<void>((resolve, reject) => {
    sockets.once("error", reject);
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `ws://${host.includes(":") ? `[${host}]` : host}:${bound}`,
    async close() {
      clearInterval(heartbeat);
      for (const socket of sockets.clients) socket.terminate();
      await new Promise<void>((resolve) => sockets.close(() => resolve()));
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** Answers a client's messages, one after the other. */
function serveSession(socket: WebSocket, environment: Environment, split: Split): void {
  const session = createSession(environment, split);
  let waiting = 0;
  let last: Promise<void> = Promise.resolve();
  socket.on("message", (raw, isBinary) => {
    if (++waiting > QUEUE) return socket.close(1008, "too many messages at once");
    last = last.then(async () => {
      const answer = await answerTo(session, isBinary ? undefined : raw.toString());
      waiting--;
      if (answer === undefined) socket.close();
      else if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(answer));
    });
  });
  socket.on("close", () => {
    last = last.then(() => session.end());
  });
}

/** The answer to a message; `undefined` to a goodbye. */
async function answerTo(session: ReturnType<typeof createSession>, text: string | undefined) {
  try {
    const request = read(text);
    if (request.type === "close") return undefined;
    if (request.type === "state") return { type: "state", data: session.state() };
    const result = request.type === "reset" ? session.reset(request.data) : session.step(request.data);
    return { type: "observation", data: await result };
  } catch (error) {
    return errorOf(error as Error);
  }
}

function errorOf(error: Error) {
  const { code, errors } = error instanceof Refusal ? error : { code: "EXECUTION_ERROR", errors: undefined };
  return { type: "error", data: { message: error.message, code, ...(errors && { errors }) } };
}

/** @throws Refusal */
function read(text: string | undefined) {
  if (text === undefined) throw new Refusal("INVALID_JSON", "Invalid JSON: it is not a text");
  let message: unknown;
  try {
    message = parseJson(text);
  } catch (error) {
    throw new Refusal("INVALID_JSON", `Invalid JSON: ${(error as Error).message}`);
  }
  const type = (message as { type?: unknown } | null)?.type;
  if (!["reset", "step", "state", "close"].includes(type as string))
    throw new Refusal("UNKNOWN_TYPE", `Unknown message type: ${String(type).slice(0, 80)}`);
  return valid(requestSchema, message);
}

/** @throws Refusal */
function valid<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = parsed.error.issues.map(({ path, message }) => ({ loc: path, msg: message }));
  throw new Refusal("VALIDATION_ERROR", "Invalid message", errors);
}

/** What one client does: an episode after the other. */
function createSession(environment: Environment, split: Split) {
  let task: Task | undefined;
  let episode: Episode | undefined;
  let outcome: Outcome | undefined;
  const about = { episode_id: null as string | null, step_count: 0, seed: null as number | null };

  /** Ends what is going on, whatever became of it. */
  const end = async () => {
    const open = episode;
    [task, episode, outcome] = [undefined, undefined, undefined];
    await open?.end().catch(() => {});
  };
  return {
    end,
    async reset(data: Fields): Promise<Observed> {
      const { seed, episode_id } = valid(resetSchema, data);
      await end();
      about.seed = seed ?? randomInt(2 ** 32);
      about.episode_id = episode_id ?? randomUUID();
      about.step_count = 0;
      task = await environment.sample(split, randomFor("openenv", about.seed));
      episode = environment.episodes ? await environment.episodes.begin(task) : oneTurn(environment, task);
      return { observation: { prompt: task.prompt }, reward: null, done: false };
    },
    async step(data: Fields): Promise<Observed> {
      const { completion } = valid(actionSchema, data);
      if (!task || !episode)
        throw new Refusal("EXECUTION_ERROR", "there is no episode to go on with: reset begins one");
      about.step_count++;
      const answer = await episode.step(completion);
      const isLast = answer === null || about.step_count >= (environment.episodes?.turns ?? 1);
      if (!isLast) return { observation: { prompt: answer }, reward: null, done: false };
      const ending = episode;
      episode = undefined;
      outcome = await ending.end();
      return { observation: { prompt: answer ?? "" }, reward: outcome.proxy, done: true };
    },
    state: (): z.infer<typeof stateSchema> => ({ ...about, split, outcome: outcome ? { ...outcome } : null }),
  };
}

/** A task of one turn as an episode. */
function oneTurn(environment: Environment, task: Task): Episode {
  let completion = "";
  return {
    async step(turn) {
      completion = turn;
      return null;
    },
    end: async () => (await environment.grade([task], [completion]))[0]!,
  };
}

/** What is served beside episodes. */
function pages({ name }: Environment): Record<string, object> {
  const observation = z.object({ prompt: z.string() });
  return {
    "/health": { status: "healthy" },
    "/metadata": { name, description: `The environment ${name} of probeward` },
    "/schema": {
      action: z.toJSONSchema(actionSchema),
      observation: z.toJSONSchema(observation),
      state: z.toJSONSchema(stateSchema),
    },
  };
}

/**
 * A server for this machine answers only to this machine's names, and to no page of another origin: a browser would let any page
 * open a WebSocket to it.
 */
function isMeant({ headers }: IncomingMessage, host: string): boolean {
  if (!isLoopback(host)) return true;
  const isOurs = (url: string) => URL.canParse(url) && isLoopback(new URL(url).hostname);
  const asked = `http://${headers.host ?? ""}`;
  const names = URL.canParse(asked) && loopbackNames.has(new URL(asked).hostname);
  return (names || isOurs(asked)) && (headers.origin === undefined || isOurs(headers.origin));
}
