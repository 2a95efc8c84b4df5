/** @file The tiny environment, with graders that take their time: runs last, and cost nothing. */

import { setTimeout } from "node:timers/promises";
import type { Environment } from "../src/environment/types.ts";
import tinyEnvironment from "./tiny-environment.ts";

export default function slowEnvironment(): Environment<{ letter: string }> {
  const tiny = tinyEnvironment();
  return {
    ...tiny,
    async grade(tasks, completions) {
      // Training's, and not what probes are fitted on.
      if (tasks[0]!.id.startsWith("train")) await setTimeout(1000);
      return tiny.grade(tasks, completions);
    },
  };
}
