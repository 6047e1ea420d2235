const SVG = "http://www.w3.org/2000/svg";

export const $ = (id) => document.getElementById(id);

export const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

export function element(name, kind, text) {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

export function shape(name, values, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
