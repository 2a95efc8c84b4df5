/** @file GPT-2's characters for bytes: printable ones stand for themselves, the others for those from U+0100 on. */

const printable = (byte: number) =>
  (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte < 0xad) || byte > 0xad;

const others = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !printable(byte));

/** The character of each byte. */
export const byteCharacters: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(printable(byte) ? byte : 0x100 + others.indexOf(byte)),
);

/** The byte of each character. */
export const characterBytes: ReadonlyMap<string, number> = new Map(
  byteCharacters.map((character, byte) => [character, byte]),
);
