/** @file Beside an audit: what the text alone tells, and whether words or readers changed between two models' completions. */

import {
  behaviourOf,
  clusteredInterval,
  decompose,
  type Interval,
  mean,
  outcomeOf,
  quantile,
  type Sight,
} from "../audit/index.ts";
import type { Engine } from "../engine/index.ts";
import { auroc, fitTextBaseline, type Probe, sigmoid } from "../probe/index.ts";
import { randomFor } from "../random.ts";
import type { AuditReport } from "../report/audit.ts";
import type { JudgedSet } from "./audit-read.ts";
import type { WrittenCompletion } from "./labelled-file.ts";
import { readOne } from "./passport.ts";

/** AUROC of a classifier of the text, fitted and judged on the folds that probes are, with intervals over groups. */
export function textBaselineOf(
  texts: readonly { prompt: string; completion: string }[],
  { labels, groups, folds }: JudgedSet,
  seed: number,
  resamples: number,
): NonNullable<AuditReport["text"]> {
  const of = (text: (one: { prompt: string; completion: string }) => string) => {
    const scores = folds.map(({ fit, judge }) => {
      const score = fitTextBaseline(
        fit.map((i) => text(texts[i]!)),
        fit.map((i) => labels[i]!),
      );
      return judge.map((i) => ({ i, score: score(text(texts[i]!)) }));
    });
    const all = scores.flatMap((fold, k) => fold.map((one) => ({ ...one, k })));
    const area = (drawn: readonly number[]) => {
      const areas = folds.map((_, k) => {
        const own = drawn.flatMap((at) => (all[at]!.k === k ? [all[at]!] : []));
        return auroc(
          own.map(({ score }) => score),
          own.map(({ i }) => labels[i]!),
        );
      });
      return areas.includes(null) ? null : mean(areas as number[]);
    };
    const interval = clusteredInterval(
      all.map(({ i }) => groups[i]!),
      area,
      randomFor(seed, "text baseline"),
      resamples,
    );
    return { value: area(all.map((_, at) => at)), interval };
  };
  return {
    completion: of(({ completion }) => completion),
    whole: of(({ prompt, completion }) => `${prompt}\n${completion}`),
  };
}

/**
 * Splits the change of the probe's mean probability into what other words make and what another reader makes, with intervals
 * that draw the groups of both files; and, where both have labels, what became of the behaviour.
 *
 * @param sight what the probe still sees, as the audit found
 */
export async function completionsOf(
  engines: { before: Engine; after: Engine },
  probe: Probe,
  { old, fresh }: { old: readonly WrittenCompletion[]; fresh: readonly WrittenCompletion[] },
  sight: Sight | null,
  seed: number,
  resamples: number,
): Promise<NonNullable<AuditReport["completions"]>> {
  const read = async (engine: Engine, texts: readonly WrittenCompletion[]) =>
    (await readOne(engine, probe, texts)).map(sigmoid);
  const [oldOld, oldNew] = [await read(engines.before, old), await read(engines.after, old)];
  const [newOld, newNew] = [await read(engines.before, fresh), await read(engines.after, fresh)];
  const scoresOf = (olds: readonly number[], news: readonly number[]) => ({
    oldTextOldModel: mean(olds.map((i) => oldOld[i]!))!,
    newTextOldModel: mean(news.map((i) => newOld[i]!))!,
    oldTextNewModel: mean(olds.map((i) => oldNew[i]!))!,
    newTextNewModel: mean(news.map((i) => newNew[i]!))!,
  });
  const all = (list: readonly unknown[]) => list.map((_, i) => i);
  const draws = drawBoth(old, fresh, seed, resamples);
  const scores = scoresOf(all(old), all(fresh));
  const resampled = draws.map(([olds, news]) => decompose(scoresOf(olds, news)));
  const parts = decompose(scores);
  const part = (name: keyof typeof parts) => ({
    value: parts[name],
    interval: spanOf(resampled.map((one) => one[name])),
  });
  const labelled = [...old, ...fresh].every(({ label }) => label !== undefined);
  const rate = (texts: readonly WrittenCompletion[], indices: readonly number[]) =>
    mean(indices.map((i) => Number(texts[i]!.label)))!;
  const misbehaviour = labelled
    ? {
        before: rate(old, all(old)),
        after: rate(fresh, all(fresh)),
        change: spanOf(draws.map(([olds, news]) => rate(fresh, news) - rate(old, olds))),
      }
    : null;
  const behaviour =
    misbehaviour &&
    behaviourOf({ start: misbehaviour.before, end: misbehaviour.after, change: misbehaviour.change });
  return {
    ...{ before: old.length, after: fresh.length, scores },
    ...{ total: part("total"), text: part("text"), model: part("model"), interaction: part("interaction") },
    ...{ misbehaviour, behaviour, sight },
    // Whether a policy is degenerate, its rewards would say.
    outcome: behaviour && outcomeOf(behaviour, sight, false),
  };
}

/** Resamples of the groups of both files, which are drawn apart. */
function drawBoth(
  old: readonly WrittenCompletion[],
  fresh: readonly WrittenCompletion[],
  seed: number,
  resamples: number,
): [number[], number[]][] {
  const draw = (texts: readonly WrittenCompletion[], which: string) => {
    const drawn: number[][] = [];
    clusteredInterval(
      texts.map(({ group }) => group),
      (indices) => drawn.push([...indices]),
      randomFor(seed, "completions", which),
      resamples,
    );
    return drawn;
  };
  const [olds, news] = [draw(old, "before"), draw(fresh, "after")];
  return olds.map((indices, i) => [indices, news[i]!]);
}

function spanOf(values: readonly number[]): Interval | null {
  return values.length === 0 ? null : [quantile(values, 0.025), quantile(values, 0.975)];
}
