/** @file `probeward check`: does an environment keep what every environment promises, and what does a model know of it? */

import type { Command } from "commander";
import { contract } from "../environment/contract.ts";
import type { Environment } from "../environment/index.ts";
import { environmentChoices, loadEnvironment } from "../environment/load.ts";
import { resolveModule } from "../modules.ts";

/** Its arguments and options, and what it does. */
export function checkCommand(command: Command): Command {
  return command
    .argument("<environment>", environmentChoices)
    .option("--model [path]", "a base model's folder or GGUF file; without a path, the environment's own")
    .action(async (name: string, { model }: { model?: string | true }) => {
      const module = resolveModule(name, process.cwd());
      const environment = await loadEnvironment(module);
      try {
        if (!(await keepsContract(environment))) process.exitCode = 1;
        else if (model !== undefined) await report(environment, module, model);
      } finally {
        await environment.close();
      }
    });
}

async function keepsContract(environment: Environment): Promise<boolean> {
  let broken = 0;
  for (const { promise, check } of contract) {
    try {
      await check(environment);
      console.log(`ok      ${promise}`);
    } catch (error) {
      broken++;
      console.log(`failed  ${promise}\n        ${(error as Error).message}`);
    }
  }
  return broken === 0;
}

/** Loads what asks a model only now: checking an environment alone is quick. */
async function report(environment: Environment, module: string, given: string | true): Promise<void> {
  const { openBaseModel, reportBaseModel } = await import("../prepare/index.ts");
  const { behaviourInWords, differenceInWords } = await import("./base-model.ts");
  const { onEvent, end } = (await import("./progress.ts")).followInTerminal();
  const settings = { environment: module, model: given === true ? undefined : given };
  const engine = await openBaseModel(environment, settings);
  try {
    onEvent({ kind: "stage", detail: "Asking the model held-out tasks" });
    const report = await reportBaseModel(environment, engine);
    onEvent({ kind: "stage", detail: "Fitting a probe on what it does" });
    const difference = await differenceInWords(environment, engine);
    console.log(`\n${behaviourInWords(report)}\n\n${difference}`);
  } finally {
    end();
    await engine.close();
  }
}
