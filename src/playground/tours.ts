/** @file Guided tours: settings that show one thing each, what to look for, and a change of the visitor's own at the end. */

import { type Controls, defaultsOf } from "./controls.ts";

export interface Tour {
  id: string;
  title: string;
  /** What is about to be shown. */
  about: string;
  controls: Controls;
  /** What to look for while it runs, one thing after the other. */
  steps: readonly string[];
  /** The visitor's own run, with the controls that it is about. */
  own: string;
}

export const tours: readonly Tour[] = [
  {
    id: "reward",
    title: "The probe in the reward",
    about:
      "A model is paid for passing tests and learns to cheat. A linear probe on its activations knows cheating; what it flags loses its pay.",
    controls: { ...defaultsOf("code"), arms: ["none", "probe-penalty"] },
    steps: [
      "Misbehaviour: without an intervention it takes over within some twenty steps. With the probe in the reward it should stay rare.",
      "Recall: the probe's share of cheating that it still finds, on labelled sequences that never change. It should hold: no gradient has flowed through the probe.",
      "Rollouts: colour is the probe's reading at each character, on the model in training and on the frozen copy of its start. The two should look alike.",
    ],
    own: "Now yours: hide one kind of cheating from the probe (What the probe has seen), and see where the model goes.",
  },
  {
    id: "loss",
    title: "The probe in the loss",
    about:
      "The same probe, added to the loss. Gradient descent is now free to change what the probe reads in place of what the model does.",
    controls: { ...defaultsOf("code"), arms: ["none", "probe-penalty", "probe-loss"] },
    steps: [
      "The probe's reading falls at once in the arm with the probe in the loss: the monitor goes quiet.",
      "Misbehaviour does not fall with it. The curves of recall and of misbehaviour part: the probe has been made blind.",
      "The diagnosis in the table says how: a shift of the activations (translation), another direction (rotation), or nothing left to find (erasure).",
    ],
    own: "Now yours: read at another layer, or pull more gently (Strength in the loss). Is there a setting that makes the model better?",
  },
  {
    id: "small",
    title: "Too small a penalty",
    about:
      "The probe in the reward again, with a penalty that leaves cheating worth more than failing honestly.",
    controls: { ...defaultsOf("code"), arms: ["none", "probe-penalty"], penalty: 0.6 },
    steps: [
      "Before anything is trained, the sum is printed: what a cheating rollout is worth after the penalty, and what an honest failure is.",
      "Misbehaviour comes all the same, later: a penalty that is too small only delays it.",
      "Reward: it rises in both arms, and says nothing of which is the better model.",
    ],
    own: "Now yours: raise the penalty just above the number in the warning, and run again.",
  },
];
