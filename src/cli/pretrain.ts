/** @file `probeward pretrain`: makes an environment's base model. */

import { resolve } from "node:path";
import { Command } from "commander";
import { environmentNames } from "../environment/index.ts";
import { makeBaseModel, shippedModel, UsageError } from "../study/index.ts";
import { clock } from "./progress.ts";
import { wholeNumber } from "./study.ts";

export function pretrainCommand(): Command {
  return new Command("pretrain")
    .description("Train the base model of an environment from demonstrations. The shipped ones were made so.")
    .argument("<environment>", environmentNames.join(", "))
    .option("--steps <n>", "training steps", wholeNumber(1))
    .option("--seed <n>", "seed of weights and demonstrations", wholeNumber(0))
    .option("--out <dir>", "folder of the model (default: where the shipped one is)")
    .action(async (name: string, flags: { steps?: number; seed?: number; out?: string }) => {
      if (!(environmentNames as readonly string[]).includes(name))
        throw new UsageError(
          `There is no environment ${JSON.stringify(name)}; there are: ${environmentNames.join(", ")}.`,
        );
      const folder = resolve(flags.out ?? shippedModel(name));
      const started = Date.now();
      const report = await makeBaseModel(name, folder, flags, ({ step, loss }, steps) => {
        if (step % 50 === 0)
          console.error(`${clock(Date.now() - started)}  step ${step}/${steps}  loss ${loss.toFixed(4)}`);
      });
      console.log(JSON.stringify({ model: folder, ...report }, null, 2));
    });
}
