/** @file The commands: their help fits 80 columns, and asking for it loads nothing that computes. */

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Command } from "commander";
import { describe, expect, it } from "vitest";
import { commands } from "./commands.ts";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

async function helpOf(name: string): Promise<string> {
  let help = "";
  const command = new Command(name).description(commands[name]!.description);
  command.configureOutput({ writeOut: (text) => (help += text), getOutHelpWidth: () => 80 });
  (await commands[name]!.fill(command)).outputHelp();
  return help;
}

describe("help", () => {
  it.each(Object.keys(commands))("of %s fits 80 columns", async (name) => {
    const help = await helpOf(name);
    expect(help).toContain(`Usage: ${name}`);
    expect(help.split("\n").filter((line) => line.length > 80)).toEqual([]);
  });

  it("of study has every arm, and every setting of Slurm", async () => {
    expect(await helpOf("study")).toMatch(/\n {2}none +\S.*\n {2}ablation-random +\S.*\n {2}partition +\S/s);
  });
});

/** Writes down the address of every module that is asked for; it runs in a thread of its own. */
const hook = `
  import { writeSync } from "node:fs";
  export async function resolve(name, context, next) {
    const found = await next(name, context);
    writeSync(2, found.url + "\\n");
    return found;
  }`;
const asData = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`;
const registering = `import { register } from "node:module"; register(${JSON.stringify(asData(hook))});`;

it.each([["--version"], ["--help"], ["nonsense"]])("%s loads nothing that computes", async (argument) => {
  const run = promisify(execFile)(process.execPath, ["--import", asData(registering), main, argument]);
  const { stderr } = await run.catch((error: { stderr: string }) => error);
  expect(stderr).toContain("/cli/commands.js");
  expect(stderr).not.toMatch(/onnxruntime|jax-js|\/engine\//);
});
