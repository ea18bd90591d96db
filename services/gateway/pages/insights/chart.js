// Bars, drawn as SVG. Each has a title, and a table beside the chart says the same.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [640, 260, 48, 40, 12];
/** Of one bar. */
const WIDEST = 48;
const CLASSES = ["bar", "bar second", "bar third"];

/** @param {string} tag @param {Record<string, string | number>} attributes @param {string} [text] */
function node(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  if (text !== undefined) made.textContent = text;
  return made;
}

/**
 * Groups of bars.
 * @param {string} title
 * @param {{label: string, values: number[]}[]} groups
 * @param {(value: number) => string} shown
 */
export function bars(title, groups, shown) {
  const most = Math.max(...groups.flatMap((group) => group.values), 0) || 1;
  const [inner, high] = [WIDTH - LEFT, HEIGHT - BOTTOM - TOP];
  const svg = node("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title });
  for (const part of [0, 0.5, 1]) {
    const y = TOP + high * (1 - part);
    svg.append(node("line", { x1: LEFT, x2: WIDTH, y1: y, y2: y }));
    svg.append(node("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, shown(most * part)));
  }
  const width = inner / Math.max(groups.length, 1);
  const every = Math.ceil(groups.length / 8);
  groups.forEach((group, at) => {
    const middle = LEFT + (at + 0.5) * width;
    const wide = Math.min((width * 0.8) / group.values.length, WIDEST);
    group.values.forEach((value, index) => {
      const tall = (value / most) * high;
      const x = middle + (index - group.values.length / 2) * wide;
      const bar = node("rect", { x, y: TOP + high - tall, width: wide, height: tall, class: CLASSES[index] });
      bar.append(node("title", {}, `${group.label}: ${shown(value)}`));
      svg.append(bar);
    });
    if (at % every === 0) svg.append(node("text", { x: middle, y: HEIGHT - BOTTOM + 18, "text-anchor": "middle" }, group.label));
  });
  return svg;
}
