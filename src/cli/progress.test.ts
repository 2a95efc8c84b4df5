import { describe, expect, test, vi } from "vitest";
import type { StudyEvent } from "../study/index.ts";
import { clock, followInTerminal } from "./progress.ts";

/** A terminal (or with no columns a file) that keeps what is written to it, and a clock that is set by hand. */
function follow(columns?: number) {
  const target = {
    text: "",
    columns: columns ?? 0,
    isTTY: columns !== undefined,
    write(text: string) {
      this.text += text;
    },
  };
  if (columns === undefined) Reflect.deleteProperty(target, "columns");
  const time = { now: 0 };
  return { target, time, ...followInTerminal(target, () => time.now) };
}

function step(index: number, overrides: Partial<StudyEvent & { kind: "step" }> = {}): StudyEvent {
  return {
    kind: "step",
    arm: "probe-penalty",
    seed: 1,
    steps: 60,
    metrics: { step: index, misbehaviour: 0.25 },
    done: index + 1,
    total: 600,
    ...overrides,
  };
}

const seen = { "tracer/initial/policy/recall_frozen": 1, "tracer/initial/policy/fpr_frozen": 0.02 };

/** What a terminal of some width shows: it knows what `progress.ts` writes, and wraps. */
function screen(text: string, columns: number): string[] {
  const rows = [""];
  let row = 0;
  for (const [token] of text.replaceAll("\u001b[", "⎋").matchAll(/⎋\d+A|⎋J|[^⎋]/gs)) {
    if (token === "\r") continue; // Everything that follows a return here clears the line.
    if (token === "\n") rows[++row] = "";
    else if (/^⎋\d/.test(token)) row -= Number(token.slice(1, -1));
    else if (token === "⎋J") {
      rows.length = row;
      rows[row] = "";
    } else {
      if (rows[row]!.length === columns) rows[++row] = "";
      rows[row] += token;
    }
  }
  return rows;
}

describe("on a terminal", () => {
  test("is one line that says what happens and how long it will take", () => {
    const { onEvent, target, time } = follow(80);
    onEvent({ kind: "stage", detail: "Asking the base model" });
    onEvent(step(0, { metrics: { step: 0, misbehaviour: 0.25, ...seen } }));
    time.now = 2000;
    onEvent(step(1));
    const rows = screen(target.text, 80);
    expect(rows).toHaveLength(2);
    expect(rows[0]).toBe("[0:00] Asking the base model");
    expect(rows[1]).toBe("probe-penalty, seed 1  step  2/60  misbehaves 0.25  sight 0.98  0%  19:56 left");
  });

  test.each([20, 40, 60, 80])("fits %d columns, and keeps the run and the time left longest", (columns) => {
    const { onEvent, target, time } = follow(columns);
    const long = { arm: "probe-penalty-trunk-frozen", seed: 12, steps: 2000, total: 40_000 };
    onEvent(step(0, long));
    time.now = 3_000;
    onEvent(step(1, long));
    const rows = screen(target.text, columns);
    expect(rows).toHaveLength(1);
    expect(rows[0]!.length).toBeLessThan(columns);
    expect(rows[0]).toContain("probe-penalty-trun");
    if (columns >= 60) expect(rows[0]).toContain("left");
  });

  test("leaves nothing behind when the window becomes narrower", () => {
    const { onEvent, target, time } = follow(80);
    time.now = 1000;
    onEvent(step(1));
    // The terminal wraps what stands there, and the next line must clear both rows.
    target.columns = 50;
    time.now = 2000;
    onEvent(step(2));
    const rows = screen(target.text, 50);
    expect(rows).toHaveLength(1);
    expect(rows[0]).toContain("step  3/60");
  });

  test("a finished run, a warning and the end stay on lines of their own", () => {
    const { onEvent, end, target } = follow(80);
    onEvent(step(58));
    onEvent(step(59));
    onEvent(step(0, { arm: "none", done: 61 }));
    onEvent({ kind: "warning", detail: "the disk is nearly full" });
    onEvent(step(1, { arm: "none", done: 62 }));
    end();
    target.write("probeward: failed\n");
    const rows = screen(target.text, 80);
    expect(rows[0]).toContain("probe-penalty, seed 1  step 60/60");
    expect(rows[1]).toBe("warning: the disk is nearly full");
    expect(rows[2]).toContain("none, seed 1");
    expect(rows[3]).toBe("probeward: failed");
  });

  test("another run does not show the last one's probe", () => {
    const { onEvent, target } = follow(80);
    onEvent(step(0, { metrics: { step: 0, misbehaviour: null, ...seen } }));
    onEvent(step(0, { arm: "none" }));
    expect(screen(target.text, 80)[0]).toContain("sight -");
  });
});

test("a stage that takes long has a clock on a terminal, and keeps what it showed", () => {
  vi.useFakeTimers();
  try {
    const { onEvent, end, target, time } = follow(80);
    onEvent({ kind: "stage", detail: "Reading 600 completions" });
    time.now = 65_000;
    vi.advanceTimersByTime(1000);
    expect(screen(target.text, 80)).toEqual(["[0:00] Reading 600 completions (1:05)"]);
    time.now = 66_000;
    onEvent({ kind: "stage", detail: "Fitting probes" });
    end();
    expect(screen(target.text, 80).filter((row) => row !== "")).toEqual([
      "[0:00] Reading 600 completions (1:06)",
      "[1:06] Fitting probes",
    ]);
  } finally {
    vi.useRealTimers();
  }
});

test("in a log: plain lines, one in ten steps and the last, and nothing that moves a cursor", () => {
  const { onEvent, end, target } = follow();
  for (let index = 0; index < 25; index++) onEvent(step(index, { steps: 25 }));
  end();
  const lines = target.text.split("\n").slice(0, -1);
  expect(lines.map((line) => /step +(\d+)/.exec(line)![1])).toEqual(["10", "20", "25"]);
  for (const control of ["\r", "\u001b"]) expect(target.text).not.toContain(control);
});

test("runs that were done before do not make the rest look quick", () => {
  const { onEvent, target, time } = follow(80);
  // 300 steps were done before: the study goes on at step 301, a second each.
  onEvent(step(0, { done: 301 }));
  time.now = 1000;
  onEvent(step(1, { done: 302 }));
  expect(screen(target.text, 80)[0]).toContain(`${clock(298_000)} left`);
});

test("clock", () => {
  expect([7_000, 754_000, 3_723_000].map(clock)).toEqual(["0:07", "12:34", "1:02:03"]);
});

test("a log never stays silent for longer than about a minute", () => {
  vi.useFakeTimers();
  try {
    const { onEvent, end, target, time } = follow();
    onEvent({ kind: "stage", detail: "Asking the base model" });
    for (let minute = 1; minute <= 3; minute++) {
      time.now = minute * 60_000;
      vi.advanceTimersByTime(60_000);
    }
    // Steps of two minutes have a line each.
    for (let index = 0; index < 3; index++) {
      time.now += 120_000;
      onEvent(step(index));
    }
    end();
    time.now += 600_000;
    vi.advanceTimersByTime(600_000);
    const lines = target.text.trim().split("\n");
    expect(lines[1]).toBe("[1:00] still running: Asking the base model");
    expect(lines.filter((line) => line.includes("still running"))).toHaveLength(3);
    expect(lines.filter((line) => line.includes("step"))).toHaveLength(3);
  } finally {
    vi.useRealTimers();
  }
});
