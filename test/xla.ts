/** @file XLA for tests, where the Python has jax. */

import { execFileSync } from "node:child_process";
import { describe } from "vitest";
import { pythonOf } from "../src/python/index.ts";

/** Why a Python cannot do something; `undefined` where it can. */
function lacking(words: string, what: string): string | undefined {
  const python = pythonOf();
  try {
    execFileSync(python, ["-c", words], { stdio: "ignore" });
    return undefined;
  } catch {
    return `skipped: ${python} ${what} (PROBEWARD_PYTHON names another)`;
  }
}

const noPython = lacking("", "cannot be started");
const noXla =
  noPython ??
  lacking("import importlib.util as u; assert u.find_spec('jax') and u.find_spec('numpy')", "has no jax");

/** Tests that need a Python of any kind. Where there is none, their name says why they are skipped. */
export function onPython(name: string, tests: () => void): void {
  describe.skipIf(noPython)(noPython ? `${name} (${noPython})` : name, tests);
}

const noNumpy = noPython ?? lacking("import numpy", "has no numpy");

/** Tests that need a Python with numpy. Where there is none, their name says why they are skipped. */
export function onNumpy(name: string, tests: () => void): void {
  describe.skipIf(noNumpy)(noNumpy ? `${name} (${noNumpy})` : name, tests);
}

/** Tests that need XLA. Where there is none, their name says why they are skipped. */
export function onXla(name: string, tests: () => void): void {
  describe.skipIf(noXla)(noXla ? `${name} (${noXla})` : name, tests);
}

/** Has workers that start from now on compile in half of the time, to programs that are slower: for many small ones. */
export function compileQuickly(): void {
  process.env.XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true";
}
