import { $, element } from "./elements.js";
import { chosenSex, enterAge, enteredAge, selectSex } from "./form.js";

const SEXES = { F: "girl", M: "boy" };
const OLDEST = 240; // months that the form takes
let header = null; // of the chosen file; null where it has none

/** Show what a file's header says, and fill the form, but for what the person has entered. */
export function showHeader(said) {
  header = said;
  $("header").hidden = !said;
  if (!said) return;
  if (said.sex && !chosenSex()) selectSex(said.sex);
  if (isAge(said.chronological_age_months) && enteredAge() === null) enterAge(Math.round(said.chronological_age_months));
  $("header-hand").textContent = said.laterality || "not given";
  $("header-view").textContent = said.view || "not given";
  $("header-warnings").replaceChildren(...said.warnings.map((text) => element("li", "", text)));
  $("header-warnings").hidden = !said.warnings.length;
  compareHeader();
}

/** Say which values of the header the form does not have. */
export function compareHeader() {
  if (!header) return;
  const { sex, chronological_age_months: age, age_in_words } = header;
  tell("header-sex", SEXES[sex], chosenSex() === sex);
  tell("header-age", age_in_words, isAge(age) && enteredAge() === Math.round(age));
}

function tell(id, words, isUsed) {
  $(id).textContent = words ? words + (isUsed ? "" : " (not used)") : "not given";
}

const isAge = (months) => months !== null && months <= OLDEST;
