/** @file What the list of rollouts shows, as the part of the page's address behind `#`: a view can be sent as a link. */

import { type RolloutFilter, type Sort, sorts } from "./rollouts.ts";

/** What the list of rollouts shows. */
export interface RolloutView extends RolloutFilter {
  /** The latest steps first unless given. */
  sort?: Sort | undefined;
  /** From 1. */
  page?: number | undefined;
  /** The number within its group of the rollout that is meant. */
  rollout?: number | undefined;
}

const start = "#rollouts?";
const ranges = [
  { name: "steps", from: "firstStep", to: "lastStep" },
  { name: "score", from: "lowestScore", to: "highestScore" },
] as const;

/** For instance `#rollouts?arm=probe-loss&steps=30..40&sort=highest-score`. */
export function addressOf(view: RolloutView): string {
  const { arm, seed, label, task, text, sort, page, rollout } = view;
  const parameters = new URLSearchParams();
  const set = (name: string, value: string | number | undefined) => {
    if (value !== undefined && value !== "") parameters.set(name, String(value));
  };
  for (const [name, value] of Object.entries({ arm, seed, task, label })) set(name, value);
  for (const { name, from, to } of ranges)
    if (view[from] !== undefined || view[to] !== undefined)
      set(name, `${view[from] ?? ""}..${view[to] ?? ""}`);
  for (const [name, value] of Object.entries({ text, sort, page, rollout })) set(name, value);
  return start + parameters;
}

/** The view of an address, without what is not valid in it; `undefined` for an address of something else. */
export function viewOf(address: string): RolloutView | undefined {
  if (!address.startsWith(start)) return undefined;
  const parameters = new URLSearchParams(address.slice(start.length));
  const text = (name: string) => parameters.get(name) || undefined;
  const whole = (name: string) => (/^\d{1,15}$/.test(text(name) ?? "") ? Number(text(name)) : undefined);
  const sort = text("sort");
  const view: RolloutView = {
    ...{
      arm: text("arm"),
      seed: whole("seed"),
      task: text("task"),
      label: text("label"),
      text: text("text"),
    },
    ...{ page: whole("page"), rollout: whole("rollout") },
    sort: sort !== undefined && Object.hasOwn(sorts, sort) ? (sort as Sort) : undefined,
  };
  for (const { name, from, to } of ranges) {
    const [low = "", high = ""] = (text(name) ?? "").split("..");
    view[from] = number(low);
    view[to] = number(high);
  }
  return view;
}

function number(text: string): number | undefined {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) ? value : undefined;
}
