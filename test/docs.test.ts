/** @file The documentation: its links and anchors lead somewhere, its command lines and study files are ones that exist, and every page can be reached. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { commands } from "../src/cli/commands.ts";
import { isModulePath } from "../src/modules.ts";
import { armIds } from "../src/store/index.ts";
import { shippedStudies, studySettings } from "../src/study/index.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const pages = [
  ...["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"],
  ...["docs", "examples"].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".md") && !path.includes("node_modules"))
      .map((path) => `${folder}/${path.replaceAll("\\", "/")}`),
  ),
];
const textOf = (page: string) => readFileSync(join(root, page), "utf8");
/** Without what stands between fences. */
const proseOf = (page: string) => textOf(page).replace(/^( *)```[\s\S]*?^\1```$/gm, "");
/** The content of fences, by what they say that it is. */
const blocksOf = (page: string) =>
  [...textOf(page).matchAll(/^( *)```(\w*)\n([\s\S]*?)^\1```$/gm)].map(([, , language, text]) => ({
    language: language!,
    text: text!,
  }));
/** What stands between single backticks, which may be broken over two lines. */
const codeOf = (page: string) =>
  [...proseOf(page).matchAll(/`([^`]+)`/g)].map(([, text]) => text!.replace(/\s+/g, " "));

/** As GitHub makes an anchor of a heading. */
const anchorOf = (heading: string) =>
  heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .trim()
    .replace(/\s/g, "-");
const anchorsOf = (page: string) =>
  new Set([...proseOf(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchorOf(heading!)));

/** Relative links, by their page: where to, and which heading there. */
const links = pages.flatMap((page) =>
  [...proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^\w+:/.test(target))
    .map((target) => {
      const [path = "", anchor] = target.split("#") as [string, string?];
      const to = path === "" ? page : relative(root, resolve(root, dirname(page), path));
      return { page, target, to, anchor };
    }),
);

it("has no link that leads nowhere", () => {
  expect(links.length).toBeGreaterThan(60);
  const dead = links.filter(
    ({ to, anchor }) => !existsSync(join(root, to)) || (anchor !== undefined && !anchorsOf(to).has(anchor)),
  );
  expect(dead.map(({ page, target }) => `${page}: ${target}`)).toEqual([]);
});

it("has no link that leads out of the package", () => {
  const { files } = JSON.parse(textOf("package.json")) as { files: string[] };
  const packed = [...files, "README.md", "LICENSE", "package.json"];
  const outside = links.filter(({ to }) => !packed.includes(to.split("/")[0]!));
  expect(outside.map(({ page, target }) => `${page}: ${target}`)).toEqual([]);
});

it("has no page that README does not lead to", () => {
  const reached = new Set(["README.md"]);
  for (const page of reached)
    for (const { page: from, to } of links) if (from === page && to.endsWith(".md")) reached.add(to);
  expect(pages.filter((page) => !reached.has(page))).toEqual([]);
});

it("names no file of the repository that is not there", () => {
  const named = pages.flatMap((page) =>
    codeOf(page)
      .filter((code) => /^(src|test|docs|bench|studies|models|examples)\/[\w./-]+\.\w+$/.test(code))
      .map((path) => ({ page, path })),
  );
  expect(named.length).toBeGreaterThan(10);
  const missing = named.filter(({ page, path }) => page !== "CHANGELOG.md" && !existsSync(join(root, path)));
  expect(missing).toEqual([]);
});

it("is where the code says that it is", () => {
  const named = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((path) => /\.(ts|svelte)$/.test(path))
    .flatMap((path) =>
      [...textOf(`src/${path}`).matchAll(/(?<![\w/])docs\/[\w./-]+\.md/g)].map(([page]) => page),
    );
  expect(named.length).toBeGreaterThan(1);
  expect(named.filter((page) => !existsSync(join(root, page)))).toEqual([]);
});

it("imports from the library what the library has", () => {
  const face = textOf("src/index.ts");
  const names = pages
    .flatMap((page) => [...textOf(page).matchAll(/import (?:type )?\{([^}]+)\} from "probeward"/g)])
    .flatMap(([, list]) => list!.split(",").map((name) => name.trim().replace(/^type /, "")));
  expect(names.length).toBeGreaterThan(5);
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(face))).toEqual([]);
});

/** The calls of `probeward` in a piece of code, as lists of words; without what is only a comment or another program's. */
const callsIn = (text: string) =>
  text
    .replace(/\\\n/g, " ")
    .split(/\n|&&|\||;/)
    .map((line) => line.replace(/\s#.*$|^#.*$|\s>.*$/g, "").trim())
    .flatMap((line) => /^(?:\w+=\S+ )*(?:s?run )?(?:npx )?probeward (\S.*)$/.exec(line)?.[1] ?? [])
    .map((line) => line.split(/\s+/));

const calls = pages.flatMap((page) => [
  ...blocksOf(page)
    .filter(({ language }) => language === "sh" || language === "")
    .flatMap(({ text }) => callsIn(text).map((words) => ({ page, words }))),
  ...codeOf(page).flatMap((text) => callsIn(text).map((words) => ({ page, words }))),
]);

it("shows no command, flag, arm, setting or study that does not exist", async () => {
  expect(calls.length).toBeGreaterThan(60);
  const studies = await shippedStudies();
  const settings = studySettings().map(({ path }) => path);
  const flagsOf = new Map<string, Set<string>>();
  for (const [name, { fill }] of Object.entries(commands)) {
    const filled = await fill(new Command(name));
    flagsOf.set(name, new Set(["--help", ...filled.options.map(({ long }) => long!)]));
  }
  const faults = calls.flatMap(({ page, words: [name = "", ...rest] }) => {
    const call = `${page}: probeward ${[name, ...rest].join(" ")}`;
    if (/^--(version|help)$/.test(name)) return [];
    const flags = flagsOf.get(name);
    if (!flags) return [`${call}: no such command`];
    return rest.flatMap((word, i) => {
      const wrong = (what: string) => [`${call}: no such ${what}`];
      if (word.startsWith("--")) return flags.has(word.split("=")[0]!) ? [] : wrong(`flag as ${word}`);
      const before = rest[i - 1];
      if (before === "--arms")
        return word.split(",").every((id) => isModulePath(id) || (armIds as readonly string[]).includes(id))
          ? []
          : wrong("arm");
      if (before === "--set") return settings.includes(word.split("=")[0]!) ? [] : wrong("setting");
      if (before === "--slurm")
        return settings.includes(`slurm.${word.split("=")[0]}`) ? [] : wrong("setting of Slurm");
      // A study of the reader's own has a name that begins so.
      if (name === "study" && i === 0 && !/^(my-|<|\.\.\.)/.test(word))
        return studies.includes(word) || existsSync(join(root, word)) ? [] : wrong("study");
      return [];
    });
  });
  expect(faults).toEqual([]);
});

it("shows no setting in a study file that does not exist", () => {
  const settings = studySettings().map(({ path }) => path);
  const tables = studySettings()
    .filter(({ type }) => type === "table")
    .map(({ path }) => path);
  const blocks = pages.flatMap((page) =>
    blocksOf(page)
      .filter(({ language }) => language === "yaml")
      .map(({ text }) => ({ page, content: parse(text) as Record<string, unknown> })),
  );
  expect(blocks.length).toBeGreaterThan(8);
  const pathsOf = (content: object, prefix = ""): string[] =>
    Object.entries(content).flatMap(([key, value]) => {
      const path = prefix + key;
      // A grid has the settings that vary by their paths.
      if (path === "grid") return Object.keys(value as object);
      const isSection = typeof value === "object" && value !== null && !Array.isArray(value);
      return [path, ...(isSection && !tables.includes(path) ? pathsOf(value, `${path}.`) : [])];
    });
  const wrong = blocks.flatMap(({ page, content }) =>
    pathsOf(content)
      .filter((path) => !settings.includes(path))
      .map((path) => `${page}: ${path}`),
  );
  expect(wrong).toEqual([]);
});

it("has a reason for every dependency", () => {
  const { dependencies } = JSON.parse(textOf("package.json")) as { dependencies: Record<string, string> };
  const reasons = proseOf("CONTRIBUTING.md")
    .match(/^\| `.*$/gm)!
    .join("\n");
  expect(Object.keys(dependencies).filter((name) => !reasons.includes(`\`${name}\``))).toEqual([]);
});

it("shows no script of npm that does not exist", () => {
  const { scripts } = JSON.parse(textOf("package.json")) as { scripts: Record<string, string> };
  const shown = pages.flatMap((page) =>
    [...textOf(page).matchAll(/npm run ([\w:]+)/g)].map(([, script]) => script!),
  );
  expect(shown.filter((script) => !(script in scripts))).toEqual([]);
});
