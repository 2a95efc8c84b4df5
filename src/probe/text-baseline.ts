/** @file What the text alone gives away: logistic regression on a bag of character n-grams. */

import { fitLogistic, type LogisticOptions } from "./logistic.ts";

/** Scores a completion from its text alone; a higher logit says "misbehaves". */
export type TextScorer = (text: string) => number;

const longestNgram = 3;
const maxFeatures = 512;

/** A fitted text classifier, as plain data. */
export interface TextClassifier {
  /** Its features. */
  ngrams: readonly string[];
  /** One weight per feature. */
  weights: readonly number[];
  bias: number;
}

/**
 * Fits a text classifier. Features are the logarithm of one plus the count of each of the (at most 512) character
 * n-grams, of 1 to 3 characters, that occur in the most texts; equally common ones in alphabetical order.
 *
 * The baseline beside every probe: a probe that does no better than this one has found nothing that the text does
 * not say. Also the monitor of the text-penalty arm.
 *
 * @throws Error for texts that cannot be fitted (one class).
 */
export function fitTextClassifier(
  texts: readonly string[],
  labels: readonly boolean[],
  options: LogisticOptions = {},
): TextClassifier {
  const ngrams = commonestNgrams(texts);
  const featuresOf = createFeatures(ngrams);
  const { weight_D, bias } = fitLogistic({ activations_ND: texts.map(featuresOf), labels }, options);
  return { ngrams, weights: [...weight_D], bias };
}

/** The classifier as a function of the text. */
export function textScorer({ ngrams, weights, bias }: TextClassifier): TextScorer {
  const featuresOf = createFeatures(ngrams);
  return (text) => featuresOf(text).reduce((sum, x, i) => sum + x * weights[i]!, bias);
}

/** A text classifier, fitted (see `fitTextClassifier`) and ready to use. */
export function fitTextBaseline(
  texts: readonly string[],
  labels: readonly boolean[],
  options: LogisticOptions = {},
): TextScorer {
  return textScorer(fitTextClassifier(texts, labels, options));
}

function createFeatures(features: readonly string[]): (text: string) => Float64Array {
  const index = new Map(features.map((ngram, i) => [ngram, i]));
  return (text) => {
    const counts = new Float64Array(index.size);
    for (const ngram of ngrams(text)) {
      const i = index.get(ngram);
      if (i !== undefined) counts[i]!++;
    }
    return counts.map(Math.log1p);
  };
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
