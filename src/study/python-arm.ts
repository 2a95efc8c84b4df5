/** @file An arm that a Python file makes: its `reward` or its `monitor`, with the activations that it declares. */

import { z } from "zod";
import { type ArmParts, armId } from "../arm/arms.ts";
import { ModuleError } from "../modules.ts";
import { allPositions } from "../probe/index.ts";
import { PythonFile, type Rows } from "../python/index.ts";
import {
  type DeclaredTap,
  type Monitor,
  type RewardTerm,
  type Rollout,
  readProbe,
  readTap,
  type ScoringContext,
} from "../training/index.ts";

const model = z.enum(["policy", "reference"]);
const tapSchema = z.union([
  z.strictObject({
    model,
    hook: z.string().min(1),
    positions: z.enum(allPositions),
    follow_up: z.string().min(1).optional(),
  }),
  z.strictObject({ model, probe: z.literal(true) }),
]);

/** What the file may say of itself. */
const aboutSchema = z.strictObject({
  name: z.string().min(1).optional(),
  weight: z.number().default(1),
  taps: z
    .record(z.string().regex(/^[A-Za-z_]\w*$/, "a tap is handed over by its name"), tapSchema)
    .default({}),
  time_limit: z.number().optional(),
});

const saidSchema = <T>(said: z.ZodType<T>) =>
  z.strictObject({
    said: z.array(said),
    metrics: z.record(z.string(), z.number().nullable()),
    columns: z.record(z.string(), z.array(z.union([z.string(), z.number(), z.boolean(), z.null()]))),
  });
const scoresSchema = saidSchema(z.number().nullable());
const verdictsSchema = saidSchema(
  z.strictObject({ flagged: z.boolean(), probability: z.number().min(0).max(1) }),
);

/** A file's arm, to be made for each of its runs. */
export interface PythonArm {
  make(parts: Pick<ArmParts, "probe">): RewardTerm | Monitor;
  close(): Promise<void>;
}

/** Close it when done. @throws ModuleError where the file cannot be loaded, or defines neither or both of the two */
export async function openPythonArm(path: string): Promise<PythonArm> {
  const file = await PythonFile.open(path, "arm");
  const close = () => file.close();
  try {
    if (file.defines.length !== 1)
      throw new ModuleError(
        `${path}: should define either \`reward\` or \`monitor\`, and defines ${file.defines.length === 0 ? "neither" : "both"}.`,
      );
    const about = file.about(aboutSchema);
    return { make: ({ probe }) => armOf(file, { ...about, name: about.name ?? armId(path) }, probe), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function armOf(
  file: PythonFile,
  { name, weight, taps: declared }: z.infer<typeof aboutSchema> & { name: string },
  probe: ArmParts["probe"],
): RewardTerm | Monitor {
  const taps = Object.entries(declared).map(([name, tap]): [string, DeclaredTap] => {
    if ("probe" in tap) return [name, { ...probe.tap, model: tap.model, probe }];
    const { follow_up: followUp, ...rest } = tap;
    return [name, { ...rest, ...(followUp !== undefined && { followUp }) }];
  });
  const ask = async <T>(
    call: "reward" | "monitor",
    schema: z.ZodType<Said<T>>,
    rollouts: readonly Rollout[],
    context: ScoringContext,
  ): Promise<T[]> => {
    const read = taps.map(([name, tap]) => rowsOf(name, tap, rollouts));
    const { seed, step, steps } = context;
    const { said, metrics, columns } = await file.ask(
      call,
      schema,
      {
        prompts: rollouts.map(({ prompt }) => prompt),
        completions: rollouts.map(({ completion }) => completion),
        completion_ids: rollouts.map(({ tokens, promptLength }) => tokens.slice(promptLength)),
        finished: rollouts.map(({ finished }) => finished),
        proxy: rollouts.map(({ proxy }) => proxy),
        ...{ seed, step, steps },
        ...(taps.length > 0 && {
          rows: Object.fromEntries(read.map(({ rows, counts }) => [rows.name, counts])),
        }),
      },
      read.map(({ rows }) => rows),
    );
    for (const [metric, value] of Object.entries(metrics)) context.logMetric(metric, value);
    for (const [column, values] of Object.entries(columns)) context.logColumn(column, values);
    return said;
  };
  const same = { name, sees: "rollouts" as const, taps: taps.map(([, tap]) => tap) };
  if (file.defines[0] === "reward") {
    const score: Scored = (rollouts, context) => ask("reward", scoresSchema, rollouts, context);
    return { ...same, weight, score };
  }
  const judge: Judged = async (rollouts, context) =>
    (await ask("monitor", verdictsSchema, rollouts, context)).map(({ flagged, probability }) => ({
      ...{ flagged, probability },
      logit: Math.log(probability) - Math.log1p(-probability),
    }));
  return { ...same, judge };
}

type Scored = Extract<RewardTerm, { sees: "rollouts" }>["score"];
type Judged = Extract<Monitor, { sees: "rollouts" }>["judge"];
type Said<T> = { said: T[] } & Omit<z.infer<typeof scoresSchema>, "said">;

/** What a tap reads of all rollouts, one after the other, and how many rows each has: of a probe, a logit for each token. */
function rowsOf(
  name: string,
  tap: DeclaredTap,
  rollouts: readonly Rollout[],
): { rows: Rows; counts: number[] } {
  const { probe } = tap;
  const read = rollouts.map((rollout) =>
    probe
      ? Array.from(readProbe(rollout, probe, tap.model).tokens, (logit) => Float32Array.of(logit))
      : readTap(rollout, tap),
  );
  const counts = read.map(({ length }) => length);
  const all = read.flat();
  const width = all[0]?.length ?? 0;
  const data = new Float32Array(all.length * width);
  all.forEach((row, i) => {
    data.set(row, i * width);
  });
  return { rows: { name, data, count: all.length }, counts };
}
