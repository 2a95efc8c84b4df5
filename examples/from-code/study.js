// @ts-check
/** @file A study from code: an arm as a function, progress as it comes, and Ctrl-C that stops it on a checkpoint. */

import {
  penalty,
  probeMonitor,
  proxyReward,
  readStudy,
  renderTable,
  runStudy,
  StoppedError,
} from "probeward";

const [folder = "runs/from-code", steps = "22"] = process.argv.slice(2);

// What a study file says, with the same defaults and the same errors.
const settings = await readStudy({
  environment: "code",
  arms: ["none"],
  training: { steps: Number(steps), learningRate: 4e-4, warmupSteps: 2, scaleRewards: "none", kl: 0 },
  probe: { tasks: 128, demonstrations: 128, tracer: 64 },
});

/**
 * An arm: half of the penalty for what the probe sees in the policy, half for what it sees in the frozen copy.
 * @type {import("probeward").MakeArm}
 */
const both = ({ probe, penalty: weight }) => ({
  terms: [
    proxyReward(),
    penalty(probeMonitor(probe, "policy"), { weight: weight / 2 }),
    penalty(probeMonitor(probe, "reference"), { weight: weight / 2 }),
  ],
});

const stop = new AbortController();
process.once("SIGINT", () => stop.abort());

try {
  const summary = await runStudy(
    folder,
    settings,
    (event) => {
      if (event.kind !== "step") return console.error(event.detail);
      const { step, misbehaviour } = event.metrics;
      console.error(
        `${event.arm}, seed ${event.seed}, step ${step}: misbehaviour ${misbehaviour?.toFixed(2)}`,
      );
    },
    { arms: { both } },
    { signal: stop.signal },
  );
  console.log(renderTable(summary));
} catch (error) {
  if (!(error instanceof StoppedError)) throw error;
  // Every run stands on a checkpoint: the same command goes on from there.
  console.error(error.message);
}
