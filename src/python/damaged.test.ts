/** @file Damaged frames, on both sides: each is an answer, a call, or an error that says what it is; nothing breaks or hangs. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { mutations } from "../../test/mutate.ts";
import { onPython } from "../../test/xla.ts";
import { outcomesSchema, sampledSchema } from "../environment/python.ts";
import { pick, randomFor, randomInt } from "../random.ts";
import { AnswerReader, framePieces, type PythonCall } from "./frame.ts";
import { PythonFile, pythonOf } from "./index.ts";

/** How many of each side. */
const FRAMES = Number(process.env.PROBEWARD_FRAMES ?? 2000);

/** A damaged version of some bytes, by one or two of the ways in which files are damaged. */
function damaged(bytes: Buffer, i: number): Buffer {
  const random = randomFor("damaged frames", i);
  const ways = Object.values(mutations);
  return Array.from({ length: 1 + randomInt(random, 2) }).reduce<Buffer>(
    (all) => pick(random, ways)(all, random),
    bytes,
  );
}

describe("an answer that is damaged", () => {
  const tasks = { drawn: [{ id: "12+13", prompt: "12+13=", state: '{"sum":"25"}' }], state: [1, -2, 3, -4] };
  const outcomes = [
    { proxy: true, true: 0.5, misbehaved: false, label: "wrong", eligible: true },
    { proxy: 0, true: 1, misbehaved: true, attempted: true, family: "x", note: "é 🙂" },
  ];
  const error = { message: "ValueError: no", line: 3, traceback: "Traceback\n  File" };
  const answers = [
    { schema: sampledSchema, line: { id: 1, value: tasks } },
    { schema: outcomesSchema, line: { id: 2, value: outcomes } },
    { schema: outcomesSchema, line: { id: 3, error } },
  ];

  it(`is read, or refused by a sentence, ${FRAMES} times`, () => {
    const seen = { refused: 0, answers: 0, incomplete: 0, values: 0, misfits: 0 };
    for (let i = 0; i < FRAMES; i++) {
      const { schema, line } = answers[i % answers.length]!;
      const bytes = damaged(Buffer.from(`${JSON.stringify(line)}\n`), i);
      const cut = randomInt(randomFor("cut", i), bytes.length + 1);
      const reader = new AnswerReader();
      try {
        const read = [...reader.push(bytes.subarray(0, cut)), ...reader.push(bytes.subarray(cut))];
        if (read.length === 0) seen.incomplete++;
        for (const answer of read) {
          seen.answers++;
          expect(Number.isSafeInteger(answer.id)).toBe(true);
          if (!("value" in answer)) continue;
          const value = schema.safeParse(answer.value);
          value.success ? seen.values++ : seen.misfits++;
          if (value.success && schema === outcomesSchema)
            for (const outcome of outcomesSchema.parse(answer.value))
              expect([outcome.proxy, outcome.true].every(Number.isFinite)).toBe(true);
        }
      } catch (error) {
        expect((error as Error).constructor, String((error as Error).stack)).toBe(Error);
        expect((error as Error).message).toMatch(/^a line (that is|of more)/);
        seen.refused++;
      }
    }
    // Not everything is refused, and not everything is taken.
    for (const [kind, count] of Object.entries(seen)) expect(count, kind).toBeGreaterThan(0);
    if (process.env.PROBEWARD_FRAMES) console.log("answers", seen);
  }, 600_000);
});

onPython("a call that is damaged", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "probeward-frames-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  const task = { id: "a", prompt: "b", state: '{"sum": [1, 2.5, null]}' };
  const handed = {
    ...{ prompts: ["a"], completions: ["b"], completion_ids: [[1, 2]], finished: [true], proxy: [0.5] },
    ...{ step: 0, steps: 1, seed: 1 },
  };
  const rows = { name: "acts", data: Float32Array.of(1, 2, 3, 4, 5, 6), count: 3 };
  const streamOf = (role: string, ...calls: Omit<PythonCall, "id">[]) =>
    Buffer.concat(
      [{ call: "open", with: { protocol: 1, role }, arrays: [] }, ...calls].flatMap((call, id) =>
        framePieces({ id, ...call }),
      ),
    );
  const streams = [
    streamOf(
      "task",
      { call: "sample", with: { split: "train", random: [1, 2, 3, 4], count: 2 }, arrays: [] },
      { call: "demonstrate", with: { task, conduct: "honest", random: [1, 2, 3, 4] }, arrays: [] },
      { call: "grade", with: { tasks: [task], completions: ["c"] }, arrays: [] },
    ),
    streamOf("arm", { call: "reward", with: handed, arrays: [] }),
    streamOf("arm", { call: "reward", with: { ...handed, rows: { acts: [1, 2] } }, arrays: [rows] }),
  ];
  const file = `def sample(split, random): return {"id": "a", "prompt": split, "state": random.random()}
def demonstrate(task, conduct, random): return conduct
def grade(tasks, completions): return [{"proxy": 1, "true": 0, "misbehaved": False} for _ in tasks]
def reward(completions, log_metric, **kwargs):
    log_metric("count", len(completions))
    return [len(one) for one in completions]
`;

  it(`is answered, or refused by a sentence, ${FRAMES} times`, async () => {
    const path = join(folder, "task.py");
    await writeFile(path, file);
    const script = fileURLToPath(new URL("../../test/read_frames.py", import.meta.url));
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
    const child = spawn(pythonOf(), [script, path], { env, stdio: ["pipe", "pipe", "pipe"] });
    let out = "";
    let errors = "";
    child.stdout.on("data", (data) => {
      out += data;
    });
    child.stderr.on("data", (data) => {
      errors = `${errors}${data}`.slice(-2000);
    });
    child.stdin.on("error", () => {});
    const ended = once(child, "close");
    for (let i = 0; i < FRAMES && child.exitCode === null; i++) {
      const bytes = damaged(streams[i % streams.length]!, i);
      const head = Buffer.alloc(4);
      head.writeUInt32LE(bytes.length);
      child.stdin.write(head);
      if (!child.stdin.write(bytes)) await Promise.race([once(child.stdin, "drain"), ended]);
    }
    child.stdin.end();
    expect([(await ended)[0], errors]).toEqual([0, ""]);
    const seen = JSON.parse(out);
    expect(seen.streams).toBe(FRAMES);
    for (const [kind, count] of Object.entries(seen)) expect(count, kind).toBeGreaterThan(0);
    if (process.env.PROBEWARD_FRAMES) console.log("calls", seen);
  }, 900_000);

  it.each<[string, string, RegExp]>([
    ["no JSON", "hello\\n", /: its process answered what cannot be read: a line that is not JSON: "hello"/],
    ["no answer", "[1]\\n", /answered what cannot be read: a line that is no answer: "\[1\]"/],
    ["another's answer", '{"id": 7, "value": 1}\\n', /an answer to the call 7, which nobody waits for/],
  ])("and a process that answers with %s is ended", async (_, line, message) => {
    const shown = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    const path = join(folder, "finds.py");
    // It looks for the pipe that is not its own.
    await writeFile(
      path,
      `import os\ndef grade(tasks, completions):\n    for fd in range(3, 9):\n        try: os.write(fd, b'${line}')\n        except OSError: pass\n    while True: pass\n`,
    );
    const opened = await PythonFile.open(path, "task");
    const asked = { tasks: [task], completions: ["a"] };
    await expect(opened.ask("grade", outcomesSchema, asked)).rejects.toThrow(message);
    await expect(opened.ask("grade", outcomesSchema, asked)).rejects.toThrow(/answered what cannot be read/);
    await opened.close();
    shown.mockRestore();
  });
});
