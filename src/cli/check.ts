/** @file `probeward check`: does an environment keep what every environment promises? */

import { Command } from "commander";
import { contract } from "../environment/contract.ts";
import { environmentChoices, loadEnvironment } from "../environment/load.ts";
import { resolveModule } from "../modules.ts";

export function checkCommand(): Command {
  return new Command("check")
    .description("Check an environment against the contract that studies rely on. For one that you write.")
    .argument("<environment>", environmentChoices)
    .action(async (name: string) => {
      const environment = await loadEnvironment(resolveModule(name, process.cwd()));
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
      await environment.close();
      if (broken > 0) process.exitCode = 1;
    });
}
