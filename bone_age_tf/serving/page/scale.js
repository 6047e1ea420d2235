import { element, shape } from "./elements.js";

/** Estimate, prediction interval and chronological age on a scale of 20 years. */
export function scale(row, band) {
  const x = (months) => 24 + Math.min(Math.max(months, 0), 240) * (952 / 240);
  const svg = shape("svg", { viewBox: "-10 -18 1020 146", role: "img", "aria-label": "Bone age on a scale of 0 to 20 years" });
  const bar = (from, to, values) => shape("rect", { x: x(from), width: x(to) - x(from), ...values });
  if (band) svg.append(bar(...band, { y: 28, height: 54, fill: "#e3eaef" }));
  svg.append(shape("line", { x1: 24, x2: 976, y1: 82, y2: 82, stroke: "#66737f" }));
  for (let year = 0; year <= 20; year += 2) {
    svg.append(shape("line", { x1: x(12 * year), x2: x(12 * year), y1: 82, y2: 89, stroke: "#66737f" }));
    if (year % 4 === 0) svg.append(shape("text", { x: x(12 * year), y: 118, "text-anchor": "middle", fill: "#5b6873" }, String(year)));
  }
  const age = row.chronological_age_months;
  if (age !== null) {
    svg.append(shape("line", { x1: x(age), x2: x(age), y1: 22, y2: 82, stroke: "#1f2933", "stroke-width": 2, "stroke-dasharray": "6 5" }));
    svg.append(shape("text", { x: x(age), y: 16, "text-anchor": "middle", fill: "#1f2933" }, "age"));
  }
  if (row.bone_age_low_months !== null) {
    svg.append(bar(row.bone_age_low_months, row.bone_age_high_months, { y: 47, height: 14, rx: 7, fill: "#1d5a72", opacity: 0.35 }));
  }
  svg.append(shape("circle", { cx: x(row.bone_age_months), cy: 54, r: 11, fill: "#1d5a72" }));
  const box = element("div", "scale", "");
  box.append(svg);
  const names = ["Age in years. Dot: estimate"];
  if (row.bone_age_low_months !== null) names.push("bar: prediction interval");
  if (band) names.push("grey: ±2 SD around the chronological age");
  box.append(element("p", "note", `${names.join("; ")}.`));
  return box;
}
