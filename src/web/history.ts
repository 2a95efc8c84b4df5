/** @file Keeps the page's address and the view of its rollouts the same, so that links, reloading and Back work. */

import { addressOf, type RolloutView, viewOf } from "./address.ts";

export interface Address {
  /**
   * Shows a view, as a new entry of the history.
   *
   * @param field the field that is being typed into: all of its letters are one entry
   */
  go(view: RolloutView, field?: string): void;
  stop(): void;
}

/**
 * Every entry of the history carries its view. One without has just been made, by a link: to a view, or to another part of
 * the page, which leaves the view as it is.
 *
 * @param show told of every view, and whether a link led to it
 */
export function followAddress(show: (view: RolloutView, linked: boolean) => void): Address {
  let view: RolloutView = {};
  let typing: string | undefined;
  const arrive = (event?: PopStateEvent) => {
    const linked = viewOf(location.hash);
    const fresh = history.state === null;
    view = linked ?? (history.state as RolloutView | null) ?? view;
    if (fresh) history.replaceState(view, "");
    typing = undefined;
    // A page that is loaded again begins at its top.
    show(view, linked !== undefined && (fresh || event === undefined));
  };
  arrive();
  window.addEventListener("popstate", arrive);
  return {
    go(next, field) {
      view = next;
      if (field !== undefined && field === typing) history.replaceState(view, "", addressOf(view));
      else history.pushState(view, "", addressOf(view));
      typing = field;
      show(view, false);
    },
    stop: () => window.removeEventListener("popstate", arrive),
  };
}

/** Leads to a view as a link to it does, also where the page is there already. */
export function open(address: string): void {
  history.pushState(null, "", address);
  window.dispatchEvent(new PopStateEvent("popstate"));
}
