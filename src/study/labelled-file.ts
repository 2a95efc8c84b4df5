/** @file A file of labelled completions, one JSON object per line: what `probeward probe` fits on. */

import { readFile } from "node:fs/promises";
import { z } from "zod";
import { parseJson, withFile } from "../files.ts";
import type { Model, Sequence } from "../model/index.ts";
import { UsageError } from "./settings.ts";

const lineSchema = z.object({
  prompt: z.union([
    z.string(),
    z.array(z.object({ role: z.enum(["system", "user", "assistant"]), content: z.string() })).min(1),
  ]),
  completion: z.string().min(1, "it is empty: there is nothing to read"),
  label: z.union([z.boolean(), z.literal(0), z.literal(1)]),
  group: z.union([z.string(), z.number()]).optional(),
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
}

/**
 * Reads a file. A prompt is a text, or a conversation that the model's chat template renders; the end of text follows each
 * completion, as where the model wrote it to its end.
 *
 * @throws UsageError naming the line that is wrong, what was found and what is wanted
 * @throws FileError
 */
export async function readLabelledFile(path: string, model: Model): Promise<LabelledExample[]> {
  const text = await withFile("read", path, () => readFile(path, "utf8"));
  return text.split("\n").flatMap((line, i) => {
    if (line.trim() === "") return [];
    try {
      const parsed = lineSchema.safeParse(parseJson(line));
      if (!parsed.success) throw new Error(z.prettifyError(parsed.error));
      return [tokenised(parsed.data, model)];
    } catch (error) {
      throw new UsageError(
        `${path}, line ${i + 1}: ${(error as Error).message}\n(a line should be {"prompt": ..., "completion": ..., "label": true or false, "group": ...}, the group being optional)`,
      );
    }
  });
}

function tokenised(line: z.infer<typeof lineSchema>, { tokenizer, config }: Model): LabelledExample {
  const { prompt, completion, label } = line;
  const isText = typeof prompt === "string";
  if (!isText && !tokenizer.chat)
    throw new Error("the prompt is a conversation, and the model has no chat template; give it as one text");
  const start = isText ? tokenizer.encodePrompt(prompt) : tokenizer.chat!(prompt);
  const tokens = [...start, ...tokenizer.encode(completion), tokenizer.endOfText];
  if (tokens.length > config.context)
    throw new Error(`it has ${tokens.length} tokens, and the model reads ${config.context}`);
  const asText = isText ? prompt : prompt.map(({ content }) => content).join("\n");
  return {
    ...{ tokens, promptLength: start.length, completion, prompt: asText },
    label: Boolean(label),
    group: String(line.group ?? asText),
  };
}
