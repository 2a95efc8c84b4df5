/** @file Builds the playground, a static site in `dist/playground`. What is Node's becomes what `src/playground/node/` has of it. */

import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { builtinModules } from "node:module";
import { basename, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { zipSync } from "fflate";
import { defaultClientConditions, defineConfig, type Plugin } from "vite";

const root = fileURLToPath(new URL(".", import.meta.url));
const inPlayground = (path: string) => `${root}src/playground/${path}`;

/** Node's modules that a browser has something for. */
const ours: Record<string, string> = {
  "node:crypto": "crypto",
  "node:fs": "fs",
  "node:fs/promises": "fs-promises",
  "node:module": "module",
  "node:os": "os",
  "node:timers/promises": "timers-promises",
  "node:url": "url",
  "node:util": "util",
  "node:worker_threads": "worker-threads",
};

/** What a tab cannot have, from the folder of the sources: processes, servers, other people's files. It is not loaded. */
const absent = [
  ...["tensor/in-file", "tensor/xla/start", "environment/python", "environment/openenv/index"],
  ...["model/huggingface/load", "model/gguf/load", "model/hub", "study/python-arm"],
];

function forBrowsers(): Plugin {
  return {
    name: "for-browsers",
    enforce: "pre",
    async resolveId(name, importer) {
      if (name === "node:path") return this.resolve("pathe", importer);
      if (name in ours) return inPlayground(`node/${ours[name]}.ts`);
      if (name.startsWith("node:") || name === "jiti") return `\0absent:${name}`;
      if (!importer || !name.startsWith(".")) return;
      const path = (await this.resolve(name, importer, { skipSelf: true }))?.id ?? "";
      const own = relative(`${root}src`, path).replace(/\.ts$/, "");
      if (own === "tensor/onnx/runtime") return inPlayground("node/runtime.ts");
      if (absent.includes(own)) return `\0absent:${path}`;
    },
    async load(id) {
      if (!id.startsWith("\0absent:")) return;
      const name = id.slice("\0absent:".length);
      const names =
        name.startsWith("node:") && builtinModules.includes(name.slice(5))
          ? Object.keys(await import(name))
          : await exportsOf(name);
      const own = relative(`${root}src`, name);
      const lines = names
        .filter((one) => one !== "default")
        .map((one) => `export const ${one} = () => absent(${JSON.stringify(one)});`);
      return `function absent(what) { throw new Error("a browser has no " + what + " (${name.startsWith("node:") ? name : own})"); }\n${lines.join("\n")}\nexport default {};`;
    },
    transform(code, id) {
      const own = relative(`${root}src`, id.replace(/\?.*/, ""));
      if (own.startsWith("..") || /^(playground|web)\//.test(own)) return;
      // Where the package's files are, for its own code: see `node/package.ts`.
      const at = JSON.stringify(`file:///probeward/dist/${own.replace(/\.ts$/, ".js")}`);
      return code.replaceAll("import.meta.url", at);
    },
  };
}

/** The names that one of our own files exports. */
async function exportsOf(path: string): Promise<string[]> {
  if (!path.startsWith(root)) return [];
  const text = await readFile(path, "utf8");
  const declared = [...text.matchAll(/^export (?:async )?(?:function\*?|const|class) (\w+)/gm)].map(
    (found) => found[1]!,
  );
  const listed = [...text.matchAll(/^export \{([^}]*)\}/gm)].flatMap((found) =>
    found[1]!
      .split(",")
      .map((one) => one.trim())
      .filter((one) => one && !one.startsWith("type ")),
  );
  return [...declared, ...listed];
}

/** `file?packed` is the address of a file that is compressed in the site itself: not every server compresses. */
function packed(): Plugin {
  return {
    name: "packed",
    async load(id) {
      if (!id.endsWith("?packed")) return;
      const path = id.slice(0, -"?packed".length);
      const source = gzipSync(await readFile(path), { level: 9 });
      const reference = this.emitFile({ type: "asset", name: `${basename(path)}.packed`, source });
      return `export default import.meta.ROLLUP_FILE_URL_${reference};`;
    },
  };
}

/** The page says what it will download before it does: counted when all is there. */
function counted(outDir: string): Plugin {
  return {
    name: "counted",
    async closeBundle() {
      const folder = join(outDir, "assets");
      const sizes = new Map<string, number>();
      for (const name of await readdir(folder))
        sizes.set(name, gzipSync(await readFile(join(folder, name))).length);
      const largest = (kind: RegExp) =>
        Math.max(0, ...[...sizes].filter(([name]) => kind.test(name)).map(([, size]) => size));
      // One environment's model and base; all else but what is for the GPU, or for one runtime of jax-js or another.
      const once = [...sizes].filter(
        ([name]) =>
          !/^(model\.|(code|facts|opinion)-.*zip|webgl|webgpu|backend|open-gpu|ort.*jspi)/.test(name),
      );
      const total = once.reduce((sum, [, size]) => sum + size, largest(/^model\./) + largest(/zip$/));
      const megabytes = (total / 1e6).toFixed(1);
      for (const name of sizes.keys()) {
        const text = name.endsWith(".js") ? await readFile(join(folder, name), "utf8") : "";
        if (text.includes(PLACE)) await writeFile(join(folder, name), text.replaceAll(PLACE, megabytes));
      }
    },
  };
}

/**
 * Makes what the usual studies start from, as each would in its folder (`bases.ts` lays it there): a visitor sees the first step
 * some twenty seconds earlier. By the built package.
 */
function prepared(environments: readonly string[]): Plugin {
  const folder = `${root}dist/playground-bases`;
  const built = (path: string) => import(`${root}dist/${path}/index.js`);
  return {
    name: "prepared",
    async buildStart() {
      await rm(folder, { recursive: true, force: true });
      if (environments.length === 0) return;
      const { readStudy } = await built("study");
      const { createEnvironment } = await built("environment");
      const { openBaseModel, prepareBase } = await built("prepare");
      for (const name of environments) {
        const settings = await readStudy(name, { quick: true });
        const environment = createEnvironment(name);
        const engine = await openBaseModel(environment, settings);
        await prepareBase(join(folder, name), { environment, engine, settings });
        await engine.close();
        await environment.close();
        const files: Record<string, Uint8Array> = {};
        for (const path of await readdir(join(folder, name), { recursive: true, withFileTypes: true }))
          if (path.isFile()) {
            const file = join(path.parentPath, path.name);
            files[relative(join(folder, name), file)] = await readFile(file);
          }
        await writeFile(join(folder, `${name}.zip`), zipSync(files, { level: 9 }));
      }
    },
  };
}

/** What stands in the page for its size. */
const PLACE = "%DOWNLOAD%";
const outDir = process.env.PLAYGROUND_OUT ?? `${root}dist/playground`;

const bases = (process.env.PLAYGROUND_BASES ?? "code,facts,opinion").split(",").filter(Boolean);

const globals = {
  process: [inPlayground("node/process.ts"), "default"],
  Buffer: ["buffer/", "Buffer"],
} as Record<string, [string, string]>;

const shared = { transform: { inject: globals } };

export default defineConfig({
  root: "src/playground",
  base: "./",
  plugins: [svelte({ configFile: false }), forBrowsers(), prepared(bases), counted(outDir)],
  // ONNX Runtime without its WebAssembly in it: that is fetched, compressed.
  resolve: { conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions] },
  worker: { format: "es", plugins: () => [forBrowsers(), packed()], rolldownOptions: shared },
  build: {
    outDir,
    emptyOutDir: true,
    reportCompressedSize: false,
    target: "es2022",
    assetsInlineLimit: 0,
  },
});
