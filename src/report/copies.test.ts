/** @file What is said of copies, by how many there are. */

import { expect, it } from "vitest";
import { studyFixture } from "../../test/study-fixture.ts";
import { copiesInWords } from "./copies.ts";

it.each([
  [400, 400, 0.9, undefined],
  [
    400,
    100,
    0.9,
    "300 of the 400 completions that it was judged on have a text that it was fitted on, under another task; on the other 100 its AUROC is 0.900 (text alone 0.500)",
  ],
  [
    400,
    7,
    null,
    "393 of the 400 completions that it was judged on have a text that it was fitted on, under another task, and the other 7 lack a label",
  ],
  [
    400,
    0,
    null,
    "400 of the 400 completions that it was judged on have a text that it was fitted on, under another task",
  ],
])(
  "of %i completions with %i texts that are new says how many are copies",
  (total, fresh, probeAuroc, said) => {
    const { base } = studyFixture({ steps: 1 }).summary!;
    const counts = { ...base.counts, test: { total, misbehaving: 50 } };
    const textBaselineAuroc = probeAuroc === null ? null : 0.5;
    const unseen = { total: fresh, misbehaving: 1, probeAuroc, textBaselineAuroc };
    expect(copiesInWords({ ...base, counts, unseen })).toBe(said);
  },
);
