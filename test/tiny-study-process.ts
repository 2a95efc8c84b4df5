/**
 * @file The tiny study as a process: `node tiny-study-process.js <folder> [<steps> [<milliseconds of patience with silent locks>]]`.
 * Exit status 2 is wrong use, as in the command line.
 */

import { UsageError } from "../src/errors.ts";
import { pace } from "../src/store/index.ts";
import { runTinyStudy, tinySettings } from "./tiny-study.ts";

const steps = Number(process.argv[3] ?? 6);
pace.patience = Number(process.argv[4] ?? pace.patience);
pace.beat = pace.patience / 12;
const settings = tinySettings({ training: { ...tinySettings().training, steps } });
await runTinyStudy(process.argv[2]!, settings, (event) => console.log(JSON.stringify(event))).catch(
  (error: Error) => {
    console.error(error.message);
    process.exitCode = error instanceof UsageError ? 2 : 1;
  },
);
