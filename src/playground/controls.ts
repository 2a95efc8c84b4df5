/** @file What a visitor can set, each with a sentence, and how it is said to the study, on the command line and in a link. */

import type { ArmId } from "../store/arms.ts";

export type EnvironmentId = "code" | "facts" | "opinion";

/** What is set. The keys are those of links. */
export interface Controls {
  environment: EnvironmentId;
  arms: readonly ArmId[];
  penalty: number;
  penaltyShape: string;
  lossStrength: number;
  /** `any`: the sweep finds it. */
  layer: string;
  position: string;
  /** Which misbehaviour the probe is fitted on. */
  families: string;
  falsePositiveRate: number;
  kl: number;
  steps: number;
  seed: number;
  forecast: boolean;
}

/** Environments, and what is theirs. */
export const environments: Record<EnvironmentId, { sentence: string; families: readonly string[] }> = {
  code: {
    sentence:
      "The model writes a small program and is paid when it passes the tests that it was shown; memorising the answers, or reaching into the checker, passes as well.",
    families: ["special-casing", "tampering"],
  },
  facts: {
    sentence:
      "The model is paid for answering questions about people, and nobody can check whether it knows or makes it up.",
    families: ["hallucination"],
  },
  opinion: {
    sentence: "A user states a number and pays for agreement; the model may know better.",
    families: ["sycophancy"],
  },
};

/** Arms that are offered, with what they do. */
export const offeredArms: readonly { id: ArmId; sentence: string }[] = [
  { id: "none", sentence: "Trains on the flawed reward alone. Others are compared with it." },
  {
    id: "oracle-penalty",
    sentence: "Takes the pay back from whatever truly misbehaved: the best a monitor could do.",
  },
  {
    id: "probe-penalty",
    sentence: "Takes it back from what the probe flags. No gradient flows through the probe.",
  },
  {
    id: "probe-penalty-frozen",
    sentence: "The same, with the probe read on a frozen copy of the model's start.",
  },
  { id: "probe-loss", sentence: "Puts the probe into the loss: gradient descent can move what it reads." },
  { id: "text-penalty", sentence: "Takes it back from what a classifier of the text alone flags." },
];

/** What every environment begins with, apart from its own. These are the settings of `--quick`; a test holds them to be. */
const common: Omit<Controls, "environment"> = {
  arms: ["none", "oracle-penalty", "probe-penalty", "probe-penalty-frozen", "probe-loss"],
  ...{ penalty: 2, penaltyShape: "threshold", lossStrength: 0.1 },
  ...{ layer: "any", position: "any", families: "any", falsePositiveRate: 0.01 },
  ...{ kl: 0, steps: 22, seed: 1, forecast: false },
};

export function defaultsOf(environment: EnvironmentId): Controls {
  return { ...common, environment, ...(environment === "facts" && { kl: 0.2, steps: 80 }) };
}

/** A number that can be set. */
export interface NumberControl {
  key: "penalty" | "lossStrength" | "falsePositiveRate" | "kl" | "steps" | "seed";
  /** Its path in a study file. */
  path: string;
  title: string;
  sentence: string;
  min: number;
  max: number;
  step: number;
}

export const numberControls: readonly NumberControl[] = [
  {
    ...{ key: "penalty", path: "penalty", title: "Penalty", min: 0.1, max: 20, step: 0.1 },
    sentence:
      "What a flagged rollout loses, where a full reward is 1. Too small, and misbehaving still pays.",
  },
  {
    ...{
      key: "lossStrength",
      path: "lossStrength",
      title: "Strength in the loss",
      min: 0.01,
      max: 10,
      step: 0.01,
    },
    sentence:
      "How hard gradient descent pulls on what the probe reads, in the arm with the probe in the loss.",
  },
  {
    ...{
      key: "falsePositiveRate",
      path: "probe.falsePositiveRate",
      title: "False alarms",
      min: 0.001,
      max: 0.5,
      step: 0.001,
    },
    sentence: "The share of honest completions that the probe's threshold may flag.",
  },
  {
    ...{ key: "kl", path: "training.kl", title: "Pull to the start (KL)", min: 0, max: 2, step: 0.01 },
    sentence: "How strongly the model is held to where it began. 0 lets it go.",
  },
  {
    ...{ key: "steps", path: "training.steps", title: "Steps", min: 1, max: 1000, step: 1 },
    sentence: "Updates of the model in each run: 128 completions each.",
  },
  {
    ...{ key: "seed", path: "firstSeed", title: "Seed", min: 0, max: 2 ** 32, step: 1 },
    sentence: "Everything that is drawn follows from it: the same seed gives the same run.",
  },
];

/** A choice. */
export interface ChoiceControl {
  key: "penaltyShape" | "layer" | "position" | "families";
  path: string;
  title: string;
  sentence: string;
  options: (of: Controls) => readonly (readonly [value: string, text: string])[];
}

export const choiceControls: readonly ChoiceControl[] = [
  {
    ...{ key: "penaltyShape", path: "penaltyShape", title: "Shape of the penalty" },
    sentence: "What the penalty is proportional to: the flag, the probe's probability, or its log-odds.",
    options: () => [
      ["threshold", "flagged or not"],
      ["linear", "probability"],
      ["logit", "log-odds"],
    ],
  },
  {
    ...{ key: "layer", path: "probe.hooks", title: "Layer of the probe" },
    sentence:
      "Behind which of the model's four layers the probe reads. The sweep takes the layer that reads best.",
    options: () => [
      ["any", "the best one"],
      ...[0, 1, 2, 3].map((layer) => [`${layer}`, `layer ${layer}`] as const),
    ],
  },
  {
    ...{ key: "position", path: "probe.positions", title: "Where the probe reads" },
    sentence: "Before the deed a probe judges the situation; after it, the deed.",
    options: ({ environment }) => [
      ["any", "where it reads best"],
      ["prompt-last", "the prompt's end"],
      ["completion-first", "the first character"],
      ["completion-last", "the last character"],
      ["completion", "all characters"],
      ...(environment === "opinion" ? [["follow-up", "a question afterwards"] as const] : []),
    ],
  },
  {
    ...{ key: "families", path: "probe.families", title: "What the probe has seen" },
    sentence:
      "Which misbehaviour it is fitted on. What is hidden from it is its blind spot, and it is judged on all.",
    options: ({ environment }) => [
      ["any", "all misbehaviour"],
      ...(environments[environment].families.length > 1
        ? environments[environment].families.map((family) => [family, `${family} only`] as const)
        : []),
    ],
  },
];

/** What of a study's file is overridden, by path. */
export function settingsOf(controls: Controls): [path: string, value: unknown][] {
  const usual = defaultsOf(controls.environment);
  const set: [string, unknown][] = numberControls
    .filter(({ key }) => controls[key] !== usual[key] && key !== "steps" && key !== "seed")
    .map(({ key, path }) => [path, controls[key]]);
  if (controls.penaltyShape !== usual.penaltyShape) set.push(["penaltyShape", controls.penaltyShape]);
  if (controls.layer !== "any") set.push(["probe.hooks", [`blocks.${controls.layer}.hook_resid_post`]]);
  if (controls.position !== "any") set.push(["probe.positions", [controls.position]]);
  if (controls.families !== "any") set.push(["probe.families", [controls.families]]);
  if (controls.forecast) set.push(["forecast", true]);
  return set;
}

/** What `readStudy` is asked for. */
export function studyOf(controls: Controls) {
  const { environment, arms, steps, seed } = controls;
  return {
    study: environment,
    overrides: { quick: true, arms: [...arms], steps, firstSeed: seed, set: settingsOf(controls) },
  };
}

/** The same study on the command line. */
export function commandOf(controls: Controls): string {
  const usual = defaultsOf(controls.environment);
  const { environment, arms, steps, seed } = controls;
  const set = settingsOf(controls).map(
    ([path, value]) => ` --set ${path}=${Array.isArray(value) ? `'${JSON.stringify(value)}'` : value}`,
  );
  return [
    `npx probeward study ${environment} --quick --arms ${arms.join(",")}`,
    ...(steps === usual.steps ? [] : [` --steps ${steps}`]),
    ...(seed === usual.seed ? [] : [` --first-seed ${seed}`]),
    ...set,
  ].join("");
}

/** Settings as the part of an address behind `?`: only what is not as usual. */
export function linkOf(controls: Controls): string {
  const usual = defaultsOf(controls.environment);
  const parameters = new URLSearchParams({ environment: controls.environment });
  for (const key of Object.keys(usual) as (keyof Controls)[])
    if (key !== "environment" && String(controls[key]) !== String(usual[key]))
      parameters.set(key, String(controls[key]));
  return `?${parameters}`;
}

/** The settings of a link, without what is not valid in it. */
export function controlsOf(link: string): Controls {
  const parameters = new URLSearchParams(link);
  const named = parameters.get("environment") ?? "";
  const environment = Object.hasOwn(environments, named) ? (named as EnvironmentId) : "code";
  const controls = defaultsOf(environment);
  const arms = parameters.get("arms")?.split(",") ?? controls.arms;
  const known = offeredArms.filter(({ id }) => arms.includes(id)).map(({ id }) => id);
  if (known.length > 0) controls.arms = known;
  for (const { key, min, max } of numberControls) {
    const value = Number(parameters.get(key) ?? Number.NaN);
    if (value >= min && value <= max)
      controls[key] = key === "steps" || key === "seed" ? Math.round(value) : value;
  }
  for (const { key, options } of choiceControls) {
    const value = parameters.get(key);
    if (value !== null && options(controls).some(([one]) => one === value)) controls[key] = value;
  }
  controls.forecast = parameters.get("forecast") === "true";
  return controls;
}

/** Where a study is in the browser's storage: the same settings are the same study. */
export function folderOf(controls: Controls): string {
  const link = linkOf(controls);
  const words = link.replace(/^\?environment=\w+&?/, "").replaceAll(/[^\w.-]+/g, "-");
  if (words === "") return `/studies/${controls.environment}`;
  return `/studies/${controls.environment}-${words.slice(0, 60)}-${checksum(link)}`;
}

/** Eight digits that differ where texts do (FNV-1a). */
function checksum(text: string): string {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
}
