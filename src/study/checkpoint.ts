/** @file Checkpoints of a run: written aside and renamed, known by their checksums, refused where they are damaged. */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { type Policy, STATE_FILES } from "../engine/index.ts";
import { readDocument, withFile, writeJson } from "../files.ts";
import { loadProbe, saveProbe } from "../probe/index.ts";
import type { RunContext, RunState } from "../training/index.ts";

/** Where the arm refits it: the probe as it was fitted last. */
const PROBE = "probe";
const PROBE_FILES = [`${PROBE}/probe.json`, `${PROBE}/probe.safetensors`];

/** `checkpoint.json`: what the tensors do not say. A flipped bit of theirs is a number as good as any. */
const checkpointSchema = z.object({
  version: z.literal(1),
  step: z.int().min(1),
  /** Updates of the weights: more than steps, where there are several per step. */
  updates: z.int().min(1),
  sha256: z.record(z.string(), z.string()),
});

const nameOf = (step: number) => `step-${String(step).padStart(6, "0")}`;
const stepOf = (name: string) => Number(name.slice("step-".length));

/** Writes the checkpoint of a state into a run's folder, and drops those before. @throws FileError */
export async function saveCheckpoint(run: string, { step, probe }: RunState, policy: Policy): Promise<void> {
  const root = join(run, "checkpoints");
  const target = join(root, nameOf(step));
  const aside = `${target}.partial`;
  await withFile("write", target, async () => {
    await removeFolder(aside);
    try {
      const written = await policy.saveState(aside);
      if (probe) await saveProbe(join(aside, PROBE), probe);
      await writeJson(join(aside, "checkpoint.json"), {
        ...{ version: 1, step, updates: policy.updates },
        sha256: { ...written, ...(probe && (await checksums(aside, PROBE_FILES))) },
      } satisfies z.infer<typeof checkpointSchema>);
      await withFile("write", target, () => rename(aside, target));
    } catch (error) {
      await removeFolder(aside).catch(() => {});
      throw error;
    }
    await keepOnly(root, nameOf(step));
  });
}

/** Drops from a finished run's folder what is not to be kept of its last checkpoint. @throws FileError */
export async function thinCheckpoint(
  run: string,
  step: number,
  keep: RunContext["settings"]["keepCheckpoints"],
): Promise<void> {
  const folder = join(run, "checkpoints", nameOf(step));
  if (keep === "none") await removeFolder(folder);
  if (keep === "weights")
    await withFile("write", folder, () => rm(join(folder, STATE_FILES.optimizer), { force: true }));
}

/** @throws Error where a finished run's last checkpoint was not kept whole, so that it cannot be trained further */
export async function requireCheckpoint(run: string, step: number): Promise<void> {
  const folder = join(run, "checkpoints", nameOf(step));
  const files: string[] = await readdir(folder).catch(() => []);
  if (!files.includes(STATE_FILES.optimizer))
    throw new Error(
      `${run} is done at step ${step} and cannot be trained further: of its last checkpoint ${files.length > 0 ? "the weights alone are" : "nothing is"} there (training.keepCheckpoints). Delete the run's folder to run it again.`,
    );
}

/** Removes other checkpoints, whole or not, and nothing else: what people put beside them is theirs. */
async function keepOnly(root: string, name: string | undefined): Promise<void> {
  for (const other of await readdir(root))
    if (other !== name && /^step-\d{6,}(\.partial)?$/.test(other)) await removeFolder(join(root, other));
}

async function removeFolder(path: string): Promise<void> {
  await withFile("write", path, () => rm(path, { recursive: true, force: true }));
}

/**
 * Loads the policy of a run's last checkpoint, and says where it stands; a run that has none begins. What was being written when the run was killed
 * is not a checkpoint yet.
 *
 * @throws FileError
 * @throws Error naming a file that is damaged, or of another run
 */
export async function loadCheckpoint(run: string, context: RunContext, policy: Policy): Promise<RunState> {
  const root = join(run, "checkpoints");
  await withFile("write", root, () => mkdir(root, { recursive: true }));
  const entries = await withFile("read", root, () => readdir(root));
  const name = entries
    .filter((entry) => /^step-\d{6,}$/.test(entry))
    .sort((a, b) => stepOf(a) - stepOf(b))
    .at(-1);
  // A kill may have left older ones, and one that was being written.
  await withFile("write", root, () => keepOnly(root, name));
  if (name === undefined) return { step: 0 };
  const folder = join(root, name);
  const path = join(folder, "checkpoint.json");
  const about = await readDocument(path, checkpointSchema);
  if (about === undefined) throw unusable(`${path} is absent`);
  const { step, updates } = about;
  const { steps, iterations } = context.settings;
  if (nameOf(step) !== name || step > steps || updates !== step * iterations)
    throw unusable(`${path} says step ${step} after ${updates} updates, which cannot be in this run`);
  const refitted = context.arm.refit !== undefined;
  const sealed = [...Object.values(STATE_FILES), ...(refitted ? PROBE_FILES : [])];
  for (const [file, sum] of Object.entries(await checksums(folder, sealed)))
    if (sum !== about.sha256[file])
      throw unusable(
        `${join(folder, file)} is damaged: its checksum is not the one that it was written with`,
      );
  await policy.loadState(folder, updates).catch((error: Error) => {
    throw unusable(error.message);
  });
  return { step, ...(refitted && { probe: await loadProbe(join(folder, PROBE)) }) };
}

/**
 * The folder of a run's last checkpoint, whose weights are as they were written.
 *
 * @throws Error where nothing was kept, or it is damaged
 */
export async function lastCheckpoint(run: string): Promise<{ folder: string; step: number }> {
  const root = join(run, "checkpoints");
  const names: string[] = await readdir(root).catch(() => []);
  const name = names
    .filter((entry) => /^step-\d{6,}$/.test(entry))
    .sort((a, b) => stepOf(a) - stepOf(b))
    .at(-1);
  if (name === undefined)
    throw new Error(
      `${run} has no checkpoint to read: it did not get that far, or its study keeps none (training.keepCheckpoints)`,
    );
  const folder = join(root, name);
  const about = await readDocument(join(folder, "checkpoint.json"), checkpointSchema);
  if (about === undefined) throw new Error(`${folder} is no checkpoint: checkpoint.json is absent`);
  const sums = await checksums(folder, [STATE_FILES.weights]);
  if (sums[STATE_FILES.weights] !== about.sha256[STATE_FILES.weights])
    throw new Error(
      `${join(folder, STATE_FILES.weights)} is damaged: its checksum is not the one that it was written with`,
    );
  return { folder, step: about.step };
}

function unusable(what: string): Error {
  return new Error(`${what}. Delete the run's folder to run it again.`);
}

async function checksums(folder: string, files: readonly string[]): Promise<Record<string, string>> {
  const sums: Record<string, string> = {};
  for (const file of files) {
    const path = join(folder, file);
    const hash = createHash("sha256");
    await withFile("read", path, async () => {
      for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    });
    sums[file] = hash.digest("hex");
  }
  return sums;
}
