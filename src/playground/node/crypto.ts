/** @file `node:crypto` for a browser, whose own hashes take a text at once and answer later. */

import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

export function createHash(name: string) {
  if (name !== "sha256") throw new Error(`there is no ${name} in a browser`);
  const hash = sha256.create();
  const made = {
    update(data: string | Uint8Array) {
      // Weights lie in memory that is shared with threads, which this does not take.
      hash.update(typeof data === "string" ? new TextEncoder().encode(data) : new Uint8Array(data));
      return made;
    },
    digest(encoding: "hex" | "base64") {
      const bytes = hash.digest();
      return encoding === "hex" ? bytesToHex(bytes) : btoa(String.fromCharCode(...bytes));
    },
  };
  return made;
}
