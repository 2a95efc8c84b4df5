/** @file What this browser is called. */

/** A name with its main version, such as `Firefox 153`. */
export function browserName(agent = navigator.userAgent): string {
  // Each claims to be those after it.
  for (const name of ["Firefox", "Edg", "Chrome", "Version"]) {
    const version = new RegExp(`${name}/(\\d+)`).exec(agent)?.[1];
    if (version) return `${{ Edg: "Edge", Version: "Safari" }[name] ?? name} ${version}`;
  }
  return "a browser";
}
