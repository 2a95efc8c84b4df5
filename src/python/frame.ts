/** @file Frames: a call as a line of JSON with raw arrays behind it; an answer as a line of JSON. */

import { z } from "zod";

/** The form of frames and calls; both sides refuse to go on where it differs. */
export const PYTHON_PROTOCOL = 1;

/** The longest line, in bytes. */
const LONGEST = 2 ** 28;

/** Rows of numbers that go with a call. */
export interface Rows {
  name: string;
  /** Row after row, all of one width. */
  data: Float32Array;
  count: number;
}

/** A call. */
export interface PythonCall {
  id: number;
  call: string;
  with: object;
  arrays: readonly Rows[];
}

/** The bytes of a call, piece by piece: float32, in the order of this machine, which is little-endian. */
export function framePieces({ arrays, ...call }: PythonCall): Uint8Array[] {
  const described = arrays.map(({ name, data, count }) => ({
    name,
    shape: [count, count === 0 ? 0 : data.length / count],
  }));
  return [
    Buffer.from(`${JSON.stringify({ ...call, arrays: described })}\n`),
    ...arrays.map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength)),
  ];
}

const answerSchema = z.union([
  z.strictObject({ id: z.int(), value: z.unknown() }),
  z.strictObject({
    id: z.int(),
    error: z.strictObject({ message: z.string(), line: z.int().nullable(), traceback: z.string() }),
  }),
]);

/** What is answered to the call of that number. */
export type PythonAnswer = z.infer<typeof answerSchema>;

/** Puts answers together from the chunks in which a pipe brings them. */
export class AnswerReader {
  #chunks: Uint8Array[] = [];
  #length = 0;

  /** The answers that a chunk completes. @throws Error where something else came */
  push(chunk: Uint8Array): PythonAnswer[] {
    const answers: PythonAnswer[] = [];
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      answers.push(answerOf(Buffer.concat([...this.#chunks, chunk.subarray(start, end)])));
      this.#chunks = [];
      this.#length = 0;
      start = end + 1;
    }
    this.#length += chunk.length - start;
    if (this.#length > LONGEST) throw new Error(`a line of more than ${LONGEST} bytes`);
    if (start < chunk.length) this.#chunks.push(chunk.subarray(start));
    return answers;
  }
}

function answerOf(line: Buffer): PythonAnswer {
  const refused = (what: string) => new Error(`${what}: ${JSON.stringify(line.toString("latin1", 0, 100))}`);
  let read: unknown;
  try {
    read = JSON.parse(line.toString());
  } catch {
    throw refused("a line that is not JSON");
  }
  const answer = answerSchema.safeParse(read);
  if (!answer.success) throw refused("a line that is no answer");
  return answer.data;
}
