import { execFileSync } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { get, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { appendMetrics, runFolder, writeStatus, writeStudy } from "../../test/study-folder.ts";
import type { RunningServer } from "../listen.ts";
import type { StudyListing } from "../report/data.ts";
import { startServer } from "./server.ts";

const secret = "a secret outside of the studies";
let place: string;
let studies: string;
let server: RunningServer;

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "probeward-serve-"));
});
afterAll(() => rm(place, { recursive: true }));

beforeEach(async () => {
  studies = join(place, "studies");
  await writeStudy(join(studies, "done"), studyFixture({ steps: 3 }));
  await writeStudy(join(studies, "group", "running"), { ...studyFixture({ steps: 3 }), summary: null });
  await writeFile(join(place, "secret.json"), JSON.stringify({ version: 1, environment: secret }));
  server = await startServer({ folder: studies, host: "127.0.0.1", port: 0, interval: 30 });
});
afterEach(async () => {
  await server.close();
  await rm(studies, { recursive: true });
});

interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: string;
}

/** A request whose path is sent as it is: `fetch` would tidy it up. */
function ask(path: string, { method = "GET", headers = {} } = {}): Promise<Answer> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, method, headers }, (response) => {
      let body = "";
      response.on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, body }));
    });
    asked.on("error", reject);
    asked.end();
  });
}

const listing = async () => JSON.parse((await ask("/api/studies")).body) as StudyListing[];

describe("what is served", () => {
  test("the page, which knows that it is live", async () => {
    const { status, headers, body } = await ask("/");
    expect(status).toBe(200);
    expect(headers["content-type"]).toMatch("text/html");
    expect(body).toContain('id="probeward-data">{"live":true}</script>');
  });

  test("the list of studies, which follows what is written", async () => {
    expect((await listing()).map(({ id, state }) => [id, state])).toEqual([
      ["done", "finished"],
      ["group/running", "running"],
    ]);
    await writeStudy(join(studies, "new"), { ...studyFixture({ steps: 3 }), summary: null, runs: [] });
    expect((await listing()).find(({ id }) => id === "new")).toMatchObject({
      state: "empty",
      environment: "code",
    });
  });

  test("how far a study is of all that it is to do, and why runs failed", async () => {
    expect((await listing())[0]).toMatchObject({ done: 5, runs: 5, progress: null, failed: [] });
    const study = studyFixture({ steps: 3 });
    const [first, second] = study.runs;
    await writeStudy(join(studies, "grid"), {
      ...study,
      ...{ summary: null, runs: study.runs.slice(0, 2) },
      settings: { ...(study.settings as object), planned: { runs: 90, steps: 270 } },
    });
    const failure = { state: "failed" as const, step: 2, steps: 3, updated: "now", error: "out of memory" };
    await writeStatus(join(studies, "grid"), second!, failure);
    expect((await listing()).find(({ id }) => id === "grid")).toMatchObject({
      ...{ state: "failed", done: 1, runs: 90, progress: 5 / 270 },
      failed: [{ arm: second!.arm, seed: first!.seed, error: "out of memory" }],
    });
    await writeStatus(join(studies, "grid"), second!, { ...failure, state: "stopped" });
    expect((await listing()).find(({ id }) => id === "grid")).toMatchObject({ state: "stopped", failed: [] });
  });

  test("a study", async () => {
    const { status, body } = await ask("/api/study?study=group%2Frunning");
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ summary: null, runs: { length: 5 } });
  });

  test("a folder that is a study itself", async () => {
    const own = await startServer({ folder: join(studies, "done"), host: "127.0.0.1", port: 0 });
    const answer = await fetch(`${own.url}api/studies`);
    expect(await answer.json()).toMatchObject([{ id: ".", state: "finished" }]);
    expect((await fetch(`${own.url}api/study`)).status).toBe(200);
    await own.close();
  });

  test("an empty folder, and a study that cannot be read", async () => {
    await mkdir(join(studies, "damaged"));
    await writeFile(join(studies, "damaged", "study.json"), '{"version":');
    const { status, body } = await ask("/api/study?study=damaged");
    expect(status).toBe(500);
    expect(body).toContain("it is not JSON");
    expect((await listing()).find(({ id }) => id === "damaged")).toMatchObject({ environment: null });
    await mkdir(join(place, "empty"), { recursive: true });
    const empty = await startServer({ folder: join(place, "empty"), host: "127.0.0.1", port: 0 });
    expect(await (await fetch(`${empty.url}api/studies`)).json()).toEqual([]);
    await empty.close();
  });

  test.skipIf(process.platform === "win32")("other studies where one has pipes for files", async () => {
    const run = runFolder(join(studies, "group", "running"), "none", 1);
    const pipes = ["status.json", "metrics.jsonl"].map((name) => join(run, name));
    await mkdir(join(studies, "pipe"));
    for (const path of [...pipes, join(studies, "pipe", "study.json")]) {
      await rm(path, { force: true });
      execFileSync("mkfifo", [path]);
    }
    expect((await listing()).map(({ id }) => id)).toEqual(["done", "group/running", "pipe"]);
    expect(await ask("/api/study?study=pipe")).toMatchObject({
      status: 500,
      body: expect.stringContaining("study.json: it is not a file"),
    });
    const { warnings } = JSON.parse((await ask("/api/study?study=group%2Frunning")).body);
    expect(warnings).toEqual([expect.stringMatching(/none\/seed-1\/status.json: .*it is not a file/)]);
  });

  test("the beginnings of what is very long", async () => {
    const run = runFolder(join(studies, "done"), "none", 1);
    const path = join(run, "rollouts.jsonl");
    const [line] = (await readFile(path, "utf8")).split("\n");
    const long = {
      ...JSON.parse(line!),
      completion: "x".repeat(1e6),
      columns: { "judge/answer": "y".repeat(1e6) },
    };
    long.tokenScores.policy = new Array(1e5).fill(0.5);
    await writeFile(path, `${JSON.stringify(long)}\n`);
    const { body } = await ask("/api/study?study=done");
    const { rollouts } = JSON.parse(body).runs.find(({ arm }: { arm: string }) => arm === "none");
    expect(rollouts[0].completion).toBe(
      `${"x".repeat(20_000)}… (980000 characters more are in rollouts.jsonl)`,
    );
    expect(rollouts[0].columns["judge/answer"]).toMatch(/^y{20000}… /);
    expect(rollouts[0].tokenScores.policy).toHaveLength(20_000);
  });

  test("what changes, as server-sent events", async () => {
    const study = studyFixture({ steps: 3 });
    const events: { event: string; data: { runs: { arm: string }[] } }[] = [];
    let text = "";
    const stream = get(`${server.url}api/events?study=group%2Frunning`, (response) => {
      response.on("data", (chunk) => {
        text += chunk;
        const messages = text.split("\n\n");
        text = messages.pop()!;
        for (const message of messages) {
          const [, event, data] = /^event: (\w+)\ndata: (.*)$/.exec(message)!;
          events.push({ event: event!, data: JSON.parse(data!) });
        }
      });
    });
    await expect.poll(() => events.map(({ event }) => event)).toEqual(["study"]);
    await appendMetrics(join(studies, "group", "running"), study.runs[0]!, [{ step: 4, misbehaviour: 0.5 }]);
    await expect.poll(() => events.length).toBe(2);
    expect(events[1]).toMatchObject({
      event: "update",
      data: { runs: [{ arm: "none", metrics: { from: 3, columns: { step: [4], misbehaviour: [0.5] } } }] },
    });
    await rm(join(studies, "group", "running", "study.json"));
    await expect.poll(() => events.at(-1)!.event).toBe("update");
    await writeFile(join(studies, "group", "running", "summary.json"), "{");
    await expect.poll(() => events.at(-1)!.event).toBe("problem");
    stream.destroy();
  });
});

describe("what is not served", () => {
  test.each([
    "/../secret.json",
    "/..%2fsecret.json",
    "/%2e%2e/secret.json",
    "/%2e%2e%2fsecret.json",
    "/..%5csecret.json",
    "/....//secret.json",
    "/%252e%252e%252fsecret.json",
    "/etc/passwd",
    "//etc/passwd",
    "/study.json",
    "/done/study.json",
    "/api/../../secret.json",
    "/api/study?study=..",
    "/api/study?study=../",
    "/api/study?study=..%2F",
    "/api/study?study=%2e%2e",
    "/api/study?study=%2Fetc",
    "/api/study?study=done%2F..%2F..",
    "/api/study?study=done%00",
    "/api/study?study=__proto__",
    "/api/events?study=..%2F",
  ])("%s", async (path) => {
    const { status, body } = await ask(path);
    expect(status).toBe(404);
    expect(body).not.toContain(secret);
    expect(body).not.toContain("root:");
  });

  test("links out of the folder: of a study, of a run, of a file", async () => {
    await cp(join(studies, "done"), join(place, "outside"), { recursive: true });
    await symlink(join(place, "outside"), join(studies, "linked"));
    await mkdir(join(studies, "half"));
    await symlink(join(place, "secret.json"), join(studies, "half", "study.json"));
    await symlink(join(place, "outside", "runs", "none"), join(studies, "done", "runs", "elsewhere"));
    const run = runFolder(join(studies, "done"), "none", 1);
    await rm(join(run, "rollouts.jsonl"));
    await symlink(join(place, "secret.json"), join(run, "rollouts.jsonl"));

    expect((await listing()).map(({ id }) => id)).not.toContain("linked");
    expect((await ask("/api/study?study=linked")).status).toBe(404);
    expect(JSON.stringify(await listing())).not.toContain(secret);
    const half = await ask("/api/study?study=half");
    expect(half.status).toBe(500);
    expect(half.body).not.toContain(secret);
    const { body } = await ask("/api/study?study=done");
    expect(body).not.toContain(secret);
    const study = JSON.parse(body);
    const named = (arm: string) => study.runs.find((candidate: { arm: string }) => candidate.arm === arm);
    expect(named("elsewhere").metrics.step).toEqual([]);
    expect(named("none").rollouts).toEqual([]);
    expect(study.warnings.join()).toContain("is a link out of the folder");
  });

  test.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])("%s", async (method) => {
    for (const path of ["/", "/api/studies", "/api/study?study=done"]) {
      const { status, headers } = await ask(path, { method });
      expect(status).toBe(405);
      expect(headers.allow).toBe("GET, HEAD");
    }
  });

  test("names of others for this machine", async () => {
    expect((await ask("/", { headers: { host: "evil.example:4747" } })).status).toBe(403);
    expect((await ask("/", { headers: { host: "localhost:4747" } })).status).toBe(200);
  });
});

describe("headers", () => {
  test.each(["/", "/api/studies", "/api/study?study=done", "/absent"])("%s", async (path) => {
    const { headers } = await ask(path);
    const policy = String(headers["content-security-policy"]);
    expect(policy).toMatch(/default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+';/);
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("unsafe");
    expect(headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "cache-control": expect.stringContaining("no-"),
    });
    expect(headers["access-control-allow-origin"]).toBeUndefined();
  });

  test("HEAD has no body, and does not begin a stream", async () => {
    for (const path of ["/", "/api/events?study=done"]) {
      const { status, body } = await ask(path, { method: "HEAD" });
      expect([status, body]).toEqual([200, ""]);
    }
  });
});

describe("starting", () => {
  test("says which port is in use, and which folder is absent", async () => {
    const port = Number(new URL(server.url).port);
    const again = (folder: string, to: number) => startServer({ folder, host: "127.0.0.1", port: to });
    await expect(again(studies, port)).rejects.toThrow(
      `port ${port} is in use. Give another one with --port`,
    );
    await expect(again(join(place, "absent"), 0)).rejects.toThrow("there is no such folder");
    await expect(startServer({ folder: studies, host: "192.0.2.1", port: 0 })).rejects.toThrow(
      "is not an address of this machine",
    );
  });
});
