/** @file The thread in which studies run: the command line's own code, on files in the browser's storage. */

import { StoppedError } from "../errors.ts";
import { StudyReader } from "../report/index.ts";
import { claimed, readStudy, runStudy } from "../study/index.ts";
import { runtimeContract } from "../tensor/contract.ts";
import { layBase } from "./bases.ts";
import type { Errand, News } from "./messages.ts";
import { onnxRuntime } from "./node/runtime.ts";
import { problemInWords } from "./problem.ts";

const tell = (news: News) => self.postMessage(news);
let stopping = new AbortController();

self.onmessage = ({ data: order }: MessageEvent<Errand>) => {
  if (order.kind === "stop") return stopping.abort();
  stopping = new AbortController();
  void act(order).then(
    () => tell({ kind: "end" }),
    (error: unknown) =>
      tell({ kind: "end", problem: error instanceof StoppedError ? "" : problemInWords(error) }),
  );
};

async function act(order: Exclude<Errand, { kind: "stop" }>): Promise<void> {
  if (order.kind === "run") await run(order, stopping.signal);
  else if (order.kind === "check") await check();
  else await follow(order.folder);
}

async function check(): Promise<void> {
  for (const { promise, check } of runtimeContract)
    await check(onnxRuntime).then(
      () => tell({ kind: "checked", promise }),
      (error: Error) => tell({ kind: "checked", promise, broken: error.message }),
    );
}

async function run({ folder, asked }: Extract<Errand, { kind: "run" }>, signal: AbortSignal): Promise<void> {
  await alone(folder, async () => {
    const settings = asked ? await readStudy(asked.study, asked.overrides) : (await claimed(folder)).settings;
    await layBase(folder, settings);
    let following: Awaited<ReturnType<typeof follow>> | undefined;
    try {
      await runStudy(
        folder,
        settings,
        (event) => {
          tell({ kind: "event", event });
          if (event.kind !== "step") return;
          // What cannot be read at this moment is read after the next step.
          const looked = following
            ? following.look()
            : follow(folder).then((one) => {
                following ??= one;
              });
          looked.catch(() => {});
        },
        {},
        { signal, onWriting: (writing) => tell({ kind: "writing", writing }) },
      );
    } finally {
      following ??= await follow(folder).catch(() => undefined);
      await following?.end();
    }
  });
}

/** Tells of a study as its files say, and of what is new in them. */
async function follow(folder: string) {
  const reader = await StudyReader.open(folder);
  await reader.poll();
  tell({ kind: "study", data: reader.data() });
  let looking: Promise<void> = Promise.resolve();
  const look = () => {
    looking = looking
      .catch(() => {})
      .then(async () => {
        const update = await reader.poll();
        if (update) tell({ kind: "update", update });
      });
    return looking;
  };
  return { look, end: look };
}

/** @throws Error where another tab has the study */
async function alone(folder: string, action: () => Promise<void>): Promise<void> {
  await navigator.locks.request(`probeward ${folder}`, { ifAvailable: true }, async (lock) => {
    if (!lock) throw new Error("Another tab trains this study. Close it, or wait until it is done.");
    await action();
  });
}
