import { $, element, shape } from "./elements.js";
import { send } from "./requests.js";

const FIELDS = { height_cm: "Child", mother_height_cm: "Mother", father_height_cm: "Father" };
const GIVEN = ["sex", "bone_age_months", "bone_age_low_months", "bone_age_high_months", "chronological_age_months"];
const METHOD = "Method of Bayley and Pinneau, 1952.";

/** The heights that are entered, by name, as they were typed. */
export const enteredHeights = () => Object.fromEntries(
  Object.keys(FIELDS).map((name) => [name, $(name).value.trim()]).filter(([, text]) => text),
);

export const isHeight = (input) => input.id in FIELDS;

/** The adult height of an estimate, without the radiograph; null where no height is entered. */
export async function askGrowth(row) {
  const heights = enteredHeights();
  if (!Object.keys(heights).length) return null;
  const estimate = Object.fromEntries(GIVEN.map((name) => [name, row[name]]));
  return (await send("growth", JSON.stringify({ ...estimate, ...heights }))).json();
}

/** Below the fields: heights that cannot be used. One in another unit is converted only by who entered it. */
export function showFaults(faults) {
  $("height-faults").replaceChildren(...faults.map((fault) => {
    const input = $(fault.field), line = element("p", "fault", "");
    if (!fault.unit) {
      line.append(element("b", "", FIELDS[fault.field]), ` ${fault.reason}`);
      return line;
    }
    const centimetres = fault.centimetres.toFixed(1);
    const use = element("button", "quiet", `Use ${centimetres} cm`);
    use.type = "button";
    use.addEventListener("click", () => {
      input.value = centimetres;
      input.focus();
      input.dispatchEvent(new Event("input", { bubbles: true }));
    });
    line.append(element("b", "", FIELDS[fault.field]), ` “${input.value.trim()}” looks like ${fault.unit}. Is it this? `, use);
    return line;
  }));
}

/** The part of the answer about the adult height. `growth` is null where no height is entered. */
export function adultHeight(growth) {
  const box = element("section", "growth", "");
  if (!growth) {
    const ask = element("button", "quiet", "Predict the adult height");
    ask.type = "button";
    ask.addEventListener("click", () => $("height_cm").focus());
    box.append(ask);
    return box;
  }
  const { view } = growth;
  box.append(element("h2", "", view.is_asked ? "Predicted adult height" : "Target height"));
  if (view.is_asked && view.adult_height_cm === null && view.reason_code !== "bad_input") {
    box.append(element("p", "", `None: ${view.reason}.`));
  }
  if (view.reason_code === "bad_input") box.append(element("p", "", badInput(growth)));
  if (view.columns.length > 1) {
    const count = view.columns.length === 2 ? "two" : "all three";
    box.append(element("p", "", `The table has a column for each rate of maturation. The interval of the bone age reaches ${count}:`));
  }
  if (view.columns.length) box.append(cards(view.columns));
  if (view.axis) box.append(heightScale(view));
  if (view.interval && view.adult_height_cm !== null) {
    const share = Math.round(100 * view.coverage);
    box.append(element("p", "", `Height now ${cm(view.height_cm)}. ${share} % interval by that of the bone age${view.columns.length > 1 ? ", over all columns" : ""}: ${range(...view.interval)}.`));
  }
  for (const text of view.warnings) box.append(element("p", "banner", text));
  if (view.target) box.append(element("p", "", targetWords(view.target)));
  else if (view.target_reason && view.target_reason !== view.reason && !growth.faults.length) box.append(element("p", "", `No target height: ${view.target_reason}.`));
  if (view.notes.length) box.append(element("p", "note", [METHOD, ...view.notes].join(" ")));
  return box;
}

/** In words; a height in another unit is asked about beside its field. */
function badInput({ faults, view }) {
  return faults.some((one) => one.field === "height_cm") ? "None yet: the height of the child has to be corrected above." : `None: ${view.reason}.`;
}

/** One for each column of the table that the interval of the bone age reaches. */
function cards(columns) {
  const box = element("div", "cards", "");
  for (const one of columns) {
    const card = element("div", one.is_chosen ? "chosen" : "", "");
    card.append(element("b", "", one.centimetres === null ? "None" : cm(one.centimetres)));
    const isOne = columns.length === 1;
    card.append(element("span", "", isOne ? `${one.name} maturation` : one.name));
    if (!isOne) card.append(element("span", "share", `${(100 * one.probability).toFixed(0)} %`));
    if (one.low_cm !== null) card.append(element("span", "", `${one.low_cm.toFixed(1)} to ${one.high_cm.toFixed(1)}`));
    else if (one.centimetres === null) card.append(element("span", "", "outside the table"));
    box.append(card);
  }
  return box;
}

/** Heights by column with their intervals, one below the other, and the parents' range. */
function heightScale({ axis: [first, last, step], columns, target }) {
  const x = (height) => 24 + (height - first) * (952 / (last - first));
  const bottom = 34 + 30 * Math.max(columns.length, 1);
  const svg = shape("svg", { viewBox: `-10 -18 1020 ${bottom + 64}`, role: "img", "aria-label": `Adult height on a scale of ${first} to ${last} cm` });
  const bar = (from, to, values) => shape("rect", { x: x(from), width: Math.max(x(to) - x(from), 6), ...values });
  if (target && target.low_cm !== null) svg.append(bar(target.low_cm, target.high_cm, { y: 28, height: bottom - 28, fill: "#e3eaef" }));
  svg.append(shape("line", { x1: 24, x2: 976, y1: bottom, y2: bottom, stroke: "#66737f" }));
  for (let height = first; height <= last; height += step) {
    svg.append(shape("line", { x1: x(height), x2: x(height), y1: bottom, y2: bottom + 7, stroke: "#66737f" }));
    const isLabelled = ((height - first) / step) % 2 === 0;
    if (isLabelled) svg.append(shape("text", { x: x(height), y: bottom + 36, "text-anchor": "middle", fill: "#5b6873" }, String(height)));
  }
  if (target) {
    const at = x(target.centimetres);
    svg.append(shape("line", { x1: at, x2: at, y1: 22, y2: bottom, stroke: "#1f2933", "stroke-width": 2, "stroke-dasharray": "6 5" }));
    svg.append(shape("text", { x: at, y: 16, "text-anchor": "middle", fill: "#1f2933" }, "parents"));
  }
  columns.forEach((one, row) => {
    const y = 49 + 30 * row, fill = one.is_chosen ? "#1d5a72" : "#6f93a3";
    if (one.low_cm !== null) svg.append(bar(one.low_cm, one.high_cm, { y: y - 7, height: 14, rx: 7, fill, opacity: 0.35 }));
    if (one.centimetres !== null) svg.append(shape("circle", { cx: x(one.centimetres), cy: y, r: 11, fill }));
  });
  const box = element("div", "scale", "");
  box.append(svg);
  const names = ["Adult height in cm"];
  if (columns.length) names[0] += `. ${columns.length > 1 ? "One row for each column; dot" : "Dot"}: by the bone age; bar: by its interval`;
  if (target) names.push(target.low_cm === null ? "dashed: target height by the parents" : "dashed and grey: target height by the parents, with its range");
  box.append(element("p", "note", `${names.join("; ")}.`));
  return box;
}

function targetWords(target) {
  const between = target.low_cm === null ? "" : `, range ${range(target.low_cm, target.high_cm)}`;
  return `Target height by the parents ${cm(target.centimetres)}${between} (${target.title}).`;
}

const cm = (height) => `${height.toFixed(1)} cm`;
const range = (low, high) => `${low.toFixed(1)} to ${cm(high)}`;
