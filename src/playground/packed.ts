/** @file Files of the site, as a server gives them, and those that are compressed in the site itself. */

/** @param address of `file?packed`, or of a file as it is @throws Error where it cannot be had */
export async function fetchPacked(address: string): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await fetch(address).catch((error: Error) => {
    throw new Error(`${address} cannot be had: ${error.message}. Is there a connection?`);
  });
  if (!answer.ok) throw new Error(`${address} cannot be had: the server answers ${answer.status}.`);
  const { body } = address.endsWith(".packed")
    ? new Response(answer.body!.pipeThrough(new DecompressionStream("gzip")))
    : answer;
  return new Uint8Array(await new Response(body).arrayBuffer());
}
