/** @file A plan as text. */

import { exchangeRates } from "./peaks.ts";
import { gigabytes } from "./plan-advice.ts";
import { type Plan, type PlannedPart, planParts } from "./plan-types.ts";

/** The plan for people. */
export function planInWords(plan: Plan): string {
  const { model, devices, memory, rollouts, dtype, arm, environment, step, total, evaluation } = plan;
  const { count, name, data } = devices;
  const { within, outside } = exchangeRates(devices, count, data);
  const beyond = outside < within ? ` (${bytes(outside)} to those of other machines)` : "";
  const groups = data > 1 ? `, in ${data} groups` : "";
  const tokens = `${rollouts.prompts} prompts of ${rollouts.promptTokens} tokens, ${rollouts.each} completions of ${rollouts.completionTokens} each`;
  const kinds = Object.entries(memory.kinds).filter(([, bytes]) => bytes > 0);
  const column = (cells: readonly string[]) =>
    cells[0]!.padEnd(26) +
    cells
      .slice(1)
      .map((cell) => cell.padStart(15))
      .join("");
  const row = (what: string, part: PlannedPart) =>
    column([
      what,
      short(part.operations),
      bytes(part.movedAtLeast),
      bytes(part.moved),
      bytes(part.exchanged),
      seconds(part.secondsAtLeast),
    ]);
  return [
    `${model.name}: ${short(model.weights)} weights, of which or beside which ${short(model.trained)} are trained; ${environment}, arm ${arm}`,
    `${count} x ${name}${groups}, ${dtype}; ${tokens}`,
    "",
    `Memory of each device, at the highest (${memory.during}):`,
    ...kinds.map(([kind, bytes]) => `  ${kind.padEnd(14)}${gigabytes(bytes).padStart(10)}`),
    `  ${"all".padEnd(14)}${gigabytes(memory.total).padStart(10)} of ${gigabytes(devices.memory)}: ${memory.fits ? "fits" : "DOES NOT FIT"}`,
    "",
    "A step, of each device:",
    column(["", "operations", "moved at least", "moved", "exchanged", "at least"]),
    ...planParts.map((part) => row(part, step[part])),
    row("all", total),
    row("where it is evaluated, more", evaluation),
    "",
    `Times are at the peaks of ${devices.source}: ${short(devices.operations[dtype])} operations, ${bytes(devices.bandwidth)} of memory and ${bytes(within)} to other devices a second${beyond}, all at once. What was measured took three times as long and more.`,
    "Completions are taken to be as long as they may. Operations and bytes are those that XLA counts in programs for a CPU, which sends bfloat16 as float32: a GPU exchanges down to half of it.",
    ...(plan.advice.length > 0 ? ["", "What to change:", ...plan.advice.map((one) => `- ${one}`)] : []),
  ].join("\n");
}

/** A large number to three digits. */
function short(value: number): string {
  const units = ["", " thousand", " million", " billion", "e12", "e15", "e18"];
  const power = value > 0 ? Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(value) / 3))) : 0;
  return `${Number((value / 1000 ** power).toPrecision(3))}${units[power]}`;
}

function bytes(value: number): string {
  if (value >= 1e12) return `${Number((value / 1e12).toPrecision(3))} TB`;
  return gigabytes(value);
}

function seconds(value: number): string {
  return value >= 1 ? `${Number(value.toPrecision(3))} s` : `${Number((1000 * value).toPrecision(2))} ms`;
}
