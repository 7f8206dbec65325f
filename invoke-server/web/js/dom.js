// Elements, icons and small parts that every view uses.

const SVG = "http://www.w3.org/2000/svg";

/** Drawings on a field of 24 by 24, as strokes. */
const ICONS = {
  generate: "M12 3v6M12 15v6M3 12h6M15 12h6M6.5 6.5l2.5 2.5M15 15l2.5 2.5M17.5 6.5L15 9M9 15l-2.5 2.5",
  canvas: "M4 20c4 0 6-1.5 6-4.5a2.5 2.5 0 0 0-2.5-2.5C5 13 5 16 4 20zM10 13.5L20 3.5M12.5 15.5L20.5 6",
  upscale: "M4 14v6h6M20 10V4h-6M4 20l7-7M20 4l-7 7",
  workflows: "M4 4h6v5H4zM14 15h6v5h-6zM7 9v4a4 4 0 0 0 4 4h3M14 4h6v5h-6zM10 6.5h4",
  gallery: "M4 5h16v14H4zM4 16l5-5 4 4 3-2.5 4 3.5M15 9h.01",
  models: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  queue: "M4 6h16M4 12h16M4 18h10",
  person: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.8-4 3.5-6 7.5-6s6.7 2 7.5 6",
  gear: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
  star: "M12 4l2.5 5.2 5.5.8-4 4 1 5.6-5-2.7-5 2.7 1-5.6-4-4 5.5-.8z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5.5M13.5 11v5.5",
  download: "M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14",
  upload: "M12 15.5V4.5M7.5 9L12 4.5 16.5 9M5 20h14",
  plus: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6L6 18",
  more: "M5 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0M11 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0M17 12a1 1 0 1 0 2 0a1 1 0 1 0-2 0",
  pencil: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  info: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM12 11v6M12 7.5h.01",
  reuse: "M5 9a7.5 7.5 0 0 1 13-2l2 2.5M20 4v5.5h-5.5M19 15a7.5 7.5 0 0 1-13 2l-2-2.5M4 20v-5.5h5.5",
  image: "M4 5h16v14H4zM4 16l5-5 4 4 3-2.5 4 3.5M15 9h.01",
  share: "M7 14a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM17 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM17 20.5a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zM9.2 10.3l5.6-3.2M9.2 12.7l5.6 3.7",
  lock: "M6 11h12v9H6zM8.5 11V8a3.5 3.5 0 0 1 7 0v3",
  globe: "M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18zM3 12h18M12 3c3 3 3.5 6 3.5 9s-.5 6-3.5 9c-3-3-3.5-6-3.5-9s.5-6 3.5-9z",
  folder: "M3.5 6h6l2 2.5h9V19h-17z",
  pause: "M8 5v14M16 5v14",
  play: "M7 4.5l12 7.5-12 7.5z",
  dice: "M4.5 4.5h15v15h-15zM9 9h.01M15 15h.01M15 9h.01M9 15h.01",
  search: "M11 17a6 6 0 1 0 0-12 6 6 0 0 0 0 12zM15.5 15.5L20 20",
  back: "M11 5l-7 7 7 7M4 12h16",
  check: "M5 12.5l4.5 4.5L19 7.5",
  undo: "M8 5L4 9l4 4M4 9h10a5.5 5.5 0 0 1 0 11h-4",
  eye: "M2.5 12C5 7.5 8.5 5.5 12 5.5s7 2 9.5 6.5c-2.5 4.5-6 6.5-9.5 6.5s-7-2-9.5-6.5zM12 15a3 3 0 1 0 0-6 3 3 0 0 0 0 6z",
};

/** An icon by its name, hidden from assistive technology. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({ viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" })) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * Makes an element. Of `props`, functions are listeners (`onclick`), `class` and what has a dash become attributes, `data` the dataset;
 * everything else is a property of the element if it has one, an attribute if not. Null and false are left out.
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(element.dataset, value);
    else if (key === "class" || key.includes("-") || !(key in element)) {
      if (value !== false) element.setAttribute(key, value === true ? "" : value);
    } else if (key === "list") element.setAttribute(key, value);
    else element[key] = value;
  }
  return fill(element, ...children);
}

/** Gives an element these children and no others. Null and false are left out. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(3).filter(child => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button with a text, an icon, or both. Without a text, `label` is what it is called. */
export function button(text, { icon: name, label, class: kind = "", ...props } = {}) {
  return h("button", { type: "button", class: `button ${kind}${text ? "" : " bare"}`, title: text ? null : label, "aria-label": label, ...props }, name ? icon(name) : null, text || null);
}

let fields = 0;

/** A control with its label above, and a hint below. */
export function field(label, control, { hint, class: kind = "" } = {}) {
  control.id ||= `field-${++fields}`;
  const parts = [h("label", { htmlFor: control.id }, label), control];
  if (hint) {
    const note = h("p", { class: "hint", id: `${control.id}-hint` }, hint);
    control.setAttribute("aria-describedby", note.id);
    parts.push(note);
  }
  return h("div", { class: `field ${kind}` }, parts);
}

/** A checkbox with its label beside it. */
export function tick(label, props = {}) {
  const input = h("input", { type: "checkbox", ...props });
  return Object.assign(h("label", { class: "tick" }, input, h("span", {}, label)), { input });
}

/** A list to choose from: `[value, text]` pairs or values. */
export function select(options, value, props = {}) {
  const element = h("select", props, options.map(option => {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    return h("option", { value: key }, text);
  }));
  if (value !== undefined && value !== null) element.value = value;
  return element;
}

/** A section that opens and closes. */
export function fold(title, open, ...children) {
  return h("details", { class: "fold", open }, h("summary", {}, title), ...children);
}

const PICTURES = "application/x-invoke-pictures";

/** Puts names of pictures onto what is being dragged. */
export function dragPictures(event, names) {
  event.dataTransfer.setData(PICTURES, JSON.stringify(names));
  event.dataTransfer.effectAllowed = "copyMove";
}

/** Has an element take pictures that are dropped on it: `take` is called with their names. Gives the element. */
export function takesPictures(element, take) {
  element.addEventListener("dragover", event => {
    if (!event.dataTransfer.types.includes(PICTURES)) return;
    event.preventDefault();
    element.classList.add("dropping");
  });
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, () => element.classList.remove("dropping"));
  element.addEventListener("drop", event => {
    const names = event.dataTransfer.getData(PICTURES);
    if (!names) return;
    event.preventDefault();
    event.stopPropagation();
    attempt(() => take(JSON.parse(names)));
  });
  return element;
}

/** Says something in passing: `kind` is "info" or "error". */
export function tell(text, kind = "info") {
  const region = document.getElementById(kind === "error" ? "alerts" : "notices");
  const note = h("div", { class: `toast ${kind}` }, h("span", {}, text), button("", { icon: "close", label: "Dismiss", onclick: () => note.remove() }));
  region.append(note);
  while (region.children.length > 4) region.firstChild.remove();
  setTimeout(() => note.remove(), kind === "error" ? 12_000 : 5000);
}

/** Runs something and says what went wrong; true if nothing did. */
export async function attempt(work) {
  try {
    await work();
    return true;
  } catch (error) {
    if (error.name !== "AbortError" && !error.told) tell(error.message, "error");
    return false;
  }
}

/** Calls `work` once, `ms` after the last call. */
export function later(work, ms) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...args), ms);
  };
}

/** A count with its noun: "1 picture", "2 pictures". */
export function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** A time of the server (UTC, with or without a zone) in the reader's words. */
export function when(text) {
  if (!text) return "";
  const iso = text.replace(" ", "T");
  const date = new Date(/[Zz]|[+-]\d\d:\d\d$/.test(iso) ? iso : `${iso}Z`);
  return Number.isNaN(date.getTime()) ? text : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}

/** A size in bytes for people. */
export function bytes(count) {
  if (!Number.isFinite(count)) return "";
  const units = ["B", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (count >= 1000 && power < units.length - 1) { count /= 1000; power++; }
  return `${power && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[power]}`;
}
