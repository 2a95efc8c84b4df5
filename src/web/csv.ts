/** @file Tables as CSV. */

/** A table as it is downloaded: numbers in full, `null` as an empty cell. */
export interface Table {
  header: string[];
  rows: (string | number | boolean | null | undefined)[][];
}

/** A table as CSV (RFC 4180). */
export function toCsv({ header, rows }: Table): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: Table["rows"][number][number]): string {
  const text = value === null || value === undefined ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
