import { compareHeader, showHeader } from "./dicom.js";
import { downloads } from "./downloads.js";
import { $, element, sentence, shape } from "./elements.js";
import { chosenSex, enteredAge } from "./form.js";
import { adultHeight, askGrowth, enteredHeights, isHeight, showFaults } from "./growth.js";
import { send } from "./requests.js";
import { scale } from "./scale.js";

const LARGEST = 32 * 2 ** 20; // bytes that the server takes
const SEXES = { F: "Estimated for a girl", M: "Estimated for a boy", unknown: "Estimated with sex unknown" };
const SYNTHETIC = "This is a synthetic radiograph: a model trained on real ones may be wrong by years.";
let file = null; // the chosen file
let isSynthetic = false; // whether it is the bundled sample
let result = null; // the response of the server
let question = null; // the query of that response
let asked = 0; // the number of the latest request: older answers are dropped
let entered = 0; // the number of the latest change of a height: older answers are dropped

// === Choosing a file ===

function choose(chosen, isSample = false) {
  if (!chosen) return;
  if (file) $("form").reset(); // another child
  file = chosen;
  isSynthetic = isSample;
  forget();
  showHeader(null);
  preview(chosen);
  $("brightness").value = 100;
  layers();
  $("drop").hidden = $("file").hidden = $("sample").hidden = true;
  $("another").hidden = false;
  $("synthetic").textContent = isSynthetic ? SYNTHETIC : "";
  say("");
}

/** Show the file: by the browser, or else by the server, which also reads the header of a DICOM file. */
function preview(chosen) {
  const address = URL.createObjectURL(chosen), picture = $("radiograph");
  picture.onload = () => URL.revokeObjectURL(address);
  picture.onerror = () => { picture.onerror = null; URL.revokeObjectURL(address); askServer(chosen); };
  display(address);
}

async function askServer(chosen) {
  if (chosen.size > LARGEST) { conceal("No picture."); return; }
  conceal("Opening the file …");
  try {
    const opened = await (await send("header", chosen)).json();
    if (chosen !== file) return;
    showHeader(opened.header);
    if (result) return; // it was faster
    if (opened.radiograph) display(opened.radiograph); else conceal("No picture.");
    if (opened.reason) refuse(opened.reason);
  } catch (error) {
    if (chosen === file && !result) { conceal("No picture."); say(error.message); }
  }
}

function display(address) {
  $("radiograph").src = address;
  $("no-picture").hidden = true;
  $("view").hidden = $("tools").hidden = false;
}

/** Say why there is no picture. */
function conceal(text) {
  $("no-picture").textContent = text;
  $("no-picture").hidden = false;
  $("view").hidden = $("tools").hidden = true;
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
  showFaults([]);
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
  showHeader(null);
  $("view").hidden = $("tools").hidden = $("another").hidden = $("no-picture").hidden = true;
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
$("form").addEventListener("input", ({ target }) => {
  if (isHeight(target)) { predictHeight(); return; } // the estimate stays
  forget();
  compareHeader();
  say("");
});

// === Requests ===

$("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  question = asking();
  if (!question) return;
  forget();
  const mine = asked;
  busy(true);
  try {
    const heights = String(withHeights());
    const answer = await send("read", file, heights);
    const read = await answer.json();
    if (mine === asked) { result = { ...read, at: new Date() }; show(); }
    if (mine === asked && heights !== String(withHeights())) predictHeight(); // changed meanwhile
  } catch (error) {
    if (mine === asked) reject("Request failed.", error.message);
  } finally {
    if (mine === asked) busy(false);
  }
});

/** The query, or null where something is missing, with a message. */
function asking() {
  const sex = chosenSex(), age = enteredAge();
  if (!file) { say("Choose a radiograph first."); $("file").focus(); return null; }
  if (file.size > LARGEST) { say("The file is larger than 32 MB."); return null; }
  if (!sex) { say("Select the sex: girl, boy or unknown."); document.querySelector("[name=sex]").focus(); return null; }
  const query = new URLSearchParams({ sex });
  if (age !== null) {
    if (!(age <= 240)) {
      say("Chronological age: enter whole years (0 to 20) and whole months (0 to 11), or years alone, such as 10.5.");
      $("years").focus();
      return null;
    }
    query.set("chronological_age_months", age);
  }
  return query;
}

/** The query with the heights as they are now. */
const withHeights = () => new URLSearchParams([...question, ...Object.entries(enteredHeights())]);

/** Another height: the adult height by the estimate that is shown, without the radiograph. */
async function predictHeight() {
  entered += 1;
  const mine = entered, of = result;
  if (!of || of.prediction.status !== "ok") { showFaults([]); return; }
  await new Promise((done) => { setTimeout(done, 250); }); // while it is typed
  if (mine !== entered || of !== result) return;
  try {
    const growth = await askGrowth(of.prediction);
    if (mine !== entered || of !== result) return;
    of.growth = growth;
    showGrowth();
  } catch (error) {
    if (mine === entered) say(error.message);
  }
}

function showGrowth() {
  showFaults(result.growth ? result.growth.faults : []);
  $("answer").querySelector(".growth").replaceWith(adultHeight(result.growth));
}

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
    refuse(result.reason);
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
  box.append(scale(row, result.band));
  if (isSynthetic) box.append(element("p", "banner", SYNTHETIC));
  const known = result.header ? result.header.warnings : []; // beside the form
  for (const text of result.warnings.filter((one) => !known.includes(one))) box.append(element("p", "banner", text));
  if (row.difference_months !== null) box.append(...comparison(row));
  box.append(adultHeight(result.growth));
  showFaults(result.growth ? result.growth.faults : []);
  box.append(downloads(result, file, withHeights, say));
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

function draw(view) {
  display(view.radiograph);
  const svg = $("overlay");
  svg.setAttribute("viewBox", `0 0 ${view.width} ${view.height}`);
  for (const line of view.outline) {
    svg.append(shape("path", { d: `M${line.map((point) => point.join(" ")).join("L")}Z` }));
  }
  for (const [x, y] of view.points) svg.append(shape("circle", { cx: x, cy: y, r: view.height / 130 }));
  $("heat-tool").hidden = !view.heat;
  if (view.heat) $("heat").src = view.heat;
  $("outline-tool").hidden = $("legend").hidden = false;
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

function refuse(reason) {
  reject("Radiograph rejected.", sentence(reason), "Expected: a radiograph of one whole left hand including the wrist, in any orientation.");
}

function reject(title, ...texts) {
  const box = $("answer");
  const banner = element("p", "banner", "");
  banner.append(element("b", "", title), ` ${texts[0]}`);
  box.classList.add("rejected");
  box.replaceChildren(banner, ...texts.slice(1).map((text) => element("p", "", text)));
  box.focus({ preventScroll: innerWidth > 820 });
}
