/** @file What went wrong, as a visitor can do something about it. */

export function problemInWords(error: unknown): string {
  const { message, code, cause } = error as NodeJS.ErrnoException;
  if ((code ?? (cause as NodeJS.ErrnoException | undefined)?.code) === "ENOSPC")
    return "The storage that this browser allows this page is full. Download what you want to keep, remove a study below, and resume: nothing that was done is lost.";
  return message;
}
