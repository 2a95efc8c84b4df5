/** @file What the page may load and run: its own script and style, known by their hashes, and nothing else. */

import { createHash } from "node:crypto";

/** The content-security policy of a page whose script and style are inside it. */
export function contentPolicy(page: string): string {
  const hashes = (element: string) =>
    // A data block has a type that no browser runs.
    [...page.matchAll(new RegExp(`<${element}\\b([^>]*)>(.*?)</${element}>`, "gs"))]
      .filter(([, attributes]) => !attributes!.includes("application/json"))
      .map(([, , content]) => `'sha256-${createHash("sha256").update(content!).digest("base64")}'`)
      .join(" ");
  return [
    "default-src 'none'",
    `script-src ${hashes("script")}`,
    `style-src ${hashes("style")}`,
    "img-src data: blob:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}
