/** @file The endpoint's answers: OpenAI's chat completions of one model, with what probes read while it writes. */

import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { timingSafeEqual } from "hono/utils/buffer";
import { isForeign } from "../network.ts";
import { answer } from "./answer.ts";
import { Desk } from "./desk.ts";
import { Refusal, refusalOf } from "./refusal.ts";
import { readRequest, type Served } from "./request.ts";

export interface EndpointOptions {
  /** The address that it listens on. */
  host: string;
  /** What requests have to carry; nothing where it is left out. */
  token?: string | undefined;
  /** Completions under way at a time. */
  slots: number;
}

export interface Endpoint {
  app: Hono;
  /** Returns when nothing is computed: what it asks may be closed then. */
  idle(): Promise<void>;
}

/** Bytes of the longest request. */
const LONGEST_REQUEST = 4 << 20;

/**
 * - `GET /v1/models`: the model, with its probes
 * - `POST /v1/chat/completions`: OpenAI's, with `taps` and vLLM's `return_token_ids`
 */
export function createEndpoint(served: Served, { host, token, slots }: EndpointOptions): Endpoint {
  const { name, engine, probes } = served;
  const desk = new Desk(engine.reference, engine.tokenizer, slots);
  const created = Math.floor(Date.now() / 1000);
  const app = new Hono();
  app.onError((error, c) => {
    const refusal = refusalOf(error);
    return c.json(refusal.body, refusal.status);
  });
  app.notFound(() => {
    throw new Refusal(404, "there is nothing here: ask /v1/models, or POST to /v1/chat/completions");
  });
  app.use(async (c, next) => {
    if (isForeign(host, c.req.raw)) throw new Refusal(403, "this server is for this machine only");
    await next();
  });
  app.use(async (c, next) => {
    const given = c.req.header("authorization") ?? "";
    if (token !== undefined && !(await timingSafeEqual(given, `Bearer ${token}`)))
      throw new Refusal(401, "the token of this server is missing, or is another", {
        code: "invalid_api_key",
      });
    await next();
  });
  app.use(
    bodyLimit({
      maxSize: LONGEST_REQUEST,
      onError: () => {
        throw new Refusal(413, `a request may have ${LONGEST_REQUEST} bytes`);
      },
    }),
  );
  app.get("/v1/models", (c) =>
    c.json({
      object: "list",
      data: [
        {
          ...{ id: name, object: "model", created, owned_by: "probeward" },
          max_model_len: engine.model.context,
          taps: Object.fromEntries(
            Object.entries(probes).map(([tap, { kind, tap: at, threshold }]) => [
              tap,
              { kind, ...at, threshold },
            ]),
          ),
        },
      ],
    }),
  );
  app.post("/v1/chat/completions", async (c) => {
    // A page of a browser can send anything else to this machine without asking.
    if (!/^application\/json\b/i.test(c.req.header("content-type") ?? ""))
      throw new Refusal(400, "the content-type should be application/json");
    const body: unknown = await c.req.json().catch(() => {
      throw new Refusal(400, "the body is not JSON");
    });
    return answer(c, desk, served, readRequest(body, served));
  });
  return { app, idle: () => desk.idle() };
}
