/** @file Servers of others: their answers may be endless, or silent, and keys are for one of them only. */

/** What of an answer is read at most. */
export interface AnswerLimits {
  /** Bytes of its body, unpacked. */
  bytes: number;
  /** Milliseconds for which nothing comes: of the answer, or of its body while that is read. */
  silence: number;
}

/**
 * Asks as `fetch` does.
 *
 * @returns the answer, without its address; reading its body fails where it goes beyond the limits, and ends the connection
 * @throws Error where nothing comes
 */
export async function fetchWithin(
  address: string | URL,
  init: RequestInit,
  { bytes, silence }: AnswerLimits,
): Promise<Response> {
  const end = new AbortController();
  const signal = init.signal ? AbortSignal.any([init.signal, end.signal]) : end.signal;
  const timely = async <T>(coming: Promise<T>): Promise<T> => {
    const timer = setTimeout(
      () => end.abort(new Error(`the server says nothing for ${silence / 1000} seconds`)),
      silence,
    );
    return coming.finally(() => clearTimeout(timer));
  };
  const answer = await timely(fetch(address, { ...init, signal }));
  const reader = answer.body?.getReader();
  let left = bytes;
  const body =
    reader &&
    new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const { value, done } = await timely(reader.read());
          if (done) return controller.close();
          left -= value.length;
          if (left < 0) {
            end.abort();
            throw new Error(`the answer is longer than ${bytes} bytes`);
          }
          controller.enqueue(value);
        },
        cancel: (reason) => reader.cancel(reason),
      },
      { highWaterMark: 0 },
    );
  const { status, statusText, headers } = answer;
  return new Response(body ?? null, { status, statusText, headers });
}

/**
 * The header that carries a key.
 *
 * @param what the key is, for messages, which do not show it
 * @throws Error where it cannot be sent
 */
export function bearer(key: string, what: string): { authorization: string } {
  if (!/^[\x21-\x7e]+$/.test(key.trim()))
    throw new Error(`${what} holds characters that no key has, such as a space or a line break`);
  return { authorization: `Bearer ${key.trim()}` };
}

/** Names under which a browser on this machine reaches a server that listens on this machine only. */
export const loopbackNames: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** Does a request to a server for this machine only name another one? A page from elsewhere would, by DNS rebinding. */
export function isForeign(host: string, request: Request): boolean {
  const asked = new URL(request.url).hostname;
  return isLoopback(host) && !loopbackNames.has(asked) && asked !== host;
}

/** Is `host` an address that only this machine reaches? */
export function isLoopback(host: string): boolean {
  return loopbackNames.has(host) || host === "::1" || /^127(\.\d+){3}$/.test(host);
}
