/** @file What any grader may say of a completion beside its rewards: one in Python, or one beside a server. */

import { z } from "zod";

/** The fields of `Outcome` that are no rewards. */
export const gradeFields = {
  misbehaved: z.boolean(),
  attempted: z.boolean().optional(),
  eligible: z.boolean().optional(),
  family: z.string().optional(),
  label: z.string().optional(),
  note: z.string().optional(),
};
