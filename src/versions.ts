/** @file Where this package lies, its version and those of what it depends on, as its package.json gives them. */

import { readFileSync } from "node:fs";

interface Package {
  name: string;
  version: string;
  dependencies: Record<string, string>;
}

/** This package's version, and those of the dependencies that are named. */
export function versions(dependencies: readonly string[]): { own: string; of: Record<string, string> } {
  const { version, dependencies: all } = ownPackage().package;
  return { own: version, of: Object.fromEntries(dependencies.map((name) => [name, all[name]!])) };
}

/** The package's own folder, wherever a bundler has put this file. */
export function packageFolder(): URL {
  return ownPackage().folder;
}

/** The nearest one above this file. */
function ownPackage(folder = new URL(".", import.meta.url)): { folder: URL; package: Package } {
  try {
    const found = JSON.parse(readFileSync(new URL("package.json", folder), "utf8")) as Package;
    if (found.name === "probeward") return { folder, package: found };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT" || folder.pathname === "/") throw error;
  }
  return ownPackage(new URL("..", folder));
}
