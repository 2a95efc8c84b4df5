/** @file XLA's rules, one by one. */

import { afterAll, beforeAll } from "vitest";
import { primitiveTests } from "../../../test/primitives.ts";
import { onXla } from "../../../test/xla.ts";
import type { Runtime } from "../runtime.ts";
import { startXla } from "./start.ts";

onXla("XLA", () => {
  let runtime: Runtime;
  beforeAll(async () => {
    runtime = await startXla();
  });
  afterAll(() => runtime.close());

  // A program takes a good part of a second to compile.
  primitiveTests(() => runtime, 0.2);
});
