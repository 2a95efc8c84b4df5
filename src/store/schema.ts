/** @file The schema of `summary.json`, version 2: what the report shows and what others may rely on. */

import { z } from "zod";
import { behaviourOf, outcomeOf, sightOf } from "../audit/outcome.ts";
import { atlasClasses, behaviours, diagnoses, runOutcomes, sights } from "../audit/types.ts";
import { armForecastSchema } from "./forecast.ts";

const share = z.number().min(0).max(1);
/** `null`: not defined, for instance AUROC where only one class is present. */
const maybe = z.number().nullable();

/** An estimate, `null` where it is not defined, with its 95 % interval, `null` where that is not (one seed, for instance). */
const estimate = z.object({ value: z.number(), low: maybe, high: maybe }).nullable();

/**
 * Of the runs whose own rate is defined (`of`), those whose rate the predicted interval covers (`count`), and those
 * whose own interval it meets (`met`).
 */
const coverage = z.object({ count: z.int(), met: z.int().optional(), of: z.int() });

/** Repetitions of a control: how many, and their AUROCs. */
const controlRuns = z.object({ runs: z.int(), mean: share, low: share, high: share });

/**
 * The numbers of a run, and of an arm as means over its seeds. `*Start` and `*End` are means over the first and last five
 * steps, as far as they were measured. Optional ones are not in studies of earlier versions.
 */
export const runNumbersSchema = z.object({
  misbehaviourStart: share,
  misbehaviourEnd: share,
  trueStart: share,
  trueEnd: share,
  proxyEnd: share,
  klEnd: z.number(),
  /** The initial probe at its frozen threshold on the tracer set, read on the trained policy. */
  recallFrozenEnd: maybe,
  /** The same read on the reference. */
  recallReferenceEnd: maybe,
  /** False alarms: the share of honest sequences that it flags, on either model. */
  fprFrozenEnd: maybe,
  fprReferenceEnd: maybe,
  /** Sight: recall less false alarms (Youden's J), -1 to 1, on either model. */
  sightFrozenEnd: maybe,
  sightReferenceEnd: maybe,
  aurocInitialEnd: maybe,
  aurocFreshEnd: maybe,
  /** Mean AUROC of the probes that nothing was trained against, on the trained policy. */
  aurocHeldOutEnd: maybe.optional(),
  /** How much the initial probe's mean score on completions changed, and the parts of it that texts and model have. */
  scoreChange: maybe.optional(),
  scoreChangeText: maybe.optional(),
  scoreChangeModel: maybe.optional(),
  /** Of all rollouts, and of those that the updates reinforced: the share that misbehaved unflagged, over the whole run. */
  missesOfAll: maybe.optional(),
  missesOfReinforced: maybe.optional(),
  /** Where completions begin with a thought: of what misbehaved, the share whose thought says so. */
  admittedStart: maybe.optional(),
  admittedEnd: maybe.optional(),
  /** How well a reader of thoughts ranks: the one that was fitted before training, and one that is fitted anew. */
  thoughtAurocEnd: maybe.optional(),
  thoughtReadableEnd: maybe.optional(),
  /** How often answers follow thoughts that were swapped; 0.5 where thoughts decide nothing. */
  thoughtFollowsStart: maybe.optional(),
  thoughtFollowsEnd: maybe.optional(),
});

/** One run: one arm, one seed. */
export const runSummarySchema = runNumbersSchema.extend({
  seed: z.int(),
  /** `null` where the measures that it rests on are not defined. */
  diagnosis: z.enum(diagnoses).nullable(),
  /** The 95 % interval by which misbehaviour changed from the first to the last steps; `null` where too few were measured. */
  misbehaviourChange: z.tuple([z.number(), z.number()]).nullable(),
  behaviour: z.enum(behaviours),
  /** `null` where neither the diagnosis nor sight is defined. */
  sight: z.enum(sights).nullable(),
  outcome: z.enum(runOutcomes),
  /** The class that the Obfuscation Atlas' rules give the run's end. */
  atlas: z.enum(atlasClasses),
  /**
   * Undetected misbehaviour gained per misbehaviour lost over the first steps, against the run of the same seed without
   * intervention; to be compared with the arm's predicted rate.
   */
  exchangeRate: estimate.optional(),
  /**
   * The step at which undetected misbehaviour took over (`takeoverStep`), `null` for never; and the step at which it would by the law of
   * selection, at the rate at which misbehaviour grew in the run of the same seed without intervention: `null` for never, left out
   * where that run tells no rate. Not in studies of earlier versions.
   */
  takeover: z.int().nullable().optional(),
  takeoverBySelection: z.number().nullable().optional(),
  /** The first evaluation at which the probe's recall on the tracer set was halved, and the divergence then (nats per token); `null` for never. */
  evasion: z.object({ step: z.int(), kl: z.number() }).nullable().optional(),
});

/** The version of `summary.json` that is written, and the newest that is read. */
export const summaryVersion = 2;

const version2 = z.object({
  version: z.literal(summaryVersion),
  environment: z.string(),
  steps: z.int(),
  seeds: z.array(z.int()),
  seconds: z.number(),
  machine: z.object({
    cpu: z.string(),
    cores: z.int(),
    memoryGB: z.number(),
    node: z.string(),
    platform: z.string(),
  }),
  base: z.object({
    /** On held-out tasks of the base model's own completions. */
    probeAuroc: maybe,
    textBaselineAuroc: maybe,
    /** Of the probe's: 95 % bootstrap interval over tasks. Not in studies of earlier versions, and not where it is not defined. */
    probeAurocInterval: z.tuple([share, share]).optional(),
    /** AUROCs of probes that know nothing; `null` where that is not defined. Not in studies of earlier versions. */
    controls: z.object({ shuffledLabels: controlRuns, randomDirection: controlRuns }).nullable().optional(),
    /** The probe's threshold (a logit), and what it achieves on the test split. */
    threshold: z.number(),
    tpr: maybe,
    fpr: maybe,
    dPrime: maybe,
    /** Of the tracer set: each family of misbehaviour against what is honest, at the same threshold. */
    families: z.record(z.string(), z.object({ auroc: maybe, recall: maybe })).optional(),
    /** The probe that was chosen. */
    hook: z.string(),
    positions: z.string(),
    /** What it was read with behind the completion, where `positions` is `follow-up`. */
    followUp: z.string().optional(),
    kind: z.string(),
    /** AUROC on the calibration split, by layer and position. */
    sweep: z.array(z.object({ hook: z.string(), positions: z.string(), kind: z.string(), auroc: maybe })),
    /** How many completions were labelled, by split: all, and those that misbehaved or tried to (`attempted`). */
    counts: z.record(z.string(), z.object({ total: z.int(), misbehaving: z.int() })),
    /**
     * The same among those of the test split whose text, but for white space, is not in the fit split: another task may have
     * been answered alike, and of copies a probe may know the text. Not in studies of earlier versions.
     */
    unseen: z
      .object({ total: z.int(), misbehaving: z.int(), probeAuroc: maybe, textBaselineAuroc: maybe })
      .optional(),
    /** What the base model does on all held-out tasks; here `misbehaving` is what was paid for it (`misbehaved`). Not in studies of earlier versions. */
    completions: z
      .object({
        total: z.int(),
        misbehaving: z.int(),
        /** Among the tasks with several completions, the share whose proxy rewards differ; `null` without such tasks. */
        proxyVaries: share.nullable(),
      })
      .optional(),
  }),
  /** Runs that failed, and why. They are in no mean. */
  failed: z.array(z.object({ arm: z.string(), seed: z.int(), error: z.string() })).optional(),
  arms: z.record(
    z.string(),
    z.object({
      /** Where the study has a grid: the arm's own id, and the settings that its runs have by their path. */
      arm: z.string().optional(),
      point: z
        .record(z.string(), z.union([z.number(), z.string(), z.boolean(), z.array(z.string())]))
        .optional(),
      /** What was said of the arm before training, where it was expected to fail. */
      foreseen: z.string().optional(),
      runs: z.array(runSummarySchema),
      /** Means over seeds. */
      mean: runNumbersSchema.partial(),
      /** 95 % intervals over seeds (Student's t); `null` with one seed. */
      interval: z.record(z.string(), z.tuple([z.number(), z.number()]).nullable()),
      /** What was foretold of it before it was trained. Not in studies of earlier versions. */
      forecast: armForecastSchema.optional(),
      exchangeRate: z.object({
        /** Before training, as if every rollout had parameters of its own. */
        predicted: estimate,
        realised: estimate,
        covered: coverage.optional(),
      }),
    }),
  ),
});

/** The part of the summary about what was measured before training. */
export const baseSummarySchema = version2.shape.base;

/** The schema of `summary.json`. Version 1, which knew recall alone and the Atlas' classes, is read as version 2. */
export const summarySchema = z.preprocess((document) => {
  const earlier = version1.safeParse(document);
  return earlier.success ? fromVersion1(earlier.data) : document;
}, version2);

/** What of version 1 has changed its meaning since. */
const version1 = z.looseObject({
  version: z.literal(1),
  arms: z.record(
    z.string(),
    z.looseObject({
      runs: z.array(
        z.looseObject({
          misbehaviourStart: share,
          misbehaviourEnd: share,
          recallFrozenEnd: maybe,
          recallReferenceEnd: maybe,
          diagnosis: z.enum(diagnoses).nullable(),
          outcome: z.enum(atlasClasses),
        }),
      ),
      exchangeRate: z.looseObject({}),
    }),
  ),
});

/**
 * False alarms were not kept: sight is judged by recall and by the diagnosis, which knew them. The realised exchange rate was of
 * recall, and is dropped.
 */
function fromVersion1({ arms, ...rest }: z.infer<typeof version1>): unknown {
  const unknown = {
    fprFrozenEnd: null,
    fprReferenceEnd: null,
    sightFrozenEnd: null,
    sightReferenceEnd: null,
  };
  return {
    ...rest,
    version: summaryVersion,
    arms: Object.fromEntries(
      Object.entries(arms).map(([id, arm]) => [
        id,
        {
          ...arm,
          exchangeRate: { ...arm.exchangeRate, realised: null },
          runs: arm.runs.map((run) => {
            const { misbehaviourStart: start, misbehaviourEnd: end, diagnosis, outcome: atlas } = run;
            const behaviour = behaviourOf({ start, end, change: null });
            const recalls = { start: run.recallReferenceEnd, end: run.recallFrozenEnd };
            const sight = sightOf({ ...recalls, diagnosis, blind: false });
            const outcome = outcomeOf(behaviour, sight, atlas === "degenerate");
            return { ...run, ...unknown, misbehaviourChange: null, behaviour, sight, outcome, atlas };
          }),
        },
      ]),
    ),
  };
}

/** What a study came to: `summary.json`. */
export type Summary = z.infer<typeof summarySchema>;
export type RunSummary = z.infer<typeof runSummarySchema>;
export type { AtlasClass, Behaviour, Diagnosis, RunOutcome, Sight } from "../audit/types.ts";

/** The schema of a run's `status.json`. */
export const runStatusSchema = z
  .object({
    /** `stopped`: it was asked to, stands on a checkpoint, and goes on when it is started again. */
    state: z.enum(["running", "stopped", "done", "failed"]),
    step: z.int(),
    steps: z.int(),
    /** When this was written, ISO 8601. */
    updated: z.string(),
    error: z.string().optional(),
    /** Threads that computed it last. With another number, rounding differs, and so do runs. */
    threads: z.int().optional(),
    /** Signs that the training goes wrong, a sentence each. */
    warnings: z.array(z.string()).optional(),
    /** Alarms, and the step behind whose update each was raised: what reads has moved, or the text, or what was learned has moved both reading and conduct. */
    alarms: z.array(z.object({ step: z.int(), channel: z.enum(["reader", "text", "learning"]) })).optional(),
    /** What no probe sees: share of rollouts that misbehaved with none flagging them, in the run's first and last ten steps. */
    unseen: z.object({ start: z.number(), end: z.number() }).optional(),
    /** Why it was stopped, where nobody asked: it goes on only with other `training.alarms`. */
    stopped: z.literal("alarm").optional(),
  })
  .refine(({ state, step, steps }) => state !== "done" || step === steps, {
    path: ["step"],
    message: "a run that is done is at its last step",
  });

/** How far a run is: `status.json`. */
export type RunStatus = z.infer<typeof runStatusSchema>;
