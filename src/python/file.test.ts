/** @file Python files: what reaches their reader, what their printing and reading does not break, and processes that hang and die. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from "vitest";
import { z } from "zod";
import { start } from "../../test/process.ts";
import { onNumpy, onPython } from "../../test/xla.ts";
import { UsageError } from "../errors.ts";
import { ModuleError } from "../modules.ts";
import { PythonFile } from "./index.ts";

let folder: string;
let count = 0;
const opened: PythonFile[] = [];
const warnings: string[] = [];
const onWarning = ({ message }: Error) => warnings.push(message);
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-python-"));
});
beforeEach(() => {
  warnings.length = 0;
  process.on("warning", onWarning);
});
afterEach(async () => {
  process.off("warning", onWarning);
  for (const file of opened.splice(0)) await file.close();
});
afterAll(() => rm(folder, { recursive: true }));

async function written(...lines: string[]): Promise<string> {
  const path = join(folder, `file_${count++}.py`);
  await writeFile(path, `${lines.join("\n")}\n`);
  return path;
}

/** A file with a `grade` of these lines. */
async function grading(lines: readonly string[], before: readonly string[] = []): Promise<PythonFile> {
  const body = lines.map((line) => `    ${line}`);
  const path = await written(...before, "def grade(tasks, completions):", ...body);
  opened.push(await PythonFile.open(path, "task"));
  return opened.at(-1)!;
}

const tasks = [{ id: "a", prompt: "b", state: "null" }];
const grade = (file: PythonFile, completions = ["c"]) =>
  file.ask("grade", z.array(z.unknown()), { tasks, completions });
const isThere = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

onPython("a Python file", () => {
  it("is called, with any text, and answers with any", async () => {
    const file = await grading(["return [completions[0] + tasks[0]['prompt']]"]);
    for (const text of ["", "\ud800", "🙂\u0000\n", "é\u2028", "9".repeat(2 ** 20)])
      expect(await grade(file, [text])).toEqual([`${text}b`]);
  });

  it("imports what lies beside it, and starts where this process is", async () => {
    await writeFile(join(folder, "beside.py"), "value = 7\n");
    const path = join(folder, "random.py");
    await writeFile(
      path,
      "import beside, os, tempfile\ndef grade(tasks, completions): return [[beside.value, os.getcwd()]]\n",
    );
    opened.push(await PythonFile.open(path, "task"));
    expect(await grade(opened[0]!)).toEqual([[7, process.cwd()]]);
    await rm(path);
  });

  it("may print, read and start what does so: the pipes are not its own", async () => {
    const shown = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    const file = await grading(
      [
        "print('from print')",
        'os.write(1, b\'{"id": 2, "value": ["from a pipe"]}\\n\')',
        "subprocess.run(['sh', '-c', 'cat; echo from sh'], check=True)",
        "sys.stdout.buffer.write(bytes(range(256)) * 1000)",
        "return [sys.stdin.read()]",
      ],
      ["import os, subprocess, sys", "print('at the start')"],
    );
    expect(await grade(file)).toEqual([""]);
    expect(await grade(file)).toEqual([""]);
    await file.close();
    const said = shown.mock.calls.map(([chunk]) => String(chunk)).join("");
    for (const one of ["at the start", "from print", "from a pipe", "from sh"]) expect(said).toContain(one);
  });

  it.each<[string, string[], RegExp]>([
    [
      "throws",
      ["x = 1", "return [1 / 0]"],
      /:4: grade failed: ZeroDivisionError: .*\nTraceback.*line 4, in grade/s,
    ],
    ["ends the program", ["import sys", "sys.exit('bye')"], /:4: grade failed: SystemExit: bye/],
    ["recurses without end", ["return grade(tasks, completions)"], /:\d: grade failed: RecursionError/],
    [
      "fails in another's code",
      ["import json", "return json.loads('{')"],
      /:4: grade failed: json.*Expecting/,
    ],
    [
      "gives too few outcomes",
      ["return []"],
      /: grade failed: grade should return a list of 1 outcomes.*0 outcomes$/,
    ],
    ["gives no list", ["return None"], /grade failed: grade should return a list .* returned None$/],
    ["gives no data", ["return [{1, 2}]"], /what grade gives cannot be written as JSON: set cannot/],
    ["gives no number", ["return [float('nan')]"], /what grade gives cannot be written as JSON/],
  ])("that %s says so with its line, and goes on", async (_, lines, message) => {
    const file = await grading(["if completions == ['fine']: return ['fine']", ...lines]);
    const failing = grade(file);
    await expect(failing).rejects.toThrow(ModuleError);
    await expect(failing).rejects.toThrow(message);
    await expect(failing).rejects.not.toThrow(/probeward\/(process|tasks)\.py/);
    expect(await grade(file, ["fine"])).toEqual(["fine"]);
  });

  it.each<[string, string[], RegExp]>([
    ["has a mistake", ["def grade(:"], /\.py:1: cannot be loaded: SyntaxError: invalid syntax\n/],
    [
      "fails where it is loaded",
      ["", "import none_of_that"],
      /\.py:2: cannot be loaded: ModuleNotFoundError/,
    ],
    ["says of itself no dict", ["probeward = 7"], /should be a dict of texts/],
    [
      "has a time limit that is none",
      ["probeward = {'time_limit': 0}"],
      /what the file says of itself, is wrong:.*time_limit/s,
    ],
    ["dies where it is loaded", ["import os", "os._exit(3)"], /its process ended with status 3/],
  ])("that %s is not opened", async (_, lines, message) => {
    const path = await written(...lines);
    const opening = PythonFile.open(path, "task");
    await expect(opening).rejects.toThrow(message);
    await expect(opening).rejects.toThrow(path);
    expect(warnings).toEqual([]);
  });

  it("that is not there, or has no Python, is not opened", async () => {
    await expect(PythonFile.open(join(folder, "none.py"), "task")).rejects.toThrow(
      /none\.py: there is no such/,
    );
    vi.stubEnv("PROBEWARD_PYTHON", "/no/python");
    const opening = PythonFile.open(await written(""), "task");
    await expect(opening).rejects.toThrow(UsageError);
    await expect(opening).rejects.toThrow(
      /\/no\/python cannot be started: there is no such program\. .*PROBEWARD_PYTHON/,
    );
    vi.unstubAllEnvs();
  });

  it("that hangs is ended, and its line is said", async () => {
    const file = await grading(["while True: pass"], ["probeward = {'time_limit': 0.5}"]);
    await expect(grade(file)).rejects.toThrow(
      /its process had not answered grade after 0\.5 s, and was ended.*line 3 in grade/s,
    );
    await expect(grade(file)).rejects.toThrow(/had not answered/);
    expect(warnings).toEqual([]);
  });

  it("whose process is killed is started again, and loses nothing", async () => {
    const file = await grading(["return [os.getpid()]"], ["import os"]);
    const [first] = (await grade(file)) as [number];
    process.kill(first, "SIGKILL");
    await expect.poll(() => isThere(first)).toBe(false);
    const [second] = (await grade(file)) as [number];
    expect(second).not.toBe(first);
    await expect
      .poll(() => warnings)
      .toEqual([
        expect.stringMatching(/\.py: its process was ended by SIGKILL.*\nIt is started again, for grade\.$/s),
      ]);
  });

  it("that dies in a call is asked once more, and then named with its last words", async () => {
    const marks = join(folder, "marks");
    const dies = ["open(marks, 'a').write('x')", "print('last words')"];
    const before = ["import os", `marks = '${marks}'`];
    const once = await grading(
      [...dies, "if os.path.getsize(marks) < 2: os._exit(9)", "return ['done']"],
      before,
    );
    expect(await grade(once)).toEqual(["done"]);
    const always = await grading([...dies, "os.abort()"], before);
    await expect(grade(always)).rejects.toThrow(
      /file_\d+\.py: its process was ended by SIGABRT\. Its last words:.*last words/s,
    );
    expect(await readFile(marks, "utf8")).toBe("xxxx");
  });

  it("that is closed while it is asked something ends", async () => {
    const file = await grading(
      ["open(completions[0], 'w').write(str(os.getpid()))", "while True: pass"],
      ["import os"],
    );
    const said = join(folder, "asked");
    let answered = false;
    grade(file, [said]).finally(() => {
      answered = true;
    });
    await expect.poll(() => readFile(said, "utf8").catch(() => "")).toMatch(/\d/);
    await file.close();
    expect(isThere(Number(await readFile(said, "utf8")))).toBe(false);
    expect(answered).toBe(false);
  });

  it("that was edited since is not gone on with", async () => {
    const path = await written("import os", "def grade(tasks, completions): return [os.getpid()]");
    const file = await PythonFile.open(path, "task");
    opened.push(file);
    process.kill(((await grade(file)) as [number])[0], "SIGKILL");
    await writeFile(path, `${await readFile(path, "utf8")}# edited\n`);
    await expect(grade(file)).rejects.toThrow(
      /its process died, and the file was edited since it was loaded/,
    );
  });

  it("ends with this process, whatever it is doing then", async () => {
    const path = await written(
      "import os, subprocess",
      "def grade(tasks, completions):",
      "    child = subprocess.Popen(['sleep', '1000'])",
      "    open(completions[0], 'w').write(f'{os.getpid()} {child.pid} ')",
      "    while True: pass",
    );
    const pids = `${path}.pids`;
    const dist = new URL("../../dist/python/index.js", import.meta.url);
    const program = `const { PythonFile } = await import("${dist}");
      const file = await PythonFile.open(${JSON.stringify(path)}, "task");
      file.ask("grade", undefined, { tasks: ${JSON.stringify(tasks)}, completions: [${JSON.stringify(pids)}] });`;
    const { child, ended } = start(process.execPath, ["--input-type=module", "-e", program]);
    const said = () => readFile(pids, "utf8").catch(() => "");
    await expect.poll(said).toMatch(/ \d+ $/);
    child.kill("SIGKILL");
    expect(await ended).toMatchObject({ signal: "SIGKILL" });
    const started = (await said()).trim().split(" ").map(Number);
    await expect.poll(() => started.map(isThere)).toEqual([false, false]);
  });

  it("ends in order, with what it started", async () => {
    const file = await grading(
      ["child = subprocess.Popen(['sleep', '1000'])", "return [[os.getpid(), child.pid]]"],
      ["import os, subprocess"],
    );
    const [pids] = (await grade(file)) as [[number, number]];
    expect(pids.map(isThere)).toEqual([true, true]);
    await file.close();
    await expect.poll(() => pids.map(isThere)).toEqual([false, false]);
  });
});

onNumpy("taps", () => {
  it("are arrays of numpy, one for each rollout", async () => {
    const path = await written(
      "import numpy",
      "probeward = {'taps': {'acts': {}}}",
      "def reward(acts, completions):",
      "    assert all(a.dtype == numpy.float32 for a in acts)",
      "    return numpy.array([a.sum() for a in acts])",
    );
    const file = await PythonFile.open(path, "arm");
    opened.push(file);
    const data = Float32Array.of(1, 2, 3, 4, 5, 6);
    const handed = {
      ...{ prompts: ["", ""], completions: ["", ""], completion_ids: [[], []], finished: [], proxy: [] },
      ...{ step: 0, steps: 1, seed: 1, rows: { acts: [1, 2] } },
    };
    const said = await file.ask("reward", z.unknown(), handed, [{ name: "acts", data, count: 3 }]);
    expect(said).toEqual({ said: [3, 18], metrics: {}, columns: {} });
  });
});
