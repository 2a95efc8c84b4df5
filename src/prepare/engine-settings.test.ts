/** @file What a study file says of what computes, and what comes of it. */

import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { readStudy, type StudyFile } from "../study/index.ts";
import { onnxRuntime } from "../tensor/index.ts";
import { openRuntime } from "./engine-settings.ts";

const study = (engine?: StudyFile["engine"]): StudyFile => ({
  environment: "code",
  arms: ["none"],
  ...(engine && { engine }),
});

describe("what computes", () => {
  it("is ONNX Runtime unless something else is asked for", async () => {
    expect((await readStudy(study())).engine).toBeUndefined();
    expect(await openRuntime(undefined)).toBe(onnxRuntime);
    expect(await openRuntime((await readStudy(study({}))).engine)).toBe(onnxRuntime);
  });

  it("is what the command line says, with what the study file says beside it", async () => {
    const { engine } = await readStudy(study({ dtype: "bfloat16" }), { runtime: "xla" });
    expect(engine).toEqual({ runtime: "xla", dtype: "bfloat16" });
  });

  it("takes the Python's path from the study file's folder", async () => {
    const { engine } = await readStudy(study({ python: "./jax/bin/python" }));
    expect(engine?.python).toBe(resolve("jax/bin/python"));
    expect((await readStudy(study({ python: "python3" }))).engine?.python).toBe("python3");
  });

  it("may keep frozen weights narrow, but on XLA, where another setting says it", async () => {
    const { engine } = await readStudy(study({ weights: "int8" }));
    expect(engine?.weights).toBe("int8");
    expect(await openRuntime(engine)).toBe(onnxRuntime);
    await expect(openRuntime({ runtime: "xla", weights: "int8" })).rejects.toThrow(
      /engine.weights: int8 is for engine.runtime: onnx; on xla engine.dtype/,
    );
    await expect(readStudy(study({ weights: "int4" as never }))).rejects.toThrow(
      /engine\.weights.*found "int4"/,
    );
  });

  it("refuses what it does not know, and what goes with XLA only", async () => {
    await expect(readStudy(study({ runtime: "cuda" as never }))).rejects.toThrow(
      /engine\.runtime.*found "cuda"/,
    );
    await expect(readStudy(study({ gpus: 2 } as never))).rejects.toThrow(/engine/);
    await expect(openRuntime({ runtime: "onnx", devices: 4 })).rejects.toThrow(
      "engine.devices is for engine.runtime: xla (--runtime xla); this is onnx",
    );
  });
});
