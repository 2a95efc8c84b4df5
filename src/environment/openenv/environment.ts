/** @file An environment whose tasks, and whose reward, are an OpenEnv server's. */

import { basename, extname } from "node:path";
import pLimit from "p-limit";
import pRetry from "p-retry";
import { pick } from "../../random.ts";
import type { Environment, Episodes, Outcome, Split, Task } from "../types.ts";
import { type EpisodeRecord, type Grade, type Grader, gradeOf, loadGrader } from "./grader.ts";
import type { Fields, Observed } from "./messages.ts";
import { OpenEnvRefusal, openSession, type Session } from "./session.ts";
import type { OpenEnvSettings } from "./settings.ts";

/** What a task is to the server. */
interface Seeded {
  seed: number;
}

/** An outcome as far as server and grader tell it. */
type OpenOutcome = Grade & Pick<Outcome, "proxy">;

/** What `completed` makes an environment of. */
type OpenEnvEnvironment = Pick<
  Environment<Seeded>,
  "name" | "maxPromptLength" | "maxCompletionLength" | "sample" | "close"
> &
  Pick<Grader, "labels" | "families"> & {
    grade(tasks: Task<Seeded>[], completions: string[]): Promise<OpenOutcome[]>;
    episodes?: Omit<Episodes<Seeded>, "begin"> & {
      begin(
        task: Task<Seeded>,
      ): Promise<{ step(turn: string): Promise<string | null>; end(): Promise<OpenOutcome> }>;
    };
  };

/** The tasks' splits in turn: half of them are trained on. */
const SPLITS: readonly Split[] = ["train", "fit", "train", "calibration", "train", "fit", "train", "test"];
/** Episodes, one after the other, that may end because the server cannot take what the model wrote. */
const FAILURES = 64;
/** Times that a session is asked for again where a server has no room yet: another one's end takes it a moment. */
const RETRIES = 5;

/**
 * Connects to a server, opens as many sessions as it has room for and the settings want, and asks for the tasks.
 *
 * @throws Error where there is no server, or it does not answer as it should
 * @throws ModuleError where there is no grader
 */
export async function connectOpenEnv(settings: OpenEnvSettings): Promise<OpenEnvEnvironment> {
  const { grader: path, timeout, turns, sessions: most } = settings;
  const grader = await loadGrader(path);
  const words = wordsOf(settings, grader);
  const open = () => openSession(settings.openenv, timeout * 1000);
  const free = await openAll(open, most);
  const atOnce = free.length;
  const all = new Set(free);
  /** A server may have ended what was idle. */
  const take = async (): Promise<Session> => {
    const session = free.pop();
    if (!session) throw new Error(`${settings.openenv}: no session is free: ${atOnce} episodes are open`);
    if (session.isOpen) return session;
    all.delete(session);
    const fresh = await pRetry(open, { retries: RETRIES }).catch((error: Error) => {
      free.push(session);
      throw error;
    });
    all.add(fresh);
    return fresh;
  };
  const close = async () => {
    await Promise.all([...all].map((session) => session.close()));
  };

  async function episode(seed: number) {
    const session = await take();
    try {
      const first = await session.reset({ ...settings.reset, seed });
      return { session, first, prompt: words.prompt(first.observation) };
    } catch (error) {
      free.push(session);
      throw error;
    }
  }

  let failures = 0;
  async function begin({ prompt, state: { seed } }: Task<Seeded>) {
    const { session, first, prompt: now } = await episode(seed);
    if (now !== prompt) {
      free.push(session);
      throw new Error(
        `${settings.openenv}: a reset with the seed ${seed} began with ${quoted(now)}, and not with ${quoted(prompt)} as before. Rollouts of a group have to do one task: let the server draw all that it draws from the seed`,
      );
    }
    const record = {
      seed,
      prompt,
      turns: [],
      observations: [first.observation],
      rewards: [],
      done: first.done,
    };
    const soFar: Omit<EpisodeRecord, "proxy" | "state"> = record;
    return {
      async step(turn: string): Promise<string | null> {
        soFar.turns.push(turn);
        let result: Observed;
        try {
          result = await session.step(words.action(turn));
        } catch (error) {
          // What a model wrote may be nothing that the server can take: that is an outcome.
          if (!(error instanceof OpenEnvRefusal)) throw error;
          soFar.error = error.message;
          if (++failures >= FAILURES)
            throw new Error(`${error.message}. So ended ${failures} episodes, one after the other`);
          return null;
        }
        failures = 0;
        soFar.observations.push(result.observation);
        soFar.rewards.push(result.reward);
        soFar.done = result.done;
        return result.done ? null : words.reply(result.observation);
      },
      async end(): Promise<OpenOutcome> {
        try {
          const state = await session.state().catch((error: Error) => {
            if (error instanceof OpenEnvRefusal) return {};
            throw error;
          });
          const proxy = proxyOf(soFar, settings);
          const grade = await gradeOf(grader, { ...soFar, proxy, state }, path);
          return { ...(soFar.error !== undefined && { note: soFar.error }), ...grade, proxy };
        } finally {
          free.push(session);
        }
      },
    };
  }

  const limit = pLimit(atOnce);
  try {
    const tasks = Array.from({ length: settings.tasks }, (_, seed) =>
      limit(async (): Promise<Task<Seeded>> => {
        const { session, prompt } = await episode(seed);
        free.push(session);
        if (prompt.length > settings.maxPromptLength)
          throw new Error(
            `${settings.openenv}: the prompt of seed ${seed} has ${prompt.length} characters; environment.maxPromptLength is ${settings.maxPromptLength}`,
          );
        return { id: `seed ${seed}`, prompt, state: { seed } };
      }),
    );
    const bySplit = splitUp(await Promise.all(tasks));
    return {
      name: basename(path, extname(path)),
      maxPromptLength: settings.maxPromptLength,
      maxCompletionLength: settings.maxCompletionLength,
      ...(grader.labels && { labels: grader.labels }),
      ...(grader.families && { families: grader.families }),
      sample: (split, random) => pick(random, bySplit[split]),
      grade: (asked, completions) =>
        Promise.all(
          asked.map((task, i) =>
            limit(async () => {
              const one = await begin(task);
              await one.step(completions[i]!).catch(async (error) => {
                await one.end().catch(() => {});
                throw error;
              });
              return one.end();
            }),
          ),
        ),
      ...(turns > 1 && { episodes: { turns, atOnce, begin } }),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** As many sessions as there is room for, at least one. */
async function openAll(open: () => Promise<Session>, most: number): Promise<Session[]> {
  const sessions = [await pRetry(open, { retries: RETRIES, shouldRetry: ({ error }) => isFull(error) })];
  while (sessions.length < most) {
    try {
      sessions.push(await open());
    } catch (error) {
      if (isFull(error as Error)) break;
      await Promise.all(sessions.map((session) => session.close()));
      throw error;
    }
  }
  return sessions;
}

function isFull(error: Error): boolean {
  return error instanceof OpenEnvRefusal && error.code === "CAPACITY_REACHED";
}

/** From observations to what the model reads, and from what it writes to actions. */
function wordsOf(settings: OpenEnvSettings, grader: Grader) {
  const { openenv, observation: shown, action: taken } = settings;
  const show = (observation: Fields) => {
    if (grader.text) return grader.text(observation);
    const value = shown === undefined ? undefined : observation[shown];
    if (value === undefined || value === null)
      throw new Error(
        `${openenv}: name the field of an observation that the model is to read as environment.observation${shown === undefined ? "" : `, which is ${shown}`}; there are: ${Object.keys(observation).join(", ")}. Or give the grader a \`text\``,
      );
    return typeof value === "string" ? value : JSON.stringify(value);
  };
  const within = (template: string) => (observation: Fields) =>
    template.replaceAll("{observation}", () => show(observation));
  return {
    prompt: within(settings.prompt),
    reply: within(settings.reply),
    action(turn: string): Fields {
      if (grader.action) return grader.action(turn);
      if (taken !== undefined) return { [taken]: turn };
      throw new Error(
        `${openenv}: name the field of an action that takes what the model writes as environment.action, or give the grader an \`action\``,
      );
    },
  };
}

/** The sum of the rewards, from 0 to 1; an episode that the server could not go on with is paid least. */
function proxyOf(
  { rewards, seed, error }: Pick<EpisodeRecord, "rewards" | "seed" | "error">,
  { rewards: [low, high], openenv }: OpenEnvSettings,
): number {
  if (error !== undefined) return 0;
  const sum = rewards.reduce<number>((total, reward) => total + (reward ?? 0), 0);
  const proxy = (sum - low) / (high - low);
  if (proxy >= -1e-9 && proxy <= 1 + 1e-9) return Math.min(1, Math.max(0, proxy));
  throw new Error(
    `${openenv}: an episode of seed ${seed} was paid ${sum} in all; environment.rewards is [${low}, ${high}]`,
  );
}

/**
 * Tasks by split. Those of one prompt are of one split, unless there are too few prompts for that: games begin alike, and
 * what differs is hidden.
 */
function splitUp(tasks: readonly Task<Seeded>[]): Record<Split, Task<Seeded>[]> {
  const prompts = [...new Set(tasks.map(({ prompt }) => prompt))];
  const place = new Map(prompts.map((prompt, i) => [prompt, i]));
  const bySplit: Record<Split, Task<Seeded>[]> = {
    ...{ pretrain: [...tasks], train: [], fit: [], calibration: [], test: [] },
  };
  tasks.forEach((task, i) => {
    const turn = prompts.length < SPLITS.length ? i : place.get(task.prompt)!;
    bySplit[SPLITS[turn % SPLITS.length]!].push(task);
  });
  return bySplit;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
