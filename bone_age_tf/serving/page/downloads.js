import { element } from "./elements.js";
import { send } from "./requests.js";

/** Buttons that save the report and the JSON of a result. `file` and `query`, a function, are what it was asked for. */
export function downloads(result, file, query, say) {
  const box = element("div", "downloads", "");
  const report = element("button", "quiet", "Save the report");
  const json = element("button", "quiet", "Save as JSON");
  report.type = json.type = "button";
  const given = result.header ? "radiograph" : file.name; // the name of a DICOM file may be a child's
  const name = stem(given), made = `${name}-bone-age-${day(result.at)}`;
  report.addEventListener("click", async () => {
    report.disabled = true;
    report.textContent = "Preparing the report …";
    try {
      const html = named(await (await send("report", file, query())).text(), name);
      save(new Blob([html], { type: "text/html" }), `${made}.html`);
    } catch (error) {
      say(error.message);
    }
    report.disabled = false;
    report.textContent = "Save the report";
  });
  json.addEventListener("click", () => {
    const { prediction, growth, model, bone_age_tf, at } = result;
    const whole = { ...prediction, ...growth?.prediction, file: given, id: name, read_at: at.toISOString(), model, bone_age_tf };
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
