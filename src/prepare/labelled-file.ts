/** @file A file of labelled completions, one JSON object per line: what `probeward probe` fits on. */

import { z } from "zod";
import type { Engine, Sequence } from "../engine/index.ts";
import { UsageError } from "../errors.ts";
import { parseJson, readText } from "../files.ts";
import { wholeCompletion } from "../model/index.ts";

/** Half of a character, which no model reads: its tokens would be those of a question mark. */
const text = z.string().regex(/^[^\p{Surrogate}]*$/u, "it has half of a character (a lone surrogate)");

const lineSchema = z.object({
  prompt: z.union(
    [text, z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: text })).min(1)],
    "it should be a text, or a list of messages as {role, content}; it may be empty, and not left out",
  ),
  completion: text.min(1, "it is empty: there is nothing to read"),
  label: z.union(
    [z.boolean(), z.literal(0), z.literal(1)],
    "it should be true or false, or 1 or 0, without quotes",
  ),
  group: z.union([z.string(), z.number()], "it should be a text or a number").optional(),
});

/** One line. */
export interface LabelledExample extends Sequence {
  /** The prompt as text, whatever form it had. */
  prompt: string;
  completion: string;
  /** Does it show what the probe is to find? */
  label: boolean;
  /** Examples of one group are always in one split; those of one prompt are a group unless it is said otherwise. */
  group: string;
  /** Where it is in the file, from 1. */
  line: number;
}

/** A completion that a model wrote. Whether it shows what the probe is to find may not be known. */
export interface WrittenCompletion extends Omit<LabelledExample, "label"> {
  label: boolean | undefined;
}

/**
 * Reads a file. A prompt is a text, or a conversation that the model's chat template renders; the end of text follows each
 * completion, as where the model wrote it to its end.
 *
 * @throws UsageError naming the line that is wrong, what was found and what is wanted
 * @throws FileError
 */
export async function readLabelledFile(path: string, engine: Engine): Promise<LabelledExample[]> {
  return readLines(path, engine, lineSchema) as Promise<LabelledExample[]>;
}

/** The same, where lines need no label. @throws UsageError, FileError */
export async function readCompletionsFile(path: string, engine: Engine): Promise<WrittenCompletion[]> {
  return readLines(path, engine, lineSchema.partial({ label: true }));
}

type Line = Omit<z.infer<typeof lineSchema>, "label"> & {
  label?: z.infer<typeof lineSchema>["label"] | undefined;
};

async function readLines(
  path: string,
  engine: Engine,
  schema: z.ZodType<Line>,
): Promise<WrittenCompletion[]> {
  const text = await readText(path);
  if (text === undefined) throw new UsageError(`${path}: there is no such file.`);
  checkForm(text, path);
  return text.split(/\r\n|\n|\r/).flatMap((line, i) => {
    if (line.trim() === "") return [];
    try {
      const parsed = schema.safeParse(parseJson(line));
      if (!parsed.success) throw new Error(z.prettifyError(parsed.error));
      const twice = keyTwice(line);
      if (twice !== undefined) throw new Error(`it has the key ${twice} twice`);
      return [{ ...tokenised(parsed.data, engine), line: i + 1 }];
    } catch (error) {
      throw new UsageError(
        `${path}, line ${i + 1}: ${(error as Error).message}\n(a line should be {"prompt": ..., "completion": ..., "label": true or false, "group": ...}, the group being optional)`,
      );
    }
  });
}

/** @throws UsageError for what people have in place of one object per line, with what to do */
function checkForm(text: string, path: string): void {
  const wanted = "One JSON object per line is wanted";
  const start = text.trimStart();
  if (start === "") throw new UsageError(`${path}: it is empty. ${wanted}.`);
  if (start.startsWith("["))
    throw new UsageError(`${path}: it is a list. ${wanted}: jq -c '.[]' ${path} writes it so.`);
  if (/^\{\s*[\r\n]/.test(start))
    throw new UsageError(
      `${path}: an object goes over several lines. ${wanted}: jq -c . ${path} writes it so.`,
    );
  if (!start.startsWith("{"))
    throw new UsageError(
      `${path}: it begins with ${JSON.stringify(start.slice(0, 20))}, as a table or a text might. ${wanted}: {"prompt": ..., "completion": ..., "label": true}`,
    );
}

/** A key that an object has twice, as it is written: JSON's reader would take the last without a word. */
function keyTwice(line: string): string | undefined {
  const keys = new Set<string>();
  let depth = 0;
  for (const [found, key] of line.matchAll(/("(?:[^"\\]|\\.)*")\s*:|"(?:[^"\\]|\\.)*"|[{}[\]]/g)) {
    if (key !== undefined && depth === 1) {
      if (keys.has(key)) return key;
      keys.add(key);
    } else if (found === "{" || found === "[") depth++;
    else if (found === "}" || found === "]") depth--;
  }
  return undefined;
}

function tokenised(line: Line, { tokenizer, model }: Engine): Omit<WrittenCompletion, "line"> {
  const { prompt, completion, label } = line;
  const isText = typeof prompt === "string";
  if (!isText && !tokenizer.chat)
    throw new Error("the prompt is a conversation, and the model has no chat template; give it as one text");
  const start = isText ? tokenizer.encodePrompt(prompt) : tokenizer.chat!(prompt);
  const tokens = [...start, ...wholeCompletion(tokenizer, completion)];
  if (tokens.length > model.context)
    throw new Error(`it has ${tokens.length} tokens, and the model reads ${model.context}`);
  const asText = isText ? prompt : prompt.map(({ content }) => content).join("\n");
  return {
    ...{ tokens, promptLength: start.length, completion, prompt: asText },
    label: label === undefined ? undefined : Boolean(label),
    // Statements without a prompt are none of each other's.
    group: String(line.group ?? (asText || completion)),
  };
}
