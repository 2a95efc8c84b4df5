/** @file Numbers in words and figures, the same everywhere on the page. */

/** Two decimals (three significant digits from 10 upwards); an en dash for what is not defined. */
export function formatNumber(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  // Adding 0 turns -0 into 0.
  const rounded = Math.round(value * 100) / 100 + 0;
  return Math.abs(rounded) < 10 ? rounded.toFixed(2) : rounded.toPrecision(3);
}

/** The same with a sign, which zero has none of: `+1.30`, `−0.40`. */
export function formatSigned(value: number): string {
  const text = formatNumber(Math.abs(value));
  if (Number(text) === 0) return text;
  return `${value < 0 ? "−" : "+"}${text}`;
}

/** A time in the largest units that people use for it: `42 s`, `3 min 12 s`, `2 h 5 min`. */
export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** `1 run`, `5 runs`. */
export function formatCount(count: number, noun: string, plural = `${noun}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : plural}`;
}

/** How long ago: `now`, `12 s ago`, `3 min ago`, `5 h ago`, `2 d ago`. */
export function formatAgo(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  if (seconds < 3) return "now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
