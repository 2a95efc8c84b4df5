/**
 * @file Firefox for tests, over WebDriver BiDi: `PROBEWARD_FIREFOX`, or Debian's at its usual place. (Playwright drives its own build of
 * Firefox only.)
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import WebSocket from "ws";

const program = process.env.PROBEWARD_FIREFOX ?? "/usr/bin/firefox-esr";

/** Is there one? Says so where there is none. */
export const firefoxPresent = existsSync(program);
if (!firefoxPresent)
  console.warn(
    `Skipped tests in Firefox: there is none at ${program}. Install Debian's firefox-esr, or set PROBEWARD_FIREFOX.`,
  );

export interface FirefoxPage {
  /** What a script's expression gives, as JSON has it; promises are waited for. @throws Error with what it threw */
  evaluate<T>(expression: string): Promise<T>;
  close(): Promise<void>;
}

/** Opens an address in a fresh Firefox. */
export async function openFirefox(url: string): Promise<FirefoxPage> {
  const profile = await mkdtemp(join(tmpdir(), "probeward-firefox-"));
  const child = spawn(program, ["--headless", "--remote-debugging-port=0", "--profile", profile], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const socket = new WebSocket(`${await addressSaid(child)}/session`);
  await once(socket, "open");
  let last = 0;
  const send = (method: string, params: object) =>
    new Promise<Record<string, never>>((resolve, reject) => {
      const id = ++last;
      const hear = (data: WebSocket.RawData) => {
        const answer = JSON.parse(String(data));
        if (answer.id !== id) return;
        socket.off("message", hear);
        if (answer.type === "error") reject(new Error(`${answer.error}: ${answer.message}`));
        else resolve(answer.result);
      };
      socket.on("message", hear);
      socket.send(JSON.stringify({ id, method, params }));
    });
  await send("session.new", { capabilities: {} });
  const { contexts } = (await send("browsingContext.getTree", {})) as unknown as {
    contexts: { context: string }[];
  };
  const { context } = contexts[0]!;
  await send("browsingContext.navigate", { context, url, wait: "complete" });
  return {
    async evaluate(expression) {
      const said = (await send("script.evaluate", {
        // As JSON: BiDi's own values are of its own form.
        expression: `(async () => JSON.stringify(await (${expression})))()`,
        ...{ target: { context }, awaitPromise: true },
      })) as unknown as { type: string; result?: { value?: string }; exceptionDetails?: { text: string } };
      if (said.type === "exception") throw new Error(said.exceptionDetails?.text);
      return said.result?.value === undefined ? undefined : JSON.parse(said.result.value);
    },
    async close() {
      socket.close();
      child.kill();
      await once(child, "exit");
      await rm(profile, { recursive: true, force: true });
    },
  };
}

async function addressSaid(child: ChildProcess): Promise<string> {
  for await (const line of createInterface({ input: child.stderr! })) {
    const address = /WebDriver BiDi listening on (\S+)/.exec(line)?.[1];
    if (address) return address;
  }
  throw new Error("Firefox ended before it listened.");
}
