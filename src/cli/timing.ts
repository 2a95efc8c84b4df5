/** @file How the benchmarks time a call, and round what they print. */

/** Medians of wall and processor time per call, in milliseconds. */
export interface Timed {
  ms: number;
  cpuMs: number;
}

/** Medians of `times` calls after one that is not counted. Beside others' work, processor time tells more. */
export async function timed(times: number, call: () => Promise<unknown>): Promise<Timed> {
  await call();
  const walls: number[] = [];
  const cpus: number[] = [];
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    const cpu = process.cpuUsage();
    await call();
    walls.push(performance.now() - start);
    const { user, system } = process.cpuUsage(cpu);
    cpus.push((user + system) / 1000);
  }
  return { ms: median(walls), cpuMs: median(cpus) };
}

/** Of an even number of values the upper one; sorts them. */
export function median(values: number[]): number {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

export function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
