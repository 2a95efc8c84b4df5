/** @file Hands files to the reader: tables as CSV, figures as SVG. */

import { type Table, toCsv } from "./csv.ts";

export function downloadTable(name: string, table: Table): void {
  download(`${fileName(name)}.csv`, "text/csv", toCsv(table));
}

/** A figure as a file that looks alone as it does on the page: its colours resolved, its font and background inside. */
export function downloadFigure(name: string, svg: SVGSVGElement): void {
  download(
    `${fileName(name)}.svg`,
    "image/svg+xml",
    new XMLSerializer().serializeToString(standalone(name, svg)),
  );
}

/** Presentation attributes that may refer to the page's variables. */
const painted = ["fill", "stroke", "color", "stroke-dasharray"];

function standalone(title: string, svg: SVGSVGElement): SVGSVGElement {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const originals = [svg, ...svg.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((element, i) => {
    for (const name of painted)
      if (element.getAttribute(name)?.includes("var("))
        element.setAttribute(name, getComputedStyle(originals[i]!).getPropertyValue(name));
  });
  const page = getComputedStyle(document.documentElement);
  const own = getComputedStyle(svg);
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  // Not as an attribute: the server's policy allows none.
  Object.assign(copy.style, {
    background: page.getPropertyValue("--surface").trim(),
    color: own.color,
    fontFamily: "sans-serif",
    fontSize: "12px",
    overflow: "visible",
  });
  const element = document.createElementNS("http://www.w3.org/2000/svg", "title");
  element.textContent = title;
  copy.prepend(element);
  return copy;
}

/** `Recall on the policy` as `recall-on-the-policy`. */
function fileName(title: string): string {
  return `probeward-${title
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "")}`;
}

function download(name: string, type: string, content: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  // The browser has taken it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
