/** @file Arms of a user's own: a module that a study names by its path, or a function. */

import { z } from "zod";
import { type ArmParts, armId, arms } from "../arm/arms.ts";
import type { Awaitable } from "../environment/types.ts";
import { UsageError } from "../errors.ts";
import { aFunction, importModule, isModulePath, isPythonPath, ModuleError, makeFrom } from "../modules.ts";
import { allPositions } from "../probe/index.ts";
import type { ArmId } from "../store/arms.ts";
import { type Arm, type Monitor, penalty, proxyReward, type RewardTerm } from "../training/index.ts";
import { openPythonArm } from "./python-arm.ts";

/**
 * Makes an arm for each of its runs: the default export of an arm's module. What is not yet an arm becomes one:
 *
 * - a reward term is added to the proxy's pay
 * - a monitor is penalised as the study's `penalty` and `penaltyShape` say
 */
export type MakeArm = (parts: ArmParts) => Awaitable<Arm | RewardTerm | Monitor>;

/** What is open as long as arms are used. */
export interface Closeable {
  close(): Promise<void>;
}

type ArmMaker = (parts: ArmParts) => Awaitable<Arm>;

/**
 * What makes each arm of a study, by the arm's id: of those that its settings name, and of those that are given as functions.
 *
 * @param opened gets what has to be closed when the arms are no longer used, also where this throws
 * @throws ModuleError where a module cannot be loaded
 * @throws UsageError where two arms have one id, or an id cannot be the name of a folder
 */
export async function armsOf(
  named: readonly string[],
  given: Readonly<Record<string, MakeArm>> = {},
  opened: Closeable[] = [],
): Promise<Record<string, ArmMaker>> {
  const found: Record<string, ArmMaker> = {};
  const add = (id: string, make: ArmMaker) => {
    if (!/^\w[\w.-]*$/.test(id))
      throw new UsageError(
        `an arm cannot be named ${JSON.stringify(id)}: use letters, digits, "-", "_" and "."`,
      );
    if (Object.hasOwn(found, id))
      throw new UsageError(`two arms are named ${id}; name one of them otherwise`);
    found[id] = make;
  };
  for (const one of named.filter((one) => !isModulePath(one))) add(one, arms[one as ArmId].make);
  for (const path of named.filter(isModulePath)) add(armId(path), ownArm(path, await makerIn(path, opened)));
  for (const [id, make] of Object.entries(given)) add(id, ownArm(id, make));
  // One of the user's own in the place of one that is built in would be taken for it in tables.
  for (const id of [...named.filter(isModulePath).map(armId), ...Object.keys(given)])
    if (Object.hasOwn(arms, id))
      throw new UsageError(`an arm named ${id} is built in; name your own otherwise`);
  return found;
}

/** A module's function, which is looked for at once, so that what is wrong with it is said before anything is run. */
async function makerIn(path: string, opened: Closeable[]): Promise<(parts: ArmParts) => Awaitable<unknown>> {
  if (isPythonPath(path)) {
    const arm = await openPythonArm(path);
    opened.push(arm);
    return arm.make;
  }
  const module = await importModule(path);
  const what = "an arm, a reward term or a monitor";
  if (typeof module.default !== "function") await makeFrom(module, path, what);
  return (parts) => makeFrom(module, path, what, parts);
}

/** What a module makes is no arm, whatever it is handed. */
class ArmShapeError extends ModuleError {}

/**
 * Makes an arm once with what has the form of its parts, before there are any: that what comes out is no arm is found before
 * hours are spent. One that fails on such parts may do better with its own.
 *
 * @throws ModuleError where what is made is not an arm, a reward term or a monitor
 */
export async function tryArm(make: (parts: ArmParts) => Awaitable<Arm>, parts: ArmParts): Promise<void> {
  try {
    await make(parts);
  } catch (error) {
    if (error instanceof ArmShapeError) throw error;
  }
}

function ownArm(source: string, make: (parts: ArmParts) => unknown): ArmMaker {
  return async (parts) => toArm(await make(parts), parts, source);
}

function toArm(made: unknown, { penalty: weight, penaltyShape: shape }: ArmParts, source: string): Arm {
  const has = (name: string) => typeof made === "object" && made !== null && name in made;
  const checked = <T>(schema: z.ZodType, what: string): T => {
    const { error } = schema.safeParse(made);
    if (!error) return made as T;
    const lines = error.issues.map(({ path, message }) => `  ${path.join(".") || "it"}: ${message}`);
    throw new ArmShapeError(`${source}: what it makes is not ${what}:\n${lines.join("\n")}`);
  };
  if (has("terms")) return checked<Arm>(armShape, "an arm");
  if (has("judge")) {
    const monitor = checked<Monitor>(monitorShape, "a monitor");
    return { terms: [proxyReward(), penalty(monitor, { weight, shape })] };
  }
  if (has("score")) return { terms: [proxyReward(), checked<RewardTerm>(termShape, "a reward term")] };
  throw new ArmShapeError(
    `${source}: what it makes should be an arm (it has \`terms\`), a reward term (\`score\`) or a monitor (\`judge\`).`,
  );
}

const name = z.string().min(1);
const taps = z.array(
  z.looseObject({
    model: z.enum(["policy", "reference"]),
    hook: z.string().min(1),
    positions: z.enum(allPositions),
  }),
);

const monitorShape = z.discriminatedUnion("sees", [
  z.looseObject({ name, sees: z.literal("rollouts"), taps, judge: aFunction }),
  z.looseObject({ name, sees: z.literal("ground-truth"), judge: aFunction }),
]);

const share = z.number().min(0).max(1);
const term = { name, weight: z.number(), during: z.tuple([share, share]).optional(), score: aFunction };
const termShape = z.discriminatedUnion("sees", [
  z.looseObject({ ...term, sees: z.literal("rollouts"), taps }),
  z.looseObject({ ...term, sees: z.literal("ground-truth") }),
  z.looseObject({ ...term, sees: z.literal("verdicts"), monitor: monitorShape }),
]);

/** Strict: what is misspelt would be left out in silence. */
const armShape = z.strictObject({
  terms: z.array(termShape).min(1),
  screen: monitorShape.optional(),
  silence: monitorShape.optional(),
  probeInLoss: z.looseObject({ probe: z.looseObject({}), strength: z.number() }).optional(),
  refit: z.looseObject({ every: z.int().min(1), rate: z.number(), arm: aFunction }).optional(),
  imitate: z.union([z.boolean(), z.literal("best")]).optional(),
  choose: monitorShape.optional(),
  frozenThrough: z.string().optional(),
  inoculate: z.boolean().optional(),
  ablate: z.looseObject({ hook: z.string() }).optional(),
});
