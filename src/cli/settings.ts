/** @file `probeward settings`: what a study file may say, as a table, a page, or a schema for editors. */

import type { Command } from "commander";
import { UsageError } from "../errors.ts";
import { type SettingInfo, studyJsonSchema, studySettings } from "../study/index.ts";
import { referencePage } from "./reference.ts";

interface Flags {
  jsonSchema?: boolean;
  markdown?: boolean;
}

const WIDTH = 80;
const INDENT = 4;

/** Its arguments and options, and what it does. */
export function settingsCommand(command: Command): Command {
  return command
    .argument("[words...]", "only settings whose path, meaning or name in TRL has all of these words")
    .option("--json-schema", "print a JSON Schema instead, for editors")
    .option("--markdown", "print docs/reference.md instead: arms, metrics, words of a verdict, settings")
    .action((words: string[], { jsonSchema, markdown }: Flags) => {
      if (jsonSchema) console.log(JSON.stringify(studyJsonSchema(), null, 2));
      else if (markdown) process.stdout.write(referencePage());
      else console.log(settingsTable(words));
    });
}

/** @throws UsageError where no setting has all words */
function settingsTable(words: readonly string[]): string {
  const found = studySettings().filter((setting) => words.every((word) => has(setting, word)));
  if (found.length === 0)
    throw new UsageError(`no setting has ${words.join(" and ")} in it; probeward settings lists all.`);
  return found.map(inLines).join("\n");
}

function has({ path, meaning, trl = "", also }: SettingInfo, word: string): boolean {
  return [path, meaning, trl, ...also].some((text) => text.toLowerCase().includes(word.toLowerCase()));
}

/** For a terminal of 80 columns. */
function inLines(setting: SettingInfo): string {
  const { path, type, meaning, trl } = setting;
  const head = `${path}  ${type}${defaultOf(setting, (text) => text)}`;
  const body = `${meaning}${trl ? ` (TRL: ${trl})` : ""}`;
  return [wrapped(head, ""), ...(body ? [wrapped(body, " ".repeat(INDENT))] : [])].join("\n");
}

function defaultOf({ required, default: value }: SettingInfo, mark: (text: string) => string): string {
  if (required) return "; required";
  return value === undefined ? "" : `; default ${mark(value)}`;
}

function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= WIDTH)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push((lines.length === 0 ? indent : indent || " ".repeat(INDENT)) + word);
  }
  return lines.join("\n");
}
