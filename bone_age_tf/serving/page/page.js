"use strict";

const $ = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token");
const SVG = "http://www.w3.org/2000/svg";
const LARGEST = 32 * 2 ** 20; // bytes that the server takes
const SEXES = { F: "Estimated for a girl", M: "Estimated for a boy", unknown: "Estimated with sex unknown" };
const SYNTHETIC = "This is a synthetic radiograph: a model trained on real ones may be wrong by years.";
let file = null; // the chosen file
let isSynthetic = false; // whether it is the bundled sample
let result = null; // the response of the server
let question = null; // the query of that response
let asked = 0; // the number of the latest request: older answers are dropped

// === Choosing a file ===

function choose(chosen, isSample = false) {
  if (!chosen) return;
  if (file) $("form").reset(); // another child
  file = chosen;
  isSynthetic = isSample;
  forget();
  const address = URL.createObjectURL(chosen);
  $("radiograph").onload = () => URL.revokeObjectURL(address);
  $("radiograph").onerror = () => { URL.revokeObjectURL(address); $("view").hidden = $("tools").hidden = true; };
  $("radiograph").src = address;
  $("view").hidden = $("tools").hidden = false;
  $("brightness").value = 100;
  layers();
  $("drop").hidden = $("file").hidden = $("sample").hidden = true;
  $("another").hidden = false;
  $("synthetic").textContent = isSynthetic ? SYNTHETIC : "";
  say("");
}

/** No answer for another file, sex or age stays on the page. */
function forget() {
  asked += 1;
  result = null;
  $("answer").replaceChildren();
  $("answer").className = "";
  $("overlay").replaceChildren();
  $("heat").removeAttribute("src");
  $("heat-shown").checked = false;
  for (const id of ["outline-tool", "heat-tool", "legend"]) $(id).hidden = true;
  layers();
  busy(false);
}

function startAgain() {
  file = null;
  forget();
  $("file").value = "";
  $("form").reset();
  $("radiograph").removeAttribute("src");
  $("synthetic").textContent = "";
  $("view").hidden = $("tools").hidden = $("another").hidden = true;
  $("drop").hidden = $("file").hidden = $("sample").hidden = false;
  $("file").focus();
}

$("file").addEventListener("change", () => choose($("file").files[0]));
$("another").addEventListener("click", startAgain);
$("sample").addEventListener("click", async () => {
  try {
    const answer = await fetch("sample.png");
    const sample = await answer.blob();
    if (answer.ok && !file) choose(new File([sample], "synthetic-radiograph.png"), true);
  } catch {
    say("The server on this machine does not answer. Is it still running?");
  }
});
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.add("over"); });
}
for (const kind of ["dragleave", "drop"]) {
  addEventListener(kind, (event) => { event.preventDefault(); document.body.classList.remove("over"); });
}
addEventListener("drop", (event) => choose(event.dataTransfer.files[0]));
addEventListener("paste", (event) => choose(event.clipboardData.files[0]));
$("form").addEventListener("input", () => { forget(); say(""); });

// === Requests ===

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  question = asking();
  if (!question) return;
  forget();
  const mine = asked;
  busy(true);
  try {
    const answer = await send("read", question);
    const read = await answer.json();
    if (mine === asked) { result = { ...read, at: new Date() }; show(); }
  } catch (error) {
    if (mine === asked) reject("Request failed.", error.message);
  } finally {
    if (mine === asked) busy(false);
  }
});

/** The query, or null where something is missing, with a message. */
function asking() {
  const sex = new FormData($("form")).get("sex");
  const years = $("years").value.trim(), months = $("months").value.trim();
  if (!file) { say("Choose a radiograph first."); $("file").focus(); return null; }
  if (file.size > LARGEST) { say("The file is larger than 32 MB."); return null; }
  if (!sex) { say("Select the sex: girl, boy or unknown."); document.querySelector("[name=sex]").focus(); return null; }
  const query = new URLSearchParams({ sex });
  if (years || months) {
    const age = monthsOf(years, months);
    if (!(age <= 240)) {
      say("Chronological age: enter whole years (0 to 20) and whole months (0 to 11), or years alone, such as 10.5.");
      $("years").focus();
      return null;
    }
    query.set("chronological_age_months", age);
  }
  return query;
}

/** The entry -> months; NaN where it is not an age. Only years without months may have a fraction. */
function monthsOf(years, months) {
  if (!months) return /^\d+([.,]\d+)?$/.test(years) ? 12 * Number(years.replace(",", ".")) : NaN;
  return /^\d*$/.test(years) && /^(0?\d|1[01])$/.test(months) ? 12 * Number(years) + Number(months) : NaN;
}

async function send(where, query) {
  let answer;
  try {
    answer = await fetch(`${where}?${query}`, { method: "POST", headers: headers(), body: file });
  } catch {
    throw new Error("The server on this machine does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401) throw new Error("This server requires a token: open the page's address that it printed when it started.");
  throw new Error(said.error || `The server returned status ${answer.status}.`);
}

const headers = () => (token ? { Authorization: `Bearer ${token}` } : {});
const say = (text) => { $("missing").textContent = text; };

function busy(is) {
  document.body.classList.toggle("busy", is);
  $("read").disabled = is;
  $("read").textContent = is ? "Estimating …" : "Estimate bone age";
}

// === Results ===

function show() {
  const row = result.prediction;
  if (row.status !== "ok") {
    reject("Radiograph rejected.", sentence(result.reason), "Expected: a radiograph of one whole left hand including the wrist, in any orientation.");
    if (result.view) draw(result.view);
    return;
  }
  const [estimate, low, high] = result.in_words;
  const box = $("answer");
  const months = element("p", "months", `${estimate} `);
  months.append(element("small", "", `${row.bone_age_months.toFixed(0)} months`));
  box.append(months, element("p", "interval", `${SEXES[row.sex]}.`));
  if (low !== null) {
    const share = Math.round(100 * result.coverage);
    box.append(element("p", "interval", `${share} % prediction interval: ${low} to ${high}`));
  }
  box.append(scale(row));
  if (isSynthetic) box.append(element("p", "banner", SYNTHETIC));
  for (const text of result.warnings) box.append(element("p", "banner", text));
  if (row.difference_months !== null) box.append(...comparison(row));
  box.append(downloads());
  box.append(element("p", "note", `Model ${result.model.name}, version ${result.model.version}. ${result.performance}`));
  if (result.view) draw(result.view);
  box.focus({ preventScroll: innerWidth > 820 });
}

function comparison(row) {
  const distance = Math.abs(row.difference_months).toFixed(0);
  const side = row.difference_months < 0 ? "below" : "above";
  let text = `${distance} months ${side} the chronological age of ${result.age_in_words}`;
  if (row.sd_score !== null) {
    const score = `${row.sd_score < 0 ? "\u2212" : "+"}${Math.abs(row.sd_score).toFixed(1)}`;
    text += `; SD score ${score}: ${row.verdict}`;
    if (row.verdict_probability !== null) text += ` (probability ${Math.round(100 * row.verdict_probability)} %)`;
  }
  const parts = [element("h2", "", "Comparison with chronological age"), element("p", "", `${text}.`)];
  const note = row.sd_score === null
    ? "No SD score: the reference table covers 3 to 192 months (girls) and 3 to 204 months (boys), and requires the sex."
    : `${result.convention}; more than 2 SD below or above the mean is classified as delayed or advanced.`;
  return [...parts, element("p", "note", note)];
}

/** Estimate, prediction interval and chronological age on a scale of 20 years. */
function scale(row) {
  const x = (months) => 24 + Math.min(Math.max(months, 0), 240) * (952 / 240);
  const svg = shape("svg", { viewBox: "-10 -18 1020 146", role: "img", "aria-label": "Bone age on a scale of 0 to 20 years" });
  const bar = (from, to, values) => shape("rect", { x: x(from), width: x(to) - x(from), ...values });
  if (result.band) svg.append(bar(...result.band, { y: 28, height: 54, fill: "#e3eaef" }));
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
  if (result.band) names.push("grey: ±2 SD around the chronological age");
  box.append(element("p", "note", `${names.join("; ")}.`));
  return box;
}

function draw(view) {
  $("radiograph").src = view.radiograph;
  const svg = $("overlay");
  svg.setAttribute("viewBox", `0 0 ${view.width} ${view.height}`);
  for (const line of view.outline) {
    svg.append(shape("path", { d: `M${line.map((point) => point.join(" ")).join("L")}Z` }));
  }
  for (const [x, y] of view.points) svg.append(shape("circle", { cx: x, cy: y, r: view.height / 130 }));
  $("heat-tool").hidden = !view.heat;
  if (view.heat) $("heat").src = view.heat;
  $("view").hidden = $("tools").hidden = $("outline-tool").hidden = $("legend").hidden = false;
  const hand = result.prediction.status === "ok" ? "the detected hand" : "what was detected as the hand";
  $("legend").textContent = `Green: ${hand}${view.points.length ? "; yellow: key points" : ""}.`;
  layers();
}

function layers() {
  const style = document.documentElement.style;
  style.setProperty("--heat", String($("opacity").value / 100));
  style.setProperty("--brightness", String($("brightness").value / 100));
  $("heat").hidden = $("opacity-tool").hidden = $("heat-legend").hidden = !$("heat-shown").checked;
  $("overlay").style.display = $("outline").checked ? "" : "none";
}
for (const id of ["brightness", "opacity"]) $(id).addEventListener("input", layers);
for (const id of ["outline", "heat-shown"]) $(id).addEventListener("change", layers);

function reject(title, ...texts) {
  const box = $("answer");
  const banner = element("p", "banner", "");
  banner.append(element("b", "", title), ` ${texts[0]}`);
  box.classList.add("rejected");
  box.replaceChildren(banner, ...texts.slice(1).map((text) => element("p", "", text)));
  box.focus({ preventScroll: innerWidth > 820 });
}

// === Downloads ===

function downloads() {
  const box = element("div", "downloads", "");
  const report = element("button", "quiet", "Save the report");
  const json = element("button", "quiet", "Save as JSON");
  report.type = json.type = "button";
  const mine = question, name = stem(file.name), made = `${name}-bone-age-${day(result.at)}`;
  report.addEventListener("click", async () => {
    report.disabled = true;
    report.textContent = "Preparing the report …";
    try {
      const html = named(await (await send("report", mine)).text(), name);
      save(new Blob([html], { type: "text/html" }), `${made}.html`);
    } catch (error) {
      say(error.message);
    }
    report.disabled = false;
    report.textContent = "Save the report";
  });
  json.addEventListener("click", () => {
    const { prediction, model, bone_age_tf, at } = result;
    const whole = { ...prediction, file: file.name, id: name, read_at: at.toISOString(), model, bone_age_tf };
    save(new Blob([JSON.stringify(whole, null, 2)], { type: "application/json" }), `${made}.json`);
  });
  box.append(report, json);
  return box;
}

/** A file's name without its ending, of characters that a file's name and HTML may hold. */
const stem = (name) => name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N}_.-]/gu, "_").replace(/^\.+/, "").slice(0, 80) || "radiograph";

/** 2026-01-31, by this machine's clock. */
const day = (date) => date.toLocaleDateString("sv");

/** The report with the name of the file, which is not sent to the server. */
const named = (html, name) => html.replace(/(<title>Bone age: |<span class="name">)radiograph(?=<)/g, (_, before) => before + name);

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// === Helpers ===

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

function shape(name, values, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
