/** @file ONNX Runtime's rules, one by one. */

import { numpy as np } from "@jax-js/jax";
import { describe, expect, it } from "vitest";
import { primitiveTests } from "../../../test/primitives.ts";
import { compile } from "../compile.ts";
import { floats, ints } from "../types.ts";
import { rules } from "./rules.ts";
import { onnxRuntime } from "./runtime.ts";

primitiveTests(() => onnxRuntime);

describe("gather", () => {
  it("fails at an index out of range", async () => {
    const program = await compile((x, i) => np.take(x, i, 0), [floats([3]), ints([1])]);
    await expect(program.evaluate(floats([3]), ints([1], new Int32Array([3])))).rejects.toThrow(
      "out of data bounds",
    );
  });
});

describe("primitives", () => {
  it("are named where they have no rule", async () => {
    await expect(compile((x) => np.sort(x), [floats([3])])).rejects.toThrow(
      'tensor: no ONNX rule for jax-js primitive "sort"',
    );
  });
  it("are all exercised by `primitiveTests`", () => {
    // A new rule belongs into this list together with a property test there.
    expect(Object.keys(rules).sort()).toEqual(
      "add asin atan broadcast cast ceil compare concatenate cos dot erf erfc exp flip floor gather idiv log max min mod mul neg pad reciprocal reduce reshape scatter shrink sin split sqrt stop_gradient transpose where".split(
        " ",
      ),
    );
  });
});
