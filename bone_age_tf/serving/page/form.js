import { $ } from "./elements.js";

/** F, M, unknown, or null: none is selected. */
export const chosenSex = () => new FormData($("form")).get("sex");

/** The chronological age in months; null: none is entered; NaN: the entry is not an age. */
export function enteredAge() {
  const years = $("years").value.trim(), months = $("months").value.trim();
  return years || months ? monthsOf(years, months) : null;
}

/** Only years without months may have a fraction. */
function monthsOf(years, months) {
  if (!months) return /^\d+([.,]\d+)?$/.test(years) ? 12 * Number(years.replace(",", ".")) : NaN;
  return /^\d*$/.test(years) && /^(0?\d|1[01])$/.test(months) ? 12 * Number(years) + Number(months) : NaN;
}

export function selectSex(sex) {
  document.querySelector(`[name=sex][value=${sex}]`).checked = true;
}

export function enterAge(months) {
  $("years").value = Math.floor(months / 12);
  $("months").value = months % 12;
}
