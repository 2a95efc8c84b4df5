/** @file `probeward doctor`: checks that everything a study needs works on this machine. */

import { readdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { numpy as np } from "@jax-js/jax";
import { Command } from "commander";
import { createEnvironment } from "../environment/index.ts";
import { loadModel } from "../model/index.ts";
import { randomFor } from "../random.ts";
import { shippedModel } from "../study/index.ts";
import { compile, floats } from "../tensor/index.ts";

/** What is checked, by name; a check passes with a detail or throws. */
const checks: Record<string, () => Promise<string>> = {
  "Node.js 20.19 or later": async () => {
    const [major, minor] = process.versions.node.split(".").map(Number) as [number, number];
    if (major < 20 || (major === 20 && minor < 19))
      throw new Error(`this is ${process.versions.node}; install a newer one`);
    return process.versions.node;
  },
  "ONNX Runtime computes": async () => {
    const program = await compile((x) => np.sum(x), [floats([3])]);
    const sum = await program.run(floats([3], new Float32Array([1, 2, 3])));
    await program.close();
    if (sum.data[0] !== 6) throw new Error(`1 + 2 + 3 = ${sum.data[0]}; reinstall onnxruntime-node`);
    return `${availableParallelism()} threads`;
  },
  "the sandbox runs programs": async () => {
    const environment = createEnvironment("code");
    const task = environment.sample("train", randomFor("doctor"));
    const honest = environment.demonstrate(task, "honest", randomFor("doctor")) ?? "";
    const [outcome] = await environment.grade([task], [honest]);
    await environment.close();
    if (outcome?.true !== 1)
      throw new Error(`a right program was graded as ${outcome?.label}: ${outcome?.note}`);
    return honest;
  },
  "shipped models load": async () => {
    const shipped = await readdir(shippedModel("."), { withFileTypes: true });
    const names = shipped.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    for (const name of names) await loadModel(shippedModel(name));
    return names.join(", ");
  },
};

export function doctorCommand(): Command {
  return new Command("doctor")
    .description("Check that everything that a study needs works on this machine.")
    .action(async () => {
      let failed = 0;
      for (const [name, check] of Object.entries(checks)) {
        try {
          console.log(`ok      ${name}: ${await check()}`);
        } catch (error) {
          failed++;
          console.log(`failed  ${name}: ${(error as Error).message}`);
        }
      }
      if (failed > 0) process.exitCode = 1;
    });
}
