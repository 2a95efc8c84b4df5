/** @file TensorBoard's event files: one folder of logs per run, all metrics as scalars. */

import { join } from "node:path";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { writeWhole } from "../files.ts";
import type { StepMetrics } from "../store/index.ts";

import { crc32c } from "./crc32c.ts";
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
 * A file of events. Lines have no time of day, so each gets the one that follows from the last writing and the steps' own durations.
 *
 * @param written when the last line was written, in milliseconds since 1970
 */
export function eventFile(metrics: readonly StepMetrics[], written: number): Uint8Array {
  const duration = (line: StepMetrics) => line.step_time ?? 0;
  let time = written / 1000 - metrics.reduce((sum, line) => sum + duration(line), 0);
  const records = [
    record(event(time, (writer) => writer.tag(3, WireType.LengthDelimited).string("brain.Event:2"))),
  ];
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
