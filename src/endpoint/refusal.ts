/** @file Refusals, as OpenAI's API words them. */

import { BusyError } from "./desk.ts";

/** A request that is not answered, and why. */
export class Refusal extends Error {
  readonly status: 400 | 401 | 403 | 404 | 413 | 429 | 500;
  /** What of the request is wrong, by its path. */
  readonly param: string | null;
  readonly code: string | null;

  constructor(
    status: Refusal["status"],
    message: string,
    { param = null, code = null }: { param?: string | null; code?: string | null } = {},
  ) {
    super(message);
    this.status = status;
    this.param = param;
    this.code = code;
  }

  /** The body of the answer. */
  get body() {
    const { message, param, code } = this;
    return { error: { message, type: types[this.status], param, code } };
  }
}

const types: Record<Refusal["status"], string> = {
  400: "invalid_request_error",
  401: "authentication_error",
  403: "permission_error",
  404: "invalid_request_error",
  413: "invalid_request_error",
  429: "rate_limit_error",
  500: "api_error",
};

/** Whatever went wrong, as a refusal. */
export function refusalOf(error: Error): Refusal {
  if (error instanceof Refusal) return error;
  return error instanceof BusyError ? new Refusal(429, error.message) : new Refusal(500, error.message);
}
