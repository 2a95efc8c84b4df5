/** @file How many groups of devices hold all weights each, where nobody says: one for each machine, where its memory is enough. */

import type { DevicesInfo } from "../runtime.ts";

/** The share of a group's memory that weights may take, with their gradients and moments: batches and caches have the rest. */
const FOR_WEIGHTS = 1 / 2;

/**
 * A group for each machine has no weights sent between machines, where links are a tenth as fast as within one.
 *
 * @param machines on which the devices are, as many on each
 * @param kept bytes of all weights with gradients and moments, in each group
 * @returns 1 where the memory is not known, or does not hold them
 */
export function deviceGroups(machines: number, { count, memory }: DevicesInfo, kept: number): number {
  const divides = count % machines === 0;
  return divides && memory !== undefined && machines * kept <= FOR_WEIGHTS * memory ? machines : 1;
}
