/** @file XLA for tests, where the Python has jax. */

import { execFileSync } from "node:child_process";
import { describe } from "vitest";
import { pythonOf } from "../src/tensor/xla/process.ts";

/** Why there is no XLA here; `undefined` where there is. */
export const noXla: string | undefined = (() => {
  const python = pythonOf(undefined);
  try {
    execFileSync(
      python,
      ["-c", "import importlib.util as u; assert u.find_spec('jax') and u.find_spec('numpy')"],
      {
        stdio: "ignore",
      },
    );
    return undefined;
  } catch {
    return `skipped: ${python} has no jax (PROBEWARD_PYTHON names another)`;
  }
})();

/** Tests that need XLA. Where there is none, their name says why they are skipped. */
export function onXla(name: string, tests: () => void): void {
  describe.skipIf(noXla)(noXla ? `${name} (${noXla})` : name, tests);
}

/** Has workers that start from now on compile in half of the time, to programs that are slower: for many small ones. */
export function compileQuickly(): void {
  process.env.XLA_FLAGS = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true";
}
