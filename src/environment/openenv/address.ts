/** @file Where an OpenEnv server is. */

/** The WebSocket of a server that is named by `ws://`, `wss://`, `http://` or `https://`. @throws RangeError for anything else */
export function serverAddress(url: string): string {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (!parsed || !/^(ws|http)s?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.password !== "")
    throw new RangeError(`${JSON.stringify(url)} is no address of a server, such as ws://127.0.0.1:8000`);
  const path = parsed.pathname.replace(/\/+$/, "");
  return `${parsed.protocol.replace(/^http/, "ws")}//${parsed.host}${path.endsWith("/ws") ? path : `${path}/ws`}`;
}
