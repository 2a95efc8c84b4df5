/** @file What can be set: as the shipped studies have it, and the same in a link, in a study and on the command line. */

import { inspect as nodeInspect } from "node:util";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readStudy } from "../study/index.ts";
import {
  type Controls,
  choiceControls,
  commandOf,
  controlsOf,
  defaultsOf,
  type EnvironmentId,
  environments,
  folderOf,
  linkOf,
  numberControls,
  offeredArms,
  studyOf,
} from "./controls.ts";
import { browserName } from "./node/browser-name.ts";
import { inspect } from "./node/util.ts";
import { tours } from "./tours.ts";

const ids = Object.keys(environments) as EnvironmentId[];
const at = (value: unknown, path: string) =>
  path.split(".").reduce<unknown>((inner, key) => (inner as Record<string, unknown>)[key], value);

const anyControls: fc.Arbitrary<Controls> = fc.constantFrom(...ids).chain((environment) => {
  const usual = defaultsOf(environment);
  const numbers = Object.fromEntries(
    numberControls.map(({ key, min, max, step }) => [
      key,
      step === 1 ? fc.integer({ min, max }) : fc.double({ min, max, noNaN: true }),
    ]),
  );
  const choices = Object.fromEntries(
    choiceControls.map(({ key, options }) => [
      key,
      fc.constantFrom(...options(usual).map(([value]) => value)),
    ]),
  );
  return fc
    .record({
      ...numbers,
      ...choices,
      arms: fc.subarray(
        offeredArms.map(({ id }) => id),
        { minLength: 1 },
      ),
      forecast: fc.boolean(),
    })
    .map((set) => ({ ...usual, ...set }) as Controls);
});

describe("controls", () => {
  it.each(ids)("begin as the study %s --quick has them", async (id) => {
    const usual = defaultsOf(id);
    const study = await readStudy(id, { quick: true });
    for (const { key, path } of numberControls) expect([key, usual[key]]).toEqual([key, at(study, path)]);
    expect([usual.penaltyShape, usual.forecast]).toEqual([study.penaltyShape, study.forecast]);
    const asked = studyOf(usual);
    expect(await readStudy(asked.study, asked.overrides as never)).toEqual({ ...study, arms: usual.arms });
  });

  it("survive a link, and make a valid study in a folder of their own", async () => {
    const seen = new Map<string, string>();
    await fc.assert(
      fc.asyncProperty(anyControls, async (controls) => {
        expect(controlsOf(linkOf(controls))).toEqual(controls);
        const { study, overrides } = studyOf(controls);
        const settings = await readStudy(study, overrides as never);
        for (const { key, path } of numberControls) expect(at(settings, path)).toBe(controls[key]);
        const folder = folderOf(controls);
        expect(folder).toMatch(/^\/studies\/[\w.,-]+$/);
        expect(seen.get(folder) ?? linkOf(controls)).toBe(linkOf(controls));
        seen.set(folder, linkOf(controls));
      }),
      { numRuns: 60 },
    );
  });

  it("take nothing from a link that is not allowed", () => {
    const controls = controlsOf(
      "?environment=__proto__&arms=constructor&penalty=-1&layer=9&steps=1e9&families=x&kl=",
    );
    expect(controls).toEqual({ ...defaultsOf("code") });
  });

  it("say themselves as a command", () => {
    const controls = {
      ...defaultsOf("facts"),
      arms: ["none", "probe-loss"],
      layer: "1",
      penalty: 3,
      seed: 4,
    } as Controls;
    expect(commandOf(controls)).toBe(
      `npx probeward study facts --quick --arms none,probe-loss --first-seed 4 --set penalty=3 --set probe.hooks='["blocks.1.hook_resid_post"]'`,
    );
  });

  it("are valid in every tour", () => {
    for (const { controls } of tours) expect(controlsOf(linkOf(controls))).toEqual(controls);
  });
});

describe("what a browser has of Node's", () => {
  it("shows values as Node does", () => {
    const values = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.double(),
      fc.boolean(),
      fc.constant(null),
      fc.string(),
    );
    fc.assert(
      fc.property(values, (value) => {
        expect(inspect(value)).toBe(nodeInspect(value));
      }),
    );
  });

  it("knows browsers by their names", () => {
    const chrome =
      "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
    expect(browserName(chrome)).toBe("Chrome 156");
    expect(browserName("Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0")).toBe(
      "Firefox 153",
    );
    expect(
      browserName(
        "Mozilla/5.0 (Macintosh) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15",
      ),
    ).toBe("Safari 26");
  });
});
