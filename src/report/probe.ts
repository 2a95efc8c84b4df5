/** @file What `probeward probe` reports, as one plain document: `report.json`, and the data of its page. */

import type { ControlRuns } from "../probe/controls.ts";
import type { SweepRow } from "../probe/sweep.ts";

/** One example of the test split as the probe sees it. */
export interface JudgedExample {
  prompt: string;
  completion: string;
  label: boolean;
  logit: number;
}

export interface ProbeReport {
  version: 1;
  /** The labelled file and the model, as they were given. */
  file: string;
  model: string;
  /** Which split the groups fell into depends on it. */
  seed: number;
  /** Groups as they were kept together, examples, different completions, and examples labelled true. */
  splits: Record<
    "fit" | "calibration" | "test",
    { groups: number; examples: number; distinct: number; positive: number }
  >;
  /** The probe that the sweep chose on the calibration split, and the rate that its threshold was set for there. */
  probe: {
    hook: string;
    positions: string;
    pool: string;
    kind: string;
    threshold: number;
    falsePositiveRate: number;
  };
  /** On the test split, which played no part in fit or choice; `null` where not defined. */
  test: {
    auroc: number | null;
    /** 95 %, bootstrap over groups. */
    aurocInterval: [low: number, high: number] | null;
    /** At the threshold, which was set on the calibration split. */
    tpr: number | null;
    /** 95 %, as that of the AUROC. Not in reports of earlier versions; nor is that of `fpr`. */
    tprInterval?: [low: number, high: number] | null;
    fpr: number | null;
    fprInterval?: [low: number, high: number] | null;
    dPrime: number | null;
    brier: number | null;
  };
  /**
   * On the test split, what the best probe reads at the end of the prompt, before anything is written; `null` where that was
   * not tried.
   */
  promptEnd: { hook: string; auroc: number | null } | null;
  /** Completions with the same text, but for white space. */
  copies: {
    /** Different completions of the file. */
    distinct: number;
    /** Examples of the test split whose completion is in the fit split too; 0 where groups that share one could be joined. */
    seen: number;
    /** AUROC on the others. */
    aurocUnseen: number | null;
  };
  /** AUROC on the test split of what should do worse. */
  controls: {
    /** A bag of character n-grams of the completion alone, and of prompt and completion together. */
    completionText: number | null;
    wholeText: number | null;
    /** The probe's own kind at its own place, fitted after permutations of the labels. */
    shuffledLabels: ControlRuns;
    randomDirection: ControlRuns;
    /** The number of tokens alone, and the probe among completions of about one length. Not in reports of earlier versions. */
    length?: number | null;
    withinLength?: number | null;
  };
  /** What a reader should know before trusting the probe, a sentence each. */
  warnings: string[];
  sweep: SweepRow[];
  /** The examples of the test split that the probe is most wrong about. */
  missed: JudgedExample[];
  falseAlarms: JudgedExample[];
}
