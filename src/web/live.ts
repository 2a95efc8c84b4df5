/** @file Follows what a server says of its studies. */

import type { StudyData, StudyListing, StudyUpdate } from "../report/data.ts";
import { applyUpdate } from "../report/update.ts";

/** Milliseconds between looks at the list of studies. */
const LIST_EVERY = 3000;

export interface StudyFollower {
  /** The study is now `change` of what it was (`undefined` at first). */
  study(change: (before: StudyData | undefined) => StudyData | undefined): void;
  /** Why there is nothing new to see. */
  problem(message: string): void;
  connected(connected: boolean): void;
}

/** Follows one study; returns what ends it. A lost connection is taken up again, and begins with everything. */
export function followStudy(id: string, follower: StudyFollower): () => void {
  const events = new EventSource(`/api/events?study=${encodeURIComponent(id)}`);
  const on = <T>(name: string, then: (data: T) => void) =>
    events.addEventListener(name, (event) => then(JSON.parse((event as MessageEvent<string>).data)));
  on<StudyData>("study", (data) => follower.study(() => data));
  on<StudyUpdate>("update", (update) =>
    follower.study((before) => (before ? applyUpdate(before, update) : before)),
  );
  on<{ message: string }>("problem", ({ message }) => follower.problem(message));
  events.onopen = () => follower.connected(true);
  events.onerror = () => {
    follower.connected(false);
    // The server answered, and not with a stream.
    if (events.readyState === EventSource.CLOSED)
      follower.problem("There is no such study here. The list of all studies has those that there are.");
  };
  return () => events.close();
}

export interface ListingFollower {
  studies(list: StudyListing[]): void;
  connected(connected: boolean): void;
}

/** Follows the list of studies; returns what ends it. */
export function followListing(follower: ListingFollower): () => void {
  let ended = false;
  const look = async () => {
    try {
      const answer = await fetch("/api/studies");
      if (ended) return;
      follower.connected(answer.ok);
      if (answer.ok) follower.studies((await answer.json()) as StudyListing[]);
    } catch {
      follower.connected(false);
    }
  };
  void look();
  const timer = setInterval(look, LIST_EVERY);
  return () => {
    ended = true;
    clearInterval(timer);
  };
}
