/** @file A run in WebAssembly takes no more memory the longer it trains: what was taken is given back, and nothing grows. */

import { expect, test } from "vitest";
import { createEngine } from "../src/engine/index.ts";
import type { OrtModule } from "../src/tensor/onnx/heap.ts";
import { wasmRuntime } from "../src/tensor/onnx/wasm.ts";
import { startPolicy, train } from "../src/training/index.ts";
import { tinyContext, tinyModel } from "./tiny.ts";

const STEPS = 40;

test("training holds as many pieces of memory after many steps as after a few", async () => {
  let module: OrtModule | undefined;
  /** Addresses that were asked for, and are not given back. */
  const held = new Set<number>();
  let programs = 0;
  const runtime = wasmRuntime({
    async load() {
      const { default: create } = await import("onnxruntime-web/ort-wasm-simd-threaded.mjs");
      module = (await create({ numThreads: 1 })) as OrtModule;
      // In Node it makes one, from which jax-js takes this for a browser halfway.
      Reflect.deleteProperty(globalThis, "Worker");
      const { _malloc, _free, _OrtCreateSession } = module;
      module._malloc = (bytes) => {
        const at = _malloc(bytes);
        held.add(at);
        return at;
      };
      module._free = (at) => {
        held.delete(at);
        _free(at);
      };
      module._OrtCreateSession = (...model) => {
        programs++;
        return _OrtCreateSession(...model);
      };
      return module;
    },
    threads: 1,
    versions: {},
  });
  const engine = createEngine(tinyModel, { runtime });
  const usual = tinyContext();
  const context = tinyContext({ engine, settings: { ...usual.settings, steps: STEPS } });
  const policy = await startPolicy(context);
  const written: string[] = [];
  const onWriting = (_step: number, tokens: readonly { text: string }[]) =>
    written.push(...tokens.map(({ text }) => text));
  const seen: { pieces: number; bytes: number; programs: number }[] = [];
  for await (const _ of train(context, policy, { step: 0 }, onWriting))
    seen.push({ pieces: held.size, bytes: module!.HEAPU8.length, programs });
  expect(written.length).toBeGreaterThan(STEPS);
  // A program for batches of another size is compiled when such a batch comes, and is kept.
  const quiet = seen
    .slice(1)
    .flatMap((now, i) => (now.programs === seen[i]!.programs ? [[seen[i]!, now]] : []));
  expect(quiet.length).toBeGreaterThan(STEPS / 2);
  for (const [before, now] of quiet) expect(now).toEqual(before);
  await policy.close();
  await engine.close();
  expect(held.size).toBe(0);
});
