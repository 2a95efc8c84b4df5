/** @file Processes of a worker join the conductor: over a socket of this machine or over TCP, by a token, each once. */

import { timingSafeEqual } from "node:crypto";
import type { Server, Socket } from "node:net";
import { type Message, MessageReader, messagePieces, PROTOCOL } from "./message.ts";

/** Milliseconds that one may take to say who it is, and bytes that it may say it in. */
const PATIENCE = 10_000;
const SHORT = 2 ** 12;

/** A process that has joined. */
export interface JoinedProcess {
  socket: Socket;
  process: number;
  /** Its machine's name, as it says. */
  host: string;
  versions: Readonly<Record<string, string>>;
  /** Of the first process: where it hears the others (a path, or a port), and where JAX is to. */
  peers?: string | number;
  coordinator?: number;
}

/**
 * Waits until all processes have joined. Whoever has no token, another version or a number that is taken is told so and
 * sent away, and so is who says nothing; nobody waits for them. The server is closed afterwards.
 *
 * @param signal ends the waiting
 * @throws Error where they have not all come in time, with who came instead
 */
export function gather(
  server: Server,
  token: string,
  processes: number,
  { patience, signal }: { patience: number; signal: AbortSignal },
): Promise<JoinedProcess[]> {
  const joined = new Map<number, JoinedProcess>();
  const open = new Set<Socket>();
  const sentAway: string[] = [];
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      server.close();
      for (const socket of open) socket.destroy();
      settle();
    };
    const fail = (error: Error) =>
      end(() => {
        for (const { socket } of joined.values()) socket.destroy();
        reject(error);
      });
    const timer = setTimeout(() => {
      const missing = Array.from({ length: processes }, (_, i) => i).filter((i) => !joined.has(i));
      const instead = sentAway.length > 0 ? ` Sent away: ${sentAway.slice(-3).join("; ")}.` : "";
      fail(
        new Error(
          `xla: of ${processes} processes, ${missing.join(", ")} (from 0) did not join within ${patience / 1000} s.${instead}`,
        ),
      );
    }, patience);
    signal.addEventListener("abort", () => fail(signal.reason as Error));
    server.on("connection", (socket) => {
      open.add(socket);
      const from = socket.remoteAddress ?? "this machine";
      const sendAway = (why: string) => {
        open.delete(socket);
        clearTimeout(late);
        sentAway.push(`${from}, ${why}`);
        tell(socket, { refused: why });
        socket.end(() => socket.destroy());
      };
      const late = setTimeout(
        () => sendAway(`who did not say who it is within ${PATIENCE / 1000} s`),
        PATIENCE,
      );
      const onMessage = ({ call }: Message) => {
        if (!open.has(socket)) return;
        const problem = problemWith(call, token, processes) ?? differs(call, joined);
        if (problem !== undefined) return sendAway(problem);
        clearTimeout(late);
        open.delete(socket);
        socket.off("data", onData);
        const { process, host, versions, peers, coordinator } = call as unknown as JoinedProcess;
        joined.set(process, { socket, process, host, versions, peers: peers!, coordinator: coordinator! });
        socket.setNoDelay(true);
        socket.setKeepAlive(true, 20_000);
        socket.once("close", () => joined.get(process)?.socket === socket && joined.delete(process));
        tell(socket, { call: "welcome" });
        if (joined.size === processes)
          end(() => resolve([...joined.values()].sort((a, b) => a.process - b.process)));
      };
      const reader = new MessageReader(onMessage, { most: SHORT, source: "the greeting of who joins" });
      const onData = (chunk: Buffer) => {
        try {
          reader.push(chunk);
        } catch {
          if (open.has(socket)) sendAway("who is no process of a worker");
        }
      };
      socket.on("data", onData);
      // Who leaves before it has said anything is not missed.
      socket.on("error", () => {});
      socket.once("close", () => {
        clearTimeout(late);
        open.delete(socket);
      });
    });
  });
}

/** Tells something that is not answered. */
export function tell(socket: Socket, call: object): void {
  for (const piece of messagePieces(call, {})) socket.write(piece);
}

function problemWith(call: Message["call"], token: string, processes: number): string | undefined {
  if (call.call !== "join") return "who is no process of a worker";
  // Before the token: an older one may say its own otherwise.
  if (call.protocol !== PROTOCOL)
    return `its protocol is ${JSON.stringify(call.protocol)}, and ${PROTOCOL} here: install the same probeward on both machines`;
  if (!isToken(call.token, token))
    return call.token === "" ? "it gave no token" : "it gave a token that is not the conductor's";
  const { process, host, versions } = call;
  if (typeof host !== "string" || typeof versions !== "object" || versions === null)
    return "who is no process of a worker";
  if (!Number.isInteger(process) || (process as number) < 0 || (process as number) >= processes)
    return `it is process ${JSON.stringify(process)}, and ${processes === 1 ? "0 is the only one" : `there are 0 to ${processes - 1}`}`;
  return undefined;
}

function isToken(given: unknown, token: string): boolean {
  const [a, b] = [Buffer.from(String(given)), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** What it does not share with those that are there. */
function differs(
  { process, versions }: Message["call"],
  joined: ReadonlyMap<number, JoinedProcess>,
): string | undefined {
  if (joined.has(process as number)) return `process ${process} is there already`;
  const [other] = joined.values();
  if (!other) return undefined;
  const own = versions as Record<string, unknown>;
  const name = ["worker", "jax", "jaxlib", "numpy"].find((name) => own[name] !== other.versions[name]);
  if (name === undefined) return undefined;
  const what = name === "worker" ? "another probeward" : `${name} ${own[name] ?? "missing"}`;
  const theirs = name === "worker" ? "" : ` (${other.versions[name] ?? "missing"})`;
  return `it has ${what} than process ${other.process} on ${other.host}${theirs}: install the same on all machines`;
}
