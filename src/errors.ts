/** @file Errors that the command line tells apart by their exit status. */

/** A mistake in what the user asked for, as opposed to one in the program: exit status 2. */
export class UsageError extends Error {}

/** Work was asked to stop. It stands on a checkpoint, and goes on from there when it is started again: exit status 130 or 143. */
export class StoppedError extends Error {
  /** What asked it to. */
  signal: NodeJS.Signals = "SIGTERM";
}

/** What computes is gone: a process, its machine, or the way there. Runs stand on their checkpoints, and go on from there. */
export class LostError extends Error {}
