/** @file Studies with Python files: the same numbers as with TypeScript, whatever becomes of the processes. */

import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { leftIn } from "../../test/left.ts";
import { tinyHook } from "../../test/tiny.ts";
import tinyEnvironment from "../../test/tiny-environment.ts";
import { runTinyStudy, tinySettings } from "../../test/tiny-study.ts";
import { onNumpy, onPython } from "../../test/xla.ts";
import { contract } from "../environment/contract.ts";
import { loadEnvironment } from "../environment/load.ts";
import { randomFor } from "../random.ts";
import { readStudy } from "./index.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "probeward-python-study-"));
  vi.spyOn(process.stderr, "write").mockReturnValue(true);
});
afterAll(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

/** What a study leaves with an arm of a file's own; of its settings only the paths differ. */
async function leftBy(
  name: string,
  arm: string,
  text: string,
  onStep = () => {},
): Promise<Record<string, string>> {
  const place = join(folder, `${name}-arm`);
  await mkdir(place);
  await writeFile(join(place, arm), text);
  const settings = tinySettings({ arms: ["none", join(place, arm)] });
  const out = join(folder, name);
  await runTinyStudy(out, settings, ({ kind }) => kind === "step" && onStep());
  const { "study.json": _, "summary.json": summary, ...rest } = await leftIn(out);
  expect(summary).toContain('"runs"');
  return rest;
}

const tiny = fileURLToPath(new URL("../../test/tiny_environment.py", import.meta.url));

/** The processes of Python files that this process has started. */
function processesOf(path: string): number[] {
  const all = execFileSync("ps", ["-eo", "pid,ppid,args"], { encoding: "utf8" }).split("\n");
  return all
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .filter((found) => found && Number(found[2]) === process.pid && found[3]!.endsWith(path))
    .map((found) => Number(found![1]));
}

onPython("a study in Python", () => {
  let whole: Record<string, string>;
  beforeAll(async () => {
    // What Python files cannot have.
    const { thoughts: _, ...environment } = tinyEnvironment();
    await runTinyStudy(join(folder, "typescript"), tinySettings(), () => {}, { environment });
    whole = await leftIn(join(folder, "typescript"));
  }, 60_000);

  it("leaves what the same environment in TypeScript leaves, to the byte", async () => {
    await runTinyStudy(join(folder, "python"), tinySettings(), () => {}, {
      environment: await loadEnvironment(tiny),
    });
    expect(await leftIn(join(folder, "python"))).toEqual(whole);
    expect(processesOf(tiny)).toEqual([]);
  });

  it("loses nothing where its process is killed again and again", async () => {
    const warnings: string[] = [];
    const onWarning = ({ message }: Error) => warnings.push(message);
    process.on("warning", onWarning);
    const random = randomFor("killed Python");
    const kill = () => {
      for (const pid of processesOf(tiny)) process.kill(pid, "SIGKILL");
    };
    const timers: NodeJS.Timeout[] = [];
    let steps = 0;
    await runTinyStudy(
      join(folder, "killed"),
      tinySettings(),
      ({ kind }) => {
        if (kind === "step" && steps++ % 3 === 0) timers.push(setTimeout(kill, 40 * random()));
      },
      { environment: await loadEnvironment(tiny) },
    );
    timers.forEach(clearTimeout);
    process.off("warning", onWarning);
    expect(await leftIn(join(folder, "killed"))).toEqual(whole);
    expect(warnings.filter((message) => /was ended by SIGKILL/.test(message)).length).toBeGreaterThan(0);
  });

  it("rewards and monitors leave what the same in JavaScript leave, to the byte", async () => {
    const reward = [
      await leftBy(
        "reward-js",
        "own.mjs",
        `export default () => ({ name: "long", weight: -0.25, sees: "rollouts", taps: [],
          score(rollouts, { step, logMetric, logColumn }) {
            logMetric("step", step);
            logColumn("ends", rollouts.map(({ finished }) => finished));
            return rollouts.map(({ completion, proxy, tokens, promptLength }) =>
              completion === "" ? null : completion.length / 3 + proxy + (tokens.length - promptLength));
          } });`,
      ),
      await leftBy(
        "reward-py",
        "own.py",
        `probeward = {"name": "long", "weight": -0.25}
def reward(prompts, completions, completion_ids, proxy, finished, trainer_state, log_metric, log_extra, **kwargs):
    log_metric("step", trainer_state.global_step)
    log_extra("ends", finished)
    return [None if c == "" else len(c) / 3 + p + len(ids) for c, p, ids in zip(completions, proxy, completion_ids)]
`,
      ),
    ];
    expect(reward[1]).toEqual(reward[0]);
    expect(reward[0]!["runs/own/seed-1/metrics.jsonl"]).toContain('"long/step":5');
    const monitor = [
      await leftBy(
        "monitor-js",
        "own.mjs",
        `export default () => ({ name: "own", sees: "rollouts", taps: [],
          judge: (rollouts) => rollouts.map(({ completion }) => {
            const probability = completion.includes("x") ? 0.9 : 0.1;
            return { flagged: probability > 0.5, probability, logit: Math.log(probability) - Math.log1p(-probability) };
          }) });`,
      ),
      await leftBy(
        "monitor-py",
        "own.py",
        `async def monitor(completions, **kwargs):
    return [{"flagged": "x" in c, "probability": 0.9 if "x" in c else 0.1} for c in completions]
`,
      ),
    ];
    expect(monitor[1]).toEqual(monitor[0]);
    expect(processesOf("own.py")).toEqual([]);
  });

  it.each<[string, string, RegExp]>([
    ["neither", "x = 1", /should define either `reward` or `monitor`, and defines neither/],
    ["both", "def reward(**k): pass\ndef monitor(**k): pass", /and defines both/],
    [
      "a misspelt setting",
      "probeward = {'tap': {}}\ndef reward(**k): pass",
      /says of itself, is wrong:.*tap/s,
    ],
    [
      "a column of the dataset",
      "def reward(completions, solution): pass",
      /reward asks for 'solution', and is handed prompts, .*right answer is for a task's grade/,
    ],
  ])("is not begun with an arm of %s", async (_, text, message) => {
    const path = join(folder, "wrong.py");
    await writeFile(path, `${text}\n`);
    const study = runTinyStudy(join(folder, "wrong"), tinySettings({ arms: [path] }));
    await expect(study).rejects.toThrow(message);
    expect(processesOf(path)).toEqual([]);
  });

  it("stops where the task fails, with the line, and not before what goes on beside it has ended", async () => {
    const path = join(folder, "late.py");
    const text = await readFile(tiny, "utf8");
    await writeFile(
      path,
      text.replace(
        '    print("grading"',
        '    if len(completions) == 16:\n        1 / 0\n    print("grading"',
      ),
    );
    const environment = await loadEnvironment(path);
    const study = runTinyStudy(join(folder, "late"), tinySettings(), () => {}, { environment });
    await expect(study).rejects.toThrow(/late\.py:\d+: grade failed: ZeroDivisionError/);
    expect(processesOf(path)).toEqual([]);
  });

  it("does not go on with an arm that was edited", async () => {
    const path = join(folder, "edited.py");
    const settings = tinySettings({ arms: [path], training: { ...tinySettings().training, steps: 1 } });
    const study = (text: string) =>
      writeFile(path, text).then(() => runTinyStudy(join(folder, "edited"), settings));
    const text = "def reward(completions, **kwargs): return [0.0] * len(completions)\n";
    await study(text);
    await expect(study(`${text}# edited\n`)).rejects.toThrow(/the file of the arm edited was edited/);
  });

  it("names the run that an arm fails in, with the line", async () => {
    const path = join(folder, "fails.py");
    await writeFile(
      path,
      "def reward(completions, trainer_state):\n    return [1 / (trainer_state.global_step - 2)] * len(completions)\n",
    );
    const study = runTinyStudy(join(folder, "fails"), tinySettings({ arms: ["none", path] }));
    await expect(study).rejects.toThrow(/fails\.py:2: reward failed: ZeroDivisionError/);
    await expect(
      leftBy(
        "infinite",
        "infinite.py",
        "def reward(completions, **k): return [float('inf')] * len(completions)\n",
      ),
    ).rejects.toThrow(/reward gave inf for .*; it should give a finite number/);
  });
});

onNumpy("a reward with taps", () => {
  it("reads what one in JavaScript reads, of activations and of the study's probe", async () => {
    const left = [
      await leftBy(
        "taps-js",
        "own.mjs",
        `import { readProbe, readTap } from "${fileURLToPath(new URL("../../dist/index.js", import.meta.url))}";
        export default ({ probe }) => {
          const last = { model: "reference", hook: "${tinyHook}", positions: "completion-last" };
          const all = { model: "policy", hook: "${tinyHook}", positions: "completion" };
          return { name: "own", weight: 0.5, sees: "rollouts", taps: [last, all, { ...probe.tap, model: "policy", probe }],
            score: (rollouts) => rollouts.map((rollout) =>
              readTap(rollout, last)[0][3] + readTap(rollout, all).at(-1)[2] + readTap(rollout, all).length
              + readProbe(rollout, probe, "policy").tokens.at(-1)) };
        };`,
      ),
      await leftBy(
        "taps-py",
        "own.py",
        `probeward = {"weight": 0.5, "taps": {
    "last": {"model": "reference", "hook": "${tinyHook}", "positions": "completion-last"},
    "all": {"model": "policy", "hook": "${tinyHook}", "positions": "completion"},
    "seen": {"model": "policy", "probe": True},
}}
def reward(last, all, seen, **kwargs):
    return [float(l[0, 3]) + float(a[-1, 2]) + len(a) + float(s[-1, 0]) for l, a, s in zip(last, all, seen)]
`,
      ),
    ];
    expect(left[1]).toEqual(left[0]);
  });
});

const page = fileURLToPath(new URL("../../docs/python.md", import.meta.url));
const example = fileURLToPath(new URL("../../examples/distance/", import.meta.url));

/** The Python files of docs/python.md. */
async function filesOf(page: string): Promise<string[]> {
  const text = await readFile(page, "utf8");
  return [...text.matchAll(/^```python\n([\s\S]*?)^```$/gm)].map(([, file]) =>
    file!.replaceAll("blocks.2", "blocks.0"),
  );
}

describe("docs/python.md", async () => {
  const [task, about, reward, distance, monitor, ...rest] = await filesOf(page);

  it("has no other files", () => expect(rest).toEqual([]));

  onPython("its task", () => {
    it("keeps the contract, with what it says of itself", async () => {
      const path = join(folder, "task.py");
      await writeFile(path, `${about}\n${task}`);
      const environment = await loadEnvironment(path);
      expect(environment.maxCompletionLength).toBe(8);
      for (const { promise, check } of contract)
        await expect(check(environment), promise).resolves.toBeUndefined();
      await environment.close();
    });
  });

  onPython("its reward and its monitor", () => {
    it("are trained with", async () => {
      await leftBy("page-reward", "page.py", reward!);
      await leftBy("page-monitor", "page.py", monitor!);
    });
  });

  onNumpy("its reward with activations", () => {
    it("is that of examples/distance, and is trained with", async () => {
      expect((await readStudy(join(example, "study.yaml"))).arms[2]).toBe(join(example, "distance.py"));
      const own = (await readFile(join(example, "distance.py"), "utf8")).replaceAll("blocks.2", "blocks.0");
      const withoutTexts = (file: string) => file.replaceAll(/ *""".*"""\n/g, "").trim();
      expect(withoutTexts(own)).toBe(distance!.trim());
      const left = await leftBy("page-distance", "distance.py", own);
      const lines = left["runs/distance/seed-1/metrics.jsonl"]!.trim().split("\n");
      const largest = lines.map((line) => JSON.parse(line)["distance/largest"]);
      // The policy has not moved at the first step, and has at the last.
      expect([largest[0], largest.at(-1) > 1e-6]).toEqual([0, true]);
    });
  });
});
