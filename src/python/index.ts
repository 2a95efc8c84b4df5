/** @file What others may use of Python files. */

export { PythonFile } from "./file.ts";
export type { Rows } from "./frame.ts";
export { pythonOf } from "./interpreter.ts";
