/** @file A session with an OpenEnv server: one WebSocket, one environment of the server's, one question at a time. */

import { type RawData, WebSocket } from "ws";
import { parseJson } from "../../files.ts";
import { serverAddress } from "./address.ts";
import { type Fields, type Observed, type Request, type Response, responseSchema } from "./messages.ts";

/** What a server answered a request with, in place of a result. The session goes on. */
export class OpenEnvRefusal extends Error {
  /** Such as `EXECUTION_ERROR`. */
  readonly code: string;
  constructor(address: string, { message, code, errors }: Extract<Response, { type: "error" }>["data"]) {
    const details = errors.length > 0 ? ` ${JSON.stringify(errors)}` : "";
    super(`${address}: ${(message + details).slice(0, QUOTED)} (${code})`);
    this.code = code;
  }
}

/** Requests that are made while another one waits for its answer are sent after it. */
export interface Session {
  /** Begins an episode. @throws OpenEnvRefusal where the server refuses; Error where the session is over */
  reset(parameters: Fields): Promise<Observed>;
  /** Goes on with it. @throws as `reset` */
  step(action: Fields): Promise<Observed>;
  /** What the server tells of the episode beside observations. @throws as `reset` */
  state(): Promise<Fields>;
  /** Can anything still be asked? */
  readonly isOpen: boolean;
  /** Ends it: the server is told so, and waited for a moment. */
  close(): Promise<void>;
}

/** What is asked for, by the type of its message. */
interface Answers {
  observation: Observed;
  state: Fields;
}

/** Bytes of the longest message that is read: observations may hold pictures. */
const LONGEST_MESSAGE = 16 << 20;
/** Characters of a server's own words in an error. */
const QUOTED = 500;
/** Milliseconds that a server has to say goodbye. */
const GOODBYE = 1000;

/**
 * Connects to a server.
 *
 * @param timeout milliseconds that the connection, and every answer, may take
 * @throws Error where there is none, or it has no room for another session (`OpenEnvRefusal`)
 */
export async function openSession(url: string, timeout: number): Promise<Session> {
  const address = serverAddress(url);
  const socket = new WebSocket(address, {
    ...{ handshakeTimeout: timeout, maxPayload: LONGEST_MESSAGE, perMessageDeflate: false },
  });
  /** Why nothing can be asked any more. */
  let over: Error | undefined;
  let waiting:
    | { resolve(response: Response): void; reject(reason: Error): void; timer: NodeJS.Timeout }
    | undefined;
  /** Who waits for an answer, and does not any more. */
  const served = () => {
    const served = waiting;
    clearTimeout(served?.timer);
    waiting = undefined;
    return served;
  };

  const end = (reason: Error) => {
    over ??= reason;
    served()?.reject(over);
    socket.terminate();
  };
  const hear = (raw: RawData, isBinary: boolean) => {
    const response = isBinary ? "it is not a text" : read(raw.toString());
    if (typeof response === "string")
      return end(new Error(`${address}: an answer cannot be read: ${response}`));
    // A server that is full says so unasked.
    if (!waiting)
      return end(
        response.type === "error"
          ? new OpenEnvRefusal(address, response.data)
          : new Error(`${address}: the server said something unasked: ${response.type}`),
      );
    served()!.resolve(response);
  };
  socket.on("message", hear);
  socket.on("error", ({ message }) => end(new Error(`${address}: ${message || "no connection"}`)));
  socket.on("close", (code) => end(new Error(`${address}: the server ended the session (${code})`)));

  const answerTo = (request: Request) =>
    new Promise<Response>((resolve, reject) => {
      if (over) return reject(over);
      const late = () =>
        end(new Error(`${address}: no answer to ${request.type} within ${timeout / 1000} s`));
      const timer = setTimeout(late, timeout);
      waiting = { resolve, reject, timer };
      socket.send(JSON.stringify(request));
    });
  let last: Promise<unknown> = new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("close", () => reject(over));
  });
  const ask = <Type extends keyof Answers>(request: Request, type: Type): Promise<Answers[Type]> => {
    const answered = last.then(
      () => answerTo(request),
      () => answerTo(request),
    );
    last = answered;
    return answered.then((response) => {
      if (response.type === "error") throw new OpenEnvRefusal(address, response.data);
      if (response.type === type) return response.data as Answers[Type];
      const wrong = new Error(`${address}: ${request.type} was answered with ${response.type}`);
      end(wrong);
      throw wrong;
    });
  };

  await last;
  const session: Session = {
    reset: (parameters) => ask({ type: "reset", data: parameters }, "observation"),
    step: (action) => ask({ type: "step", data: action }, "observation"),
    state: () => ask({ type: "state" }, "state"),
    get isOpen() {
      return over === undefined;
    },
    async close() {
      if (socket.readyState === WebSocket.OPEN) {
        over ??= new Error(`${address}: the session was closed`);
        // It ends the connection then: one that finds it ended takes that for a fault.
        socket.send(JSON.stringify({ type: "close" } satisfies Request));
      }
      if (socket.readyState === WebSocket.CLOSED) return;
      const timer = setTimeout(() => socket.terminate(), GOODBYE);
      await new Promise<void>((resolve) => socket.once("close", () => resolve()));
      clearTimeout(timer);
    },
  };
  // Only an answer tells whether there is room: a server that is full lets in, and ends what it let in.
  await session.state().catch((error: Error) => {
    if (!session.isOpen || (error as OpenEnvRefusal).code === "CAPACITY_REACHED") throw error;
  });
  return session;
}

/** A response, or what is wrong with it. */
function read(text: string): Response | string {
  try {
    const parsed = responseSchema.safeParse(parseJson(text));
    if (parsed.success) return parsed.data;
    const [issue] = parsed.error.issues;
    return `${issue!.path.join(".") || "it"}: ${issue!.message}`;
  } catch (error) {
    return (error as Error).message;
  }
}
