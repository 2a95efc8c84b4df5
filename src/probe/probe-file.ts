/** @file A probe on disk: a folder with `probe.safetensors` (its direction) and `probe.json` (everything else). */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeJson } from "../files.ts";
import { allFinite } from "../tensor/finite.ts";
import { writeSafetensors } from "../tensor/safetensors.ts";
import { readSafetensors } from "../tensor/safetensors-file.ts";
import { type Passport, passportSchema } from "./passport.ts";
import { allPositions, type Probe } from "./types.ts";

const probeFileSchema = z
  .strictObject({
    /** 1: without a passport. */
    version: z.union([z.literal(1), z.literal(2)]),
    kind: z.enum(["logistic", "difference-of-means", "random-direction", "sae-feature"]),
    tap: z
      .strictObject({
        hook: z.string().min(1),
        positions: z.enum(allPositions),
        followUp: z.string().min(1).optional(),
        pool: z.enum(["mean", "max"]),
      })
      .refine(
        ({ positions, followUp }) => (positions === "follow-up") === (followUp !== undefined),
        "a followUp should be given where positions is follow-up, and only there",
      ),
    bias: z.number(),
    threshold: z.number(),
    /** Of the direction, so that the halves of two probes are never taken for one. */
    weightSha256: z.string(),
    passport: passportSchema.optional(),
  })
  .refine(
    ({ version, passport }) => (version === 2) === (passport !== undefined),
    "a file of version 2 should have a passport, and one of version 1 none",
  );

/**
 * Writes both files, each whole at any moment; makes the folder. Numbers come back exactly.
 *
 * @param passport what the probe was fitted on and how it is to be read, where that is known
 * @throws FileError
 */
export async function saveProbe(
  folder: string,
  { kind, tap, weight_D, bias, threshold }: Probe,
  passport?: Passport,
): Promise<void> {
  const file: z.infer<typeof probeFileSchema> = {
    version: passport ? 2 : 1,
    kind,
    tap,
    bias,
    threshold,
    weightSha256: sha256(weight_D),
    passport,
  };
  const path = join(folder, "probe.json");
  const parsed = probeFileSchema.safeParse(file);
  if (!parsed.success) throw new Error(`cannot store the probe in ${path}: ${z.prettifyError(parsed.error)}`);
  await writeSafetensors(join(folder, "probe.safetensors"), {
    weight: { shape: [weight_D.length], data: weight_D },
  });
  await writeJson(path, file);
}

/** @throws Error naming the file that is missing or malformed, and what is wrong with it. */
export async function loadProbe(folder: string): Promise<Probe> {
  return (await loadProbeFile(folder)).probe;
}

/** The probe with its passport, which files of earlier versions do not have. @throws Error as `loadProbe` does */
export async function loadProbeFile(
  folder: string,
): Promise<{ probe: Probe; passport?: Passport | undefined }> {
  const path = join(folder, "probe.json");
  const text = await readFile(path, "utf8").catch((error: Error) => {
    throw new Error(`${folder} is not a probe: ${path} cannot be read (${error.message})`);
  });
  const parsed = probeFileSchema.safeParse(parseJson(text, path));
  if (!parsed.success)
    throw new Error(
      `${path} is not valid. Copy it or fit the probe again.\n${z.prettifyError(parsed.error)}`,
    );
  const { kind, tap, bias, threshold, weightSha256, passport } = parsed.data;

  const weightPath = join(folder, "probe.safetensors");
  const { weight, ...others } = (await readSafetensors(weightPath)).tensors;
  if (!(weight?.data instanceof Float32Array) || weight.shape.length !== 1 || Object.keys(others).length > 0)
    throw new Error(`${weightPath}: a probe has one tensor, weight, of type float32 and shape [D]`);
  if (sha256(weight.data) !== weightSha256)
    throw new Error(
      `${weightPath} does not belong to ${path}: the checksum differs. Copy both files or fit the probe again`,
    );
  if (!allFinite(weight.data))
    throw new Error(`${weightPath}: its numbers are not finite; fit the probe again`);
  return { probe: { kind, tap, weight_D: weight.data, bias, threshold }, passport };
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${path} is not JSON: the probe's folder is damaged. Copy it or fit the probe again`);
  }
}

function sha256(weight_D: Float32Array): string {
  const bytes = new Uint8Array(weight_D.buffer, weight_D.byteOffset, weight_D.byteLength);
  return createHash("sha256").update(bytes).digest("hex");
}
