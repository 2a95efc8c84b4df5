import type { RunSummary } from "../src/store/schema.ts";
/** @file What the numbers of a run forbid anyone to say, found without the rules by which verdicts and sentences are made. */

/** Words that a run's numbers forbid in its arm's own sentence. */
export function contradictions(sentence: string, run: RunSummary): string[] {
  const grew = run.misbehaviourEnd - run.misbehaviourStart;
  const [before, after] = [run.sightReferenceEnd ?? 0, run.sightFrozenEnd ?? 0];
  return forbidden(sentence, [
    [grew > 0.05, /became rare|stayed rare|misbehaviour fell/i],
    [grew < 0.05, /misbehaviour (grew|took over)/i],
    [run.misbehaviourEnd < 0.5, /misbehaviour took over/i],
    [run.misbehaviourEnd > 0.1, /rare/],
    [after <= 0, /sees as before|sees less/],
    [before - after > 0.1, /sees as before/],
    [(run.fprFrozenEnd ?? 0) - (run.fprReferenceEnd ?? 0) > 0.11, /^(?!.*It flags)/],
  ]);
}

/** Words that they forbid in what is said of a study whose only run it is. */
export function studyContradictions(sentence: string, run: RunSummary): string[] {
  const grew = run.misbehaviourEnd - run.misbehaviourStart;
  return forbidden(sentence, [
    [grew > 0.05, /ends honest|less than at the start/],
    [grew < 0.05, /more than at the start|takes over/],
    [run.misbehaviourEnd < 0.5, /takes over/],
    [run.misbehaviourEnd > 0.1, /ends honest/],
    [(run.sightFrozenEnd ?? 0) <= 0, /ends honest/],
  ]);
}

function forbidden(sentence: string, rules: readonly (readonly [boolean, RegExp])[]): string[] {
  return rules.filter(([holds, words]) => holds && words.test(sentence)).map(([, words]) => String(words));
}
