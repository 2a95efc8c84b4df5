/** @file What comes with the package, for code that reads it as files: small ones are here, others are fetched when they are read. */

import quickjs from "quickjs-wasi/quickjs.wasm?packed";
import report from "../../../dist/web/index.html?url";
import modelsOfCode from "../../../models/code/model.safetensors?packed";
import modelsOfFacts from "../../../models/facts/model.safetensors?packed";
import modelsOfOpinion from "../../../models/opinion/model.safetensors?packed";
import { fetchPacked } from "../packed.ts";
import { systemError } from "./volume.ts";

/** Where the package lies, for its own code. */
export const PACKAGE = "/probeward";

const texts: Record<string, string> = {
  ...(import.meta.glob(
    ["../../../package.json", "../../../studies/*.yaml", "../../../models/*/config.json"],
    {
      query: "?raw",
      import: "default",
      eager: true,
    },
  ) as Record<string, string>),
};

/** Small files by their paths. */
const here = new Map(
  Object.entries(texts).map(([path, text]) => [
    path.replace("../../..", PACKAGE),
    new TextEncoder().encode(text),
  ]),
);

/** Addresses of the others. */
const elsewhere = new Map([
  [`${PACKAGE}/models/code/model.safetensors`, modelsOfCode],
  [`${PACKAGE}/models/facts/model.safetensors`, modelsOfFacts],
  [`${PACKAGE}/models/opinion/model.safetensors`, modelsOfOpinion],
  [`${PACKAGE}/dist/web/index.html`, report],
  [`${PACKAGE}/node_modules/quickjs-wasi/quickjs.wasm`, quickjs],
]);

export function isOfPackage(path: string): boolean {
  return path === PACKAGE || path.startsWith(`${PACKAGE}/`);
}

/** All paths, of files and of folders. */
export function packagePaths(): string[] {
  const files = [...here.keys(), ...elsewhere.keys()];
  return [
    ...new Set(
      files.flatMap((file) => file.split("/").map((_, i, parts) => parts.slice(0, i + 1).join("/"))),
    ),
  ];
}

export function isPackageFile(path: string): boolean {
  return here.has(path) || elsewhere.has(path);
}

/** @throws ENOENT where it is not there, or cannot be had at once */
export function packageFileNow(path: string): Uint8Array {
  const bytes = here.get(path);
  if (bytes) return bytes;
  throw systemError("ENOENT", path);
}

/** @throws ENOENT; Error where it cannot be fetched */
export async function packageFile(path: string): Promise<Uint8Array> {
  const known = here.get(path);
  if (known) return known;
  const address = elsewhere.get(path);
  if (!address) throw systemError("ENOENT", path);
  const bytes = await fetchPacked(address);
  // Asked for time and again, in pieces.
  here.set(path, bytes);
  return bytes;
}
