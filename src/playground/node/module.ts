/** @file `node:module` for a browser: where files of other packages are. */

import { PACKAGE } from "./package.ts";

export const createRequire = () => ({ resolve: (name: string) => `${PACKAGE}/node_modules/${name}` });
