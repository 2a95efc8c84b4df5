/** @file TensorBoard's event files: one folder of logs per run, all metrics as scalars; made of what is there, or as a run goes on. */

import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { withFile, writeWhole } from "../files.ts";
import type { StepMetrics } from "../store/index.ts";

import { crc32c } from "./crc32c.ts";
import type { LiveRun } from "./live.ts";
import { type RecordedStudy, readRecordedRun } from "./read.ts";

/** Always the same, so that a second export replaces the first. TensorBoard looks for `tfevents` in the name. */
const FILE = "events.out.tfevents.0.probeward";

/** Writes `<out>/<arm>/seed-<n>/` for every run; returns the paths of the files. */
export async function exportTensorboard(study: RecordedStudy, out: string): Promise<string[]> {
  const paths: string[] = [];
  for (const folder of study.runs) {
    const { arm, seed, metrics, written } = await readRecordedRun(study, folder);
    const target = join(out, arm, `seed-${seed}`);
    paths.push(join(target, FILE));
    await writeWhole(paths.at(-1)!, eventFile(metrics, written));
  }
  return paths;
}

/**
 * Event files that grow with a study, in its folder `tensorboard`. Each sitting writes files of its own, whole from the first
 * step on, which take the place of what earlier ones held: a resumed run does some steps again.
 */
export function liveTensorboard(study: string) {
  return async ({ arm, seed }: LiveRun) => {
    const folder = join(study, "tensorboard", arm, `seed-${seed}`);
    const path = join(folder, `events.out.tfevents.${Date.now()}.probeward`);
    return {
      async begin(lines: readonly StepMetrics[]) {
        await writeWhole(path, eventFile(lines, Date.now(), { restart: true }));
      },
      async add(line: StepMetrics) {
        const bytes = record(event(Date.now() / 1000, (writer) => scalars(writer, line)));
        await withFile("write", path, () => appendFile(path, bytes));
      },
      async end() {},
    };
  };
}

/**
 * A file of events. Lines have no time of day, so each gets the one that follows from the last writing and the steps' own durations.
 *
 * @param written when the last line was written, in milliseconds since 1970
 * @param restart whether readers are to forget what earlier files of the folder say
 */
export function eventFile(
  metrics: readonly StepMetrics[],
  written: number,
  { restart = false } = {},
): Uint8Array {
  const duration = (line: StepMetrics) => line.step_time ?? 0;
  let time = written / 1000 - metrics.reduce((sum, line) => sum + duration(line), 0);
  const records = [
    record(event(time, (writer) => writer.tag(3, WireType.LengthDelimited).string("brain.Event:2"))),
  ];
  if (restart) records.push(record(event(time, started)));
  for (const line of metrics) {
    time += duration(line);
    records.push(record(event(time, (writer) => scalars(writer, line))));
  }
  return Buffer.concat(records);
}

/** `message Event { double wall_time = 1; int64 step = 2; string file_version = 3; Summary summary = 5; }` */
function event(time: number, content: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.Bit64).double(time);
  content(writer);
  return writer.finish();
}

/** `message Event { SessionLog session_log = 7; }`, `message SessionLog { enum SessionStatus status = 1; }`, of which 1 is START. */
function started(writer: BinaryWriter): void {
  writer.tag(2, WireType.Varint).int64(0);
  writer.tag(7, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int32(1).join();
}

/** `message Summary { repeated Value value = 1; }`, `message Value { string tag = 1; float simple_value = 2; }` */
function scalars(writer: BinaryWriter, { step, ...values }: StepMetrics): void {
  writer.tag(2, WireType.Varint).int64(step);
  writer.tag(5, WireType.LengthDelimited).fork();
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== "number") continue;
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(name);
    writer.tag(2, WireType.Bit32).float(value);
    writer.join();
  }
  writer.join();
}

/** A TFRecord: length (uint64), its masked checksum, the data, their masked checksum; all little-endian. */
function record(data: Uint8Array): Buffer {
  const header = Buffer.alloc(12);
  header.writeBigUInt64LE(BigInt(data.length), 0);
  header.writeUInt32LE(masked(crc32c(header.subarray(0, 8))), 8);
  const footer = Buffer.alloc(4);
  footer.writeUInt32LE(masked(crc32c(data)), 0);
  return Buffer.concat([header, data, footer]);
}

/** TFRecord's mask, so that a checksum of data that hold checksums stays a good one. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
