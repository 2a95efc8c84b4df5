/** @file `probeward pretrain`: makes an environment's base model, and says what it knows. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { openEngine } from "../engine/index.ts";
import { environmentChoices, loadEnvironment } from "../environment/load.ts";
import { resolveModule } from "../modules.ts";
import { makeBaseModel, shippedModel } from "../prepare/index.ts";
import { wholeNumber } from "./arguments.ts";
import { behaviourInWords, differenceInWords } from "./base-model.ts";
import { clock } from "./progress.ts";

interface Flags {
  steps?: number;
  seed?: number;
  out?: string;
  json?: boolean;
}

/** Its arguments and options, and what it does. */
export function pretrainCommand(command: Command): Command {
  return command
    .argument("<environment>", environmentChoices)
    .option("--steps <n>", "training steps", wholeNumber(1))
    .option("--seed <n>", "seed of weights and demonstrations", wholeNumber(0))
    .option("--out <dir>", "folder of the model (default: where studies look for it)")
    .option("--json", "print only what it does, as JSON on standard output")
    .action(async (name: string, { out, json, ...overrides }: Flags) => {
      const module = resolveModule(name, process.cwd());
      const folder = resolve(out ?? shippedModel(module));
      const started = performance.now();
      const report = await makeBaseModel(module, folder, overrides, ({ step, loss }, steps) => {
        if (step % 50 === 0)
          console.error(
            `${clock(performance.now() - started)}  step ${step}/${steps}  loss ${loss.toFixed(4)}`,
          );
      });
      if (json) return console.log(JSON.stringify({ model: folder, ...report }, null, 2));
      console.log(`The model is in ${folder}\n\n${behaviourInWords(report)}\n`);
      console.error("Fitting a probe on what it does");
      const environment = await loadEnvironment(module);
      const engine = await openEngine(folder);
      console.log(await differenceInWords(environment, engine));
      await engine.close();
      await environment.close();
    });
}
