/** @file Numbers in words and figures, the same everywhere on the page. */

/** Two decimals (three significant digits from 10 upwards); an en dash for what is not defined. */
export function formatNumber(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  // Adding 0 turns -0 into 0.
  const rounded = Math.round(value * 100) / 100 + 0;
  return Math.abs(rounded) < 10 ? rounded.toFixed(2) : rounded.toPrecision(3);
}

/** A time in the largest units that people use for it: `42 s`, `3 min 12 s`, `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `1 run`, `5 runs`. */
export function formatCount(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
