/** @file A run's alarms, from its lines of metrics. */

import { type AlarmChannel, createAlarms } from "../audit/index.ts";
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
      count: value("count") ?? 0,
      divergence: (line.kl ?? 0) * (line["completions/mean_length"] ?? 0),
      overlooked: value("overlooked"),
    });
    return raised.map((channel) => ({ step: line.step, channel }));
  };
}

const meanings: Record<AlarmChannel, string> = {
  reader:
    "the reader moved: known misbehaviour is read as less than it was, with its text unchanged (obfuscated activations); trust no verdict of the probe from here on",
  text: "the text moved: probes that nothing is trained against see in the rollouts what the initial probe does not, and it reads known misbehaviour as before",
};

export function alarmInWords({ step, channel }: Alarm): string {
  return `step ${step}: alarm, ${meanings[channel]}`;
}
