/** @file Tables as CSV. */

/** A table as it is downloaded: numbers in full, `null` as an empty cell. */
export interface Table {
  header: string[];
  rows: (string | number | boolean | null | undefined)[][];
}

/**
 * A table as CSV (RFC 4180). Text that a spreadsheet would take for a formula, which a model may have written, begins with an
 * apostrophe: spreadsheets show such a cell as text, and whoever reads the file otherwise takes it off.
 */
export function toCsv({ header, rows }: Table): string {
  return [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

function cell(value: Table["rows"][number][number]): string {
  const plain = value === null || value === undefined ? "" : String(value);
  const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${plain}` : plain;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
