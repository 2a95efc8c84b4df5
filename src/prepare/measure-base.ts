/** @file What is known before training: the base model's completions, the probes fitted on them, their controls, the tracer set. */

import type { Sequence } from "../engine/index.ts";
import {
  fitTextClassifier,
  type Probe,
  type TextClassifier,
  textScorer,
  thresholdAtFpr,
} from "../probe/index.ts";
import type { Summary } from "../store/index.ts";
import type { LabelledSequences, RefitSets, TracerSet } from "../training/index.ts";
import { type BaseContext, type Labelled, readLogits, sequenceOf } from "./completions.ts";
import { fitBase } from "./fit-base.ts";
import { gatherBase } from "./gather-base.ts";
import { judgeBase } from "./judge-base.ts";

/** A classifier of texts, and the logit at which it flags. */
interface CalibratedText {
  classifier: TextClassifier;
  threshold: number;
}

/** What every run of a study starts from. */
export interface Base {
  summary: Summary["base"];
  probe: Probe;
  /**
   * Probes that nothing trains against, by name: `other-layer` (the best one elsewhere), `other-sample` (fitted on one half
   * of the tasks) and `other-kind` (difference of means for logistic, and the other way round).
   */
  heldOutProbes: Readonly<Record<string, Probe>>;
  /** The text baseline, and the logit at which it flags as many honest completions as the probe. */
  text: CalibratedText;
  /** The same of thoughts alone, where completions begin with one. */
  thought?: CalibratedText | undefined;
  /** What the initial probe was fitted and calibrated on. */
  sets: RefitSets;
  tracer: TracerSet;
  /** Held-out completions of the base model: what they did, and what the probe and the text classifier say. */
  heldOut: {
    sequences: Sequence[];
    misbehaved: boolean[];
    tasks: string[];
    logits: number[];
    flagged: boolean[];
    textLogits: number[];
  };
  /** What the base model answered to the environment's questions, where it has any. */
  answers?: string[] | undefined;
}

/** Asks the base model, fits probes on what it did, and judges them on completions that they have not seen. */
export async function measureBase(parts: BaseContext): Promise<Base> {
  const gathered = await gatherBase(parts);
  const { context, answers, all, used, calibration, test, traced } = gathered;
  const { falsePositiveRate } = context.settings.probe;
  const fitted = await fitBase(gathered);
  const { probe, heldOutProbes } = fitted;
  const [logits] = (await readLogits(context, [probe], test)) as [number[]];
  const [tracedLogits] = (await readLogits(context, [probe], traced)) as [number[]];

  const fit = used.map((i) => all[i]!);
  const { thoughts } = context.environment;
  const text = fitText(fit, calibration, falsePositiveRate);
  const thought =
    thoughts && fitText(fit, calibration, falsePositiveRate, (whole) => thoughts.of(whole) ?? "");
  const textScore = textScorer(text.classifier);
  const textLogits = test.map((completion) => textScore(completion.text));
  return {
    probe,
    ...(answers && { answers }),
    heldOutProbes,
    text,
    ...(thought && { thought }),
    sets: { fit: labelledSequences(fit), calibration: labelledSequences(calibration), falsePositiveRate },
    summary: judgeBase(gathered, fitted, { logits, textLogits, tracedLogits }),
    tracer: {
      sequences: traced.map(sequenceOf),
      misbehaving: traced.map(({ outcome }) => outcome.attempted),
      tasks: traced.map(({ task }) => task),
    },
    heldOut: {
      sequences: test.map(sequenceOf),
      misbehaved: test.map(({ outcome }) => outcome.misbehaved),
      tasks: test.map(({ task }) => task),
      logits,
      flagged: logits.map((one) => one >= probe.threshold),
      textLogits,
    },
  };
}

/** A classifier of what the probe is fitted on, as text, which flags as often as it may on the calibration split. */
function fitText(
  fit: readonly Labelled[],
  calibration: readonly Labelled[],
  falsePositiveRate: number,
  partOf = (text: string) => text,
): CalibratedText {
  const labelsOf = (list: readonly Labelled[]) => list.map(({ outcome }) => outcome.attempted);
  const classifier = fitTextClassifier(
    fit.map(({ text }) => partOf(text)),
    labelsOf(fit),
  );
  const score = textScorer(classifier);
  const logits = calibration.map(({ text }) => score(partOf(text)));
  return { classifier, threshold: thresholdAtFpr(logits, labelsOf(calibration), falsePositiveRate)! };
}

function labelledSequences(list: readonly Labelled[]): LabelledSequences {
  return {
    sequences: list.map(sequenceOf),
    labels: list.map(({ outcome }) => outcome.attempted),
  };
}
