/** @file Copies: completions with the same text, which a probe may know by heart where it meets them again. */

import { distinct } from "../distinct.ts";
import { type Random, shuffled } from "../random.ts";

/** What copies have in common: the text, but for white space. */
export function sameText(text: string): string {
  return text.trim().replaceAll(/\s+/g, " ");
}

/** Which of the texts have a copy among those that something was fitted on. */
export function seenIn(fitted: readonly string[], texts: readonly string[]): boolean[] {
  const known = new Set(fitted.map(sameText));
  return texts.map((text) => known.has(sameText(text)));
}

/**
 * The group of each example where groups that share a text are one, named by the first of them. Rare texts join first, and
 * none joins more than `most` groups: a text that is everywhere would leave a single group.
 */
export function joinCopies(groups: readonly string[], texts: readonly string[], most: number): string[] {
  const groupsWith = new Map<string, Set<string>>();
  groups.forEach((group, i) => {
    const text = sameText(texts[i]!);
    groupsWith.set(text, (groupsWith.get(text) ?? new Set()).add(group));
  });
  const joined = new Map(groups.map((group) => [group, [group]]));
  const byRarity = [...groupsWith].sort(([a, m], [b, n]) => m.size - n.size || (a < b ? -1 : 1));
  for (const [, sharing] of byRarity) {
    const parts = new Set([...sharing].map((group) => joined.get(group)!));
    const whole = [...parts].flat();
    if (parts.size > 1 && whole.length <= most) for (const group of whole) joined.set(group, whole);
  }
  const names = new Map([...new Set(joined.values())].map((whole) => [whole, [...whole].sort()[0]!]));
  return groups.map((group) => names.get(joined.get(group)!)!);
}

/**
 * Shuffled labels under which what is a copy stays one: examples of one text that have one label move together, and get
 * another one in common. Copies with different labels are shuffled one by one: their text does not tell the label.
 */
export function shuffledByText(
  random: Random,
  labels: readonly boolean[],
  texts: readonly string[],
): boolean[] {
  const { of } = distinct(texts, sameText);
  const seen = new Map<number, Set<boolean>>();
  of.forEach((text, i) => {
    seen.set(text, (seen.get(text) ?? new Set()).add(labels[i]!));
  });
  const units = distinct(
    of.map((text, i) => ({ key: seen.get(text)!.size === 1 ? `text ${text}` : `example ${i}`, i })),
    ({ key }) => key,
  );
  const moved = shuffled(
    random,
    units.firsts.map(({ i }) => labels[i]!),
  );
  return units.of.map((unit) => moved[unit]!);
}
