/** @file `probeward pretrain`: makes an environment's base model. */

import { resolve } from "node:path";
import { Command } from "commander";
import { environmentChoices } from "../environment/load.ts";
import { resolveModule } from "../modules.ts";
import { makeBaseModel, shippedModel } from "../study/index.ts";
import { clock } from "./progress.ts";
import { wholeNumber } from "./study.ts";

export function pretrainCommand(): Command {
  return new Command("pretrain")
    .description("Train the base model of an environment from demonstrations. The shipped ones were made so.")
    .argument("<environment>", environmentChoices)
    .option("--steps <n>", "training steps", wholeNumber(1))
    .option("--seed <n>", "seed of weights and demonstrations", wholeNumber(0))
    .option("--out <dir>", "folder of the model (default: where studies look for it)")
    .action(async (name: string, flags: { steps?: number; seed?: number; out?: string }) => {
      const environment = resolveModule(name, process.cwd());
      const folder = resolve(flags.out ?? shippedModel(environment));
      const started = Date.now();
      const report = await makeBaseModel(environment, folder, flags, ({ step, loss }, steps) => {
        if (step % 50 === 0)
          console.error(`${clock(Date.now() - started)}  step ${step}/${steps}  loss ${loss.toFixed(4)}`);
      });
      console.log(JSON.stringify({ model: folder, ...report }, null, 2));
    });
}
