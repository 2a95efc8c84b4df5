/** @file Text that others wrote, as it is shown on a terminal. */

/**
 * A text with its control characters written out, but for ends of lines and tabs: a terminal would obey them. JSON stays JSON that
 * means the same.
 */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}
