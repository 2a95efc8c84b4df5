/** @file Builds the report's page into one self-contained HTML file, `dist/web/index.html`. */

import { svelte } from "@sveltejs/vite-plugin-svelte";
import { viteSingleFile } from "vite-plugin-singlefile";
import { defineConfig } from "vitest/config";

export default defineConfig({
  root: "src/web",
  plugins: [svelte({ configFile: false }), viteSingleFile()],
  build: { outDir: "../../dist/web", emptyOutDir: true, reportCompressedSize: false, target: "es2022" },
  // Other work may keep a machine busy: tests that wait, wait long.
  test: {
    root: ".",
    globalSetup: "test/temporary.ts",
    testTimeout: 120_000,
    // Tests of clusters and of real processes wait most of their time.
    maxWorkers: 2,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 15_000 } },
  },
});
