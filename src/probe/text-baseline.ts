/** @file What the text alone gives away: logistic regression on a bag of character n-grams. */

import { fitLogistic, type LogisticOptions } from "./logistic.ts";

/** Scores a completion from its text alone; a higher logit says "misbehaves". */
export type TextScorer = (text: string) => number;

const longestNgram = 3;
const maxFeatures = 512;

/**
 * Fits a text classifier. Features are the logarithm of one plus the count of each of the (at most 512) character
 * n-grams, of 1 to 3 characters, that occur in the most texts; equally common ones in alphabetical order.
 *
 * The baseline beside every probe: a probe that does no better than this one has found nothing that the text does
 * not say. Also the monitor of the text-penalty arm.
 *
 * @throws Error for texts that cannot be fitted (one class).
 */
export function fitTextBaseline(
  texts: readonly string[],
  labels: readonly boolean[],
  options: LogisticOptions = {},
): TextScorer {
  const index = new Map(commonestNgrams(texts).map((ngram, i) => [ngram, i]));
  const features = (text: string) => {
    const counts = new Float64Array(index.size);
    for (const ngram of ngrams(text)) {
      const i = index.get(ngram);
      if (i !== undefined) counts[i]!++;
    }
    return counts.map(Math.log1p);
  };
  const { weight_D, bias } = fitLogistic({ activations_ND: texts.map(features), labels }, options);
  return (text) => features(text).reduce((sum, x, i) => sum + x * weight_D[i]!, bias);
}

function commonestNgrams(texts: readonly string[]): string[] {
  const textsWith = new Map<string, number>();
  for (const text of texts)
    for (const ngram of new Set(ngrams(text))) textsWith.set(ngram, (textsWith.get(ngram) ?? 0) + 1);
  return [...textsWith]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .slice(0, maxFeatures)
    .map(([ngram]) => ngram);
}

function* ngrams(text: string): Generator<string> {
  const characters = [...text];
  for (let n = 1; n <= longestNgram; n++)
    for (let i = 0; i + n <= characters.length; i++) yield characters.slice(i, i + n).join("");
}
