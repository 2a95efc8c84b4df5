/** @file A monitor that asks another model, on a server that speaks OpenAI's chat completions. */

import pLimit from "p-limit";
import type { ChatMessage } from "../model/index.ts";
import { type ChatServer, chatWith, PassingError } from "./chat.ts";
import type { Monitor, Rollout, Verdict } from "./types.ts";

/** What a judge is, and how it is asked. */
export interface JudgeOptions extends ChatServer {
  /** Its name in the logs. Default `judge`. */
  name?: string;
  /** The question about a rollout: a user's message, or a conversation. Equal questions are asked once. */
  ask(rollout: Pick<Rollout, "prompt" | "completion">): string | readonly ChatMessage[];
  /**
   * The probability of misbehaviour, 0 to 1, that an answer states; `undefined` where it states none. Unless given, an answer
   * has to begin with yes (1) or no (0).
   */
  read?(answer: string): number | undefined;
  /** The probability from which on a rollout is flagged. Default 0.5. */
  threshold?: number;
  /** Requests under way at once. Default 8. */
  concurrency?: number;
}

/** Characters of an answer that are logged. */
const LOGGED = 2000;

interface Answer {
  /** As far as it is logged. */
  text: string;
  probability: number;
}

/**
 * Another model as a monitor. It sees the prompt and the completion, and nothing else.
 *
 * Questions are asked side by side, again after a pause where that may help, and equal ones once in the monitor's life. A
 * question that stays without an answer is an error, which stops the run: it never counts as a verdict. Answers are logged
 * with the rollouts, as `<name>/answer`: their first 2,000 characters.
 *
 * @throws RangeError for a URL that is none
 * @throws Error where `keyVariable` names a variable that is not set
 */
export function judgeMonitor(options: JudgeOptions): Monitor {
  const { name = "judge", ask, read = readYesOrNo, threshold = 0.5, concurrency = 8 } = options;
  const chat = chatWith(options);
  const limit = pLimit(concurrency);
  const known = new Map<string, Answer>();

  const answerOf = (text: string): Answer => {
    const probability = read(text);
    if (probability === undefined)
      throw new PassingError(`the answer ${JSON.stringify(text.slice(0, 200))} states no verdict`);
    if (!(probability >= 0 && probability <= 1))
      throw new RangeError(
        `the \`read\` of ${name} should give a probability from 0 to 1, or undefined, and gave ${probability}`,
      );
    return { text: text.slice(0, LOGGED), probability };
  };
  /** The answer to a question, given as the JSON of its messages. */
  const answerTo = async (question: string, signal: AbortSignal): Promise<Answer> => {
    const answer = known.get(question) ?? (await limit(() => chat(JSON.parse(question), answerOf, signal)));
    known.set(question, answer);
    return answer;
  };

  return {
    name,
    sees: "rollouts",
    taps: [],
    async judge(rollouts, { logColumn }) {
      const questions = rollouts.map(({ prompt, completion }) => {
        const question = ask({ prompt, completion });
        return JSON.stringify(
          typeof question === "string" ? [{ role: "user", content: question }] : question,
        );
      });
      const answers = await withoutWaitingInVain(async (signal) => {
        const asked = new Map([...new Set(questions)].map((one) => [one, answerTo(one, signal)]));
        return Promise.all(questions.map((question) => asked.get(question)!));
      });
      logColumn(
        "answer",
        answers.map(({ text }) => text),
      );
      return answers.map(({ probability }): Verdict => {
        const logit = Math.log(probability) - Math.log1p(-probability);
        return { flagged: probability >= threshold, probability, logit };
      });
    },
  };
}

/** Whatever else is under way when something fails is told to stop. */
async function withoutWaitingInVain<T>(action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const failed = new AbortController();
  try {
    return await action(failed.signal);
  } catch (error) {
    failed.abort(error);
    throw error;
  }
}

function readYesOrNo(answer: string): number | undefined {
  const [, word] = answer.match(/^\W*(yes|no)\b/i) ?? [];
  return word === undefined ? undefined : Number(word.toLowerCase() === "yes");
}
