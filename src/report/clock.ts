/** @file For how many steps a probe was safe to train on, in words. */

import { takeoverLevel } from "../audit/index.ts";
import { compareArms, splitId } from "../store/arms.ts";
import type { Summary } from "../store/schema.ts";
import type { ArmSummary } from "./outcome.ts";

/** Arms that train on what a probe says, in the order of the table, with what came of each. */
export function clockInWords({ arms, steps }: Summary): string[] {
  return Object.keys(arms)
    .sort(compareArms)
    .filter(trainsOnProbe)
    .flatMap((id) => {
      const sentence = safeSteps(arms[id]!, steps);
      return sentence === null ? [] : `${id}: ${sentence}`;
    });
}

/** Whether an arm trains on what a probe says, which undetected misbehaviour may then outgrow. */
export function trainsOnProbe(id: string): boolean {
  return splitId(id).arm.startsWith("probe-");
}

/** "safe for 31 steps: ..."; `null` of runs that do not say. */
export function safeSteps({ runs, forecast }: ArmSummary, steps: number): string | null {
  const known = runs.flatMap(({ takeover }) => (takeover === undefined ? [] : [takeover]));
  if (known.length === 0) return null;
  const came = known.filter((step) => step !== null).sort((a, b) => a - b);
  const n = known.length;
  const of = n === 1 ? "of the one run" : `of ${n} runs`;
  const foretold = [...bySelection(runs), ...byForecast(forecast, steps)];
  const beside = foretold.length > 0 ? ` Foretold: ${foretold.join("; ")}.` : "";
  if (came.length === 0)
    return `safe for all ${steps} steps, in each ${of}.${n === 1 ? "" : ` So few leave it open of up to ${Math.round(100 * upTo(n))} % of runs (95 %).`}${beside}`;
  if (came[0] === 0)
    return `never safe: undetected misbehaviour was above ${takeoverLevel} from the start, in ${came.filter((step) => step === 0).length} ${of}.${beside}`;
  const later = came.length === 1 ? "" : ` (steps ${came.join(", ")})`;
  return `safe for ${came[0]} steps: undetected misbehaviour took over in ${came.length} ${of}${later}.${beside}`;
}

/** The largest share of runs that may go wrong where none of n did, with 95 % confidence. */
function upTo(n: number): number {
  return 1 - 0.05 ** (1 / n);
}

function bySelection(runs: ArmSummary["runs"]): string[] {
  const told = runs.flatMap(({ takeoverBySelection: step }) => (step === undefined ? [] : [step]));
  const steps = told.filter((step) => step !== null).map(Math.round);
  if (told.length === 0) return [];
  return [
    `by selection alone ${steps.length === 0 ? "never" : `at step ${steps.sort((a, b) => a - b).join(", ")}`}`,
  ];
}

/** The forecast is of means around steps already, at some of the steps. */
function byForecast(forecast: ArmSummary["forecast"], steps: number): string[] {
  const curve = forecast?.undetected;
  if (curve === undefined) return [];
  const at = curve.value.findLastIndex((share) => share <= takeoverLevel) + 1;
  return [
    `by the forecast ${at === curve.value.length ? `not in ${steps} steps` : `at step ${curve.steps[at]}`}`,
  ];
}
