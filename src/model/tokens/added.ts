/** @file Added tokens: they stand in a text as they are, and are found before it is cut into anything else. */

/** A token that is looked for in texts. Names are those of `tokenizer.json`. */
export interface AddedToken {
  id: number;
  content: string;
  /** Only where no letter, digit or underscore touches it. */
  single_word: boolean;
  /** With the white space before it. */
  lstrip: boolean;
  /** With the white space behind it. */
  rstrip: boolean;
  /** In the normalised text, as its content is normalised. */
  normalized: boolean;
  /** Left out of what is decoded. */
  special: boolean;
}

/** A token that was found, or the text between two. */
export type Part = number | string;

const WORD = "[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]";
const ENDS_IN_WORD = new RegExp(`${WORD}$`, "u");
const BEGINS_WITH_WORD = new RegExp(`^${WORD}`, "u");
const SPACE_AT_END = /\p{White_Space}+$/u;
const SPACE_HERE = /\p{White_Space}*/uy;

/** How tokens are looked for. */
interface SplitOptions {
  /** How a token's content stands in the texts; as it is, unless given. */
  written?: (token: AddedToken) => string;
  /** Which of them are found, and read as other text all the same. */
  skipped?: (token: AddedToken) => boolean;
}

/**
 * Cuts texts at tokens, as Python's tokenizers does: from the left, of those that begin at one place the longest.
 *
 * @throws Error where two are written alike, or one as nothing
 */
export function splitterAt(
  tokens: readonly AddedToken[],
  { written = ({ content }) => content, skipped = () => false }: SplitOptions = {},
): (text: string) => Part[] {
  const byText = new Map<string, AddedToken>();
  for (const token of tokens) {
    const text = written(token);
    if (text === "" || byText.has(text))
      throw new Error(
        `the added token ${JSON.stringify(token.content)} is normalised to ${text === "" ? "nothing" : `the same text as ${JSON.stringify(byText.get(text)!.content)}`}`,
      );
    byText.set(text, token);
  }
  if (byText.size === 0) return (text) => (text === "" ? [] : [text]);
  const longestFirst = [...byText.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map(escaped).join("|"), "gu");
  return (text) => {
    const parts: Part[] = [];
    let done = 0;
    for (const { 0: found, index } of text.matchAll(pattern)) {
      const token = byText.get(found)!;
      if (skipped(token)) continue;
      let [start, end] = [index, index + found.length];
      // A character is one or two of JavaScript's.
      const [before, behind] = [text.slice(Math.max(0, start - 2), start), text.slice(end, end + 2)];
      if (token.single_word && (ENDS_IN_WORD.test(before) || BEGINS_WITH_WORD.test(behind))) continue;
      if (token.lstrip && done < start)
        start = done + text.slice(done, start).replace(SPACE_AT_END, "").length;
      if (token.rstrip) {
        SPACE_HERE.lastIndex = end;
        end += SPACE_HERE.exec(text)![0].length;
      }
      if (done < start) parts.push(text.slice(done, start));
      parts.push(token.id);
      done = end;
    }
    if (done < text.length) parts.push(text.slice(done));
    return parts;
  };
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}
