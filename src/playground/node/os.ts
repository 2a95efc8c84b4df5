/** @file `node:os` for a browser: what it tells of the machine. */

import { ON_GPU } from "../compute.ts";
import { browserName } from "./browser-name.ts";

export const hostname = () => "browser";
export const availableParallelism = () => navigator.hardwareConcurrency ?? 1;
export const cpus = () => [
  { model: `${self.name === ON_GPU ? "WebGPU" : "WebAssembly"} in ${browserName()}` },
];
export const platform = () => "browser";
export const release = () => browserName();
/** In bytes; Chromium tells it roughly, others do not. */
export const totalmem = () => ((navigator as { deviceMemory?: number }).deviceMemory ?? 0) * 2 ** 30;
export const tmpdir = () => "/tmp";
export const homedir = () => "/";
