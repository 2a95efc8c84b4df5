/** @file What every answer of the server carries and every request must satisfy. */

import type { MiddlewareHandler } from "hono";
import { isForeign } from "../network.ts";
import { contentPolicy } from "../report/index.ts";

/** Headers for a page whose script and style are inside it. */
export function securityHeaders(page: string): Record<string, string> {
  return {
    // What a page cannot say of itself: that no other one may show it inside.
    "Content-Security-Policy": `${contentPolicy(page)}; frame-ancestors 'none'`,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
  };
}

/**
 * Reads only; and a server for this machine answers only to this machine's names, so that no page from elsewhere can
 * reach it through a name of its own (DNS rebinding).
 */
export function guard(host: string): MiddlewareHandler {
  return async (c, next) => {
    if (c.req.method !== "GET" && c.req.method !== "HEAD")
      return c.text("This server only shows. Allowed: GET, HEAD.\n", 405, { Allow: "GET, HEAD" });
    if (isForeign(host, c.req.raw))
      return c.text(
        `This server is for this machine only, and not for ${JSON.stringify(new URL(c.req.url).hostname)}.\n`,
        403,
      );
    await next();
  };
}
