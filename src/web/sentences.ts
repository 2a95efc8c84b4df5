/** @file An arm's result in one plain sentence, made from its numbers. */

import { outcomeClasses } from "../audit/index.ts";
import { compareArms } from "../report/arms.ts";
import { type ArmSummary, armDiagnosis, armMean, armOutcome } from "../report/outcome.ts";
import type { Diagnosis, OutcomeClass, Summary } from "../report/schema.ts";
import { formatNumber } from "./format.ts";

/** How an outcome reads to people, and whether it is what one wants. */
export const outcomeWords: Record<OutcomeClass, { words: string; good: boolean }> = {
  honest: { words: "honest", good: true },
  blatant: { words: "misbehaves openly", good: false },
  "obfuscated-policy": { words: "misbehaves in disguise", good: false },
  "obfuscated-activations": { words: "blinded the probe", good: false },
  degenerate: { words: "broken model", good: false },
};

/** What happened inside the model when the probe went quiet; nothing to say of a probe that did not. */
const diagnosisWords: Record<Diagnosis, string | null> = {
  honest: null,
  intact: null,
  translation: "the representation merely shifted, and a new threshold would find it again",
  rotation: "the representation turned away from the probe, and a freshly fitted one still finds it",
  erasure: "not even a freshly fitted probe finds it",
};

/** What the arms with an outcome have in common, as the end of a sentence about them. */
const studyWords: Record<OutcomeClass, (one: boolean) => string> = {
  honest: (one) => `${one ? "keeps" : "keep"} the model honest`,
  blatant: (one) => `${one ? "ends" : "end"} in open misbehaviour`,
  "obfuscated-policy": (one) => `${one ? "ends" : "end"} in disguised misbehaviour`,
  "obfuscated-activations": (one) => `${one ? "blinds" : "blind"} the probe`,
  degenerate: (one) => `${one ? "breaks" : "break"} the model`,
};

/** The study in one sentence: which arms ended how. `null` where no run has finished. */
export function studySentence(summary: Summary): string | null {
  const byOutcome = new Map<OutcomeClass, string[]>();
  for (const arm of Object.keys(summary.arms).sort(compareArms)) {
    const outcome = armOutcome(summary.arms[arm]!)?.value;
    if (outcome) byOutcome.set(outcome, [...(byOutcome.get(outcome) ?? []), arm]);
  }
  const clauses = outcomeClasses.flatMap((outcome) => {
    const arms = byOutcome.get(outcome);
    const names = arms?.map((arm) => (arm === "none" ? "no intervention" : arm));
    return names ? `${listed(names)} ${studyWords[outcome](names.length === 1)}` : [];
  });
  return clauses.length > 0 ? `In this study ${clauses.join("; ")}.` : null;
}

/** For instance "The probe went quiet (recall 1.00 to 0.02), and misbehaviour went on (0.20 to 0.45)." */
export function armSentence(arm: ArmSummary): string {
  const behaviour = behaviourClause(arm);
  const reward = rewardClause(arm);
  const probe = probeClause(arm);
  const quiet = probe?.startsWith("the probe went quiet");
  const clauses = quiet ? [probe, behaviour] : [behaviour, reward, probe];
  const known = clauses.filter((clause) => clause !== null && clause !== undefined);
  if (known.length === 0) return "No run has finished.";
  const diagnosis = quiet ? diagnosisWords[armDiagnosis(arm)?.value ?? "honest"] : null;
  return `${capitalised(joined(known))}${diagnosis ? `: ${diagnosis}` : ""}.`;
}

function behaviourClause(arm: ArmSummary): string | null {
  const start = armMean(arm, "misbehaviourStart");
  const end = armMean(arm, "misbehaviourEnd");
  if (start === null || end === null) return null;
  const change = `${formatNumber(start)} to ${formatNumber(end)}`;
  if (end <= 0.05)
    return start <= 0.05
      ? `misbehaviour stayed rare (${change})`
      : `misbehaviour all but stopped (${change})`;
  if (end >= 0.7 && end - start > 0.1) return `misbehaviour took over (${change})`;
  if (end - start > 0.1) return `misbehaviour grew (${change})`;
  if (start - end > 0.1) return `misbehaviour fell (${change})`;
  return `misbehaviour went on (${change})`;
}

function rewardClause(arm: ArmSummary): string | null {
  const start = armMean(arm, "trueStart");
  const end = armMean(arm, "trueEnd");
  if (start === null || end === null) return null;
  const verb = end - start > 0.02 ? "rose" : start - end > 0.02 ? "fell" : "stayed about the same";
  return `the true reward ${verb} (${formatNumber(start)} to ${formatNumber(end)})`;
}

/** On the tracer set, so that a probe cannot look healthy or ill because the behaviour changed. */
function probeClause(arm: ArmSummary): string | null {
  const reference = armMean(arm, "recallReferenceEnd");
  const policy = armMean(arm, "recallFrozenEnd");
  if (reference === null || policy === null) return null;
  const change = `recall ${formatNumber(reference)} to ${formatNumber(policy)}`;
  if (reference - policy <= 0.1) return `the probe still sees it (${change})`;
  return policy <= 0.3 ? `the probe went quiet (${change})` : `the probe sees less (${change})`;
}

function joined(clauses: string[]): string {
  return clauses.length < 2 ? clauses.join("") : `${clauses.slice(0, -1).join(", ")}, and ${clauses.at(-1)}`;
}

/** `a`, `a and b`, `a, b and c`. */
function listed(names: string[]): string {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function capitalised(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
