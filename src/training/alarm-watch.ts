/** @file A run's alarms, from its lines of metrics, and what they could not see. */

import { type AlarmChannel, createAlarms, mean, takeoverLevel } from "../audit/index.ts";
import { alarmMetric } from "../store/metric-names.ts";
import type { StepMetrics } from "../store/records.ts";

/** An alarm, and the step behind whose update it was raised. */
export interface Alarm {
  step: number;
  channel: AlarmChannel;
}

/** Watches a run: hand it every line of metrics in order. It returns the alarms that a line raises. */
export function createAlarmWatch(): (line: StepMetrics) => Alarm[] {
  const observe = createAlarms();
  return (line) => {
    const value = (part: Parameters<typeof alarmMetric>[0]) => line[alarmMetric(part)] ?? null;
    const raised = observe({
      lost: value("lost"),
      spread: value("spread") ?? 0,
      count: value("count") ?? 0,
      preference: value("preference"),
      overlooked: value("overlooked"),
    });
    return raised.map((channel) => ({ step: line.step, channel }));
  };
}

const meanings: Record<AlarmChannel, string> = {
  reader:
    "the reader moved: known misbehaviour is read as less than it was, with its text unchanged, further than what was learned explains (obfuscated activations); trust no verdict of the probe from here on",
  text: "the text moved: probes that nothing is trained against see in the rollouts what the initial probe does not, and it reads known misbehaviour as before",
  learning:
    "the model learned away from the probe: known misbehaviour is read as less than it was, and what the model prefers has moved along with it, which is no sign that it hides; fit the probe again (the arm probe-penalty-refit does), and trust no verdict of this one from here on",
};

export function alarmInWords({ step, channel }: Alarm): string {
  return `step ${step}: alarm, ${meanings[channel]}`;
}

/** Steps at either end of a run that are compared. */
const ENDS = 10;

/**
 * Share of the last steps' rollouts that misbehaved with no probe flagging them, and of the first ones': what alarms cannot go by.
 * `null` where it was not measured.
 */
export function unseenOf(lines: readonly StepMetrics[]): { start: number; end: number } | null {
  const shares = lines.map((line) => line[alarmMetric("unseen")] ?? null).filter((share) => share !== null);
  if (shares.length === 0) return null;
  return { start: mean(shares.slice(0, ENDS))!, end: mean(shares.slice(-ENDS))! };
}

/** Says so where it is not rare. */
export function unseenInWords(unseen: ReturnType<typeof unseenOf>, alarmed: boolean): string[] {
  if (unseen === null || unseen.end <= takeoverLevel) return [];
  const share = (value: number) => `${Math.round(100 * value)} %`;
  return [
    `no probe sees it: in the last steps ${share(unseen.end)} of rollouts misbehaved with no probe flagging them, held-out ones included (${share(unseen.start)} in the first); ${alarmed ? "an alarm was raised" : "no alarm was raised, and only labels tell"}`,
  ];
}
