/** @file The figures over the steps for what a study recorded: those of every run, and those of its own probes and terms. */

import type { RunData } from "../report/data.ts";
import { deployedMetric } from "../store/metric-names.ts";
import { type CurveGroup, type CurveSpec, curveGroups, thoughtCurves } from "./curve-groups.ts";
import { curvePoints, isFlat } from "./curves.ts";

/** A group as it is shown: its figures, and those that stay the same, put aside. */
export interface ShownGroup extends CurveGroup {
  flat: CurveSpec[];
}

/** The groups without figures of which nothing was recorded, unless nothing was of any. */
export function shownCurves(runs: readonly RunData[]): ShownGroup[] {
  const names = new Set(runs.flatMap((run) => Object.keys(run.metrics)));
  names.delete("step");
  const recorded = ({ metric }: CurveSpec) => names.size === 0 || names.has(metric);
  const isAside = (spec: CurveSpec) => spec.fold === true && isFlat(curvePoints(runs, spec), spec.share);
  return [...curveGroups, ...ownGroups([...names])]
    .map(({ title, curves }) => {
      const known = curves.filter(recorded);
      const flat = known.filter(isAside);
      return { title, curves: known.filter((spec) => !flat.includes(spec)), flat };
    })
    .filter(({ curves, flat }) => curves.length + flat.length > 0);
}

/** First parts of names that every run may have. In any other, a reward term or a monitor logged something itself. */
const everyRun = new Set([
  ...["labels", "rewards", "reward", "clip_ratio", "completions", "sampling", "probe", "monitor"],
  ...["misses", "exchange", "tracer", "decomposition", "deployed", "alarm", "kernel", "thought"],
]);

function ownGroups(names: readonly string[]): CurveGroup[] {
  const probes = names.flatMap((metric): CurveSpec[] => {
    const probe = /^tracer\/([^/]+)\/policy\/auroc$/.exec(metric)?.[1];
    if (probe === undefined || probe === "initial" || probe === "fresh") return [];
    const title = `AUROC of the probe ${probe}`;
    const look =
      probe === "refitted"
        ? "The probe in training, which is fitted again on the policy as it goes."
        : "A probe that no training was ever against. It tells what was hidden from all probes, and what from one.";
    return [{ metric, title, look, share: true, fold: true }];
  });
  const terms = names.flatMap((metric): CurveSpec[] => {
    const term = /^rewards\/(.+)\/mean$/.exec(metric)?.[1];
    if (term === undefined) return [];
    const look = "The mean of this term's scores, before its weight. Arms without it have no line.";
    return [{ metric, title: `Reward term ${term}`, look, share: false, fold: true }];
  });
  const logged = names
    .filter((metric) => metric.includes("/") && !everyRun.has(metric.split("/")[0]!))
    .map((metric): CurveSpec => {
      return { metric, title: metric, look: "Logged by this study's own code.", share: false, fold: true };
    });
  return [
    {
      title: "What the model does when it is deployed",
      curves: deployed.filter(({ metric }) => names.includes(metric)),
    },
    { title: "What thoughts say", curves: thoughtCurves.filter(({ metric }) => names.includes(metric)) },
    { title: "What other probes see", curves: probes },
    { title: "The terms of the reward", curves: terms },
    { title: "What reward terms and monitors logged", curves: logged },
  ];
}

/** Recorded by arms that train otherwise than they deploy. */
const deployed: CurveSpec[] = [
  {
    metric: deployedMetric("misbehaviour"),
    title: "Misbehaviour, deployed",
    look: "Arms that train otherwise than they deploy (another prompt, an ablation, a choice at the end): what the model does outside of training.",
    share: true,
  },
  {
    metric: deployedMetric("true"),
    title: "True reward, deployed",
    look: "The same for what we wanted. Far below the figure in training, it was the way of training that did it.",
    share: true,
  },
];
