// A grid of pictures of any length: only what is in sight exists.
import { pictureUrl } from "./api.js";
import { dragPictures, h, icon, later } from "./dom.js";
import { known, recordsOf } from "./pictures.js";

const GAP = 6;
const MARGIN_ROWS = 3;

/**
 * Makes a grid. `onSelect(names, active, auto)` is told of every change of the selection (`auto` if nobody clicked), `onMenu(at, names)` opens a menu, `onOpen(name)` shows one.
 * Gives `{element, show(names), select(name), step(count), selection(), first()}`.
 */
export function makeGrid({ onSelect, onMenu, onOpen }) {
  let names = [];
  let index = new Map();
  let active = 0;
  let anchor = 0;
  let picked = new Set();
  const cells = new Map();
  const space = h("div", { class: "grid-space" });
  const element = h("div", { class: "grid", role: "listbox", tabIndex: 0, "aria-label": "Pictures", "aria-multiselectable": "true" }, space);

  const shape = () => {
    const width = space.clientWidth || element.clientWidth;
    const wanted = Number(getComputedStyle(element).getPropertyValue("--cell")) || 92;
    const columns = Math.max(2, Math.floor((width + GAP) / (wanted + GAP)));
    const side = Math.floor((width - GAP * (columns - 1)) / columns);
    return { columns, side, pitch: side + GAP };
  };

  const fill = later(async missing => {
    await recordsOf(missing).catch(() => []);
    for (const name of missing) paint(name);
  }, 60);

  function paint(name) {
    const cell = cells.get(name);
    if (!cell) return;
    const record = known(name);
    cell.element.setAttribute("aria-selected", String(picked.has(name)));
    cell.element.classList.toggle("active", names[active] === name);
    cell.star.hidden = !record?.starred;
    const position = (index.get(name) ?? 0) + 1;
    cell.element.setAttribute("aria-label", `Picture ${position} of ${names.length}${record?.starred ? ", starred" : ""}`);
  }

  function cell(name) {
    const star = h("span", { class: "star", hidden: true }, icon("star"));
    const video = name.endsWith(".mp4");
    const made = h("div", { class: "cell", role: "option", draggable: true, id: `picture-${name}`, data: { name } },
      video ? h("span", { class: "hint" }, "Video") : h("img", { src: pictureUrl(name, "thumbnail"), alt: "", draggable: false, decoding: "async" }), star);
    return { element: made, star };
  }

  function layout() {
    const { columns, side, pitch } = shape();
    if (side <= 0) return;
    space.style.height = `${Math.max(0, Math.ceil(names.length / columns) * pitch - GAP)}px`;
    const top = Math.max(0, Math.floor(element.scrollTop / pitch) - MARGIN_ROWS) * columns;
    const bottom = Math.min(names.length, (Math.ceil((element.scrollTop + element.clientHeight) / pitch) + MARGIN_ROWS) * columns);
    const wanted = new Set(names.slice(top, bottom));
    for (const [name, { element: old }] of cells) if (!wanted.has(name)) { old.remove(); cells.delete(name); }
    const missing = [];
    let next = null;
    // From the last to the first, so that each stands before the one that follows it: whoever listens hears them in their order.
    for (let at = bottom - 1; at >= top; at--) {
      const name = names[at];
      let one = cells.get(name);
      if (!one) {
        one = cell(name);
        cells.set(name, one);
      }
      if (one.element.parentNode !== space || one.element.nextSibling !== next) space.insertBefore(one.element, next);
      next = one.element;
      if (!known(name)) missing.push(name);
      const style = one.element.style;
      style.width = style.height = `${side}px`;
      style.transform = `translate(${(at % columns) * pitch}px, ${Math.floor(at / columns) * pitch}px)`;
      paint(name);
    }
    if (missing.length) fill(missing);
  }

  function reveal() {
    const { columns, pitch, side } = shape();
    const y = Math.floor(active / columns) * pitch;
    if (y < element.scrollTop) element.scrollTop = y;
    else if (y + side > element.scrollTop + element.clientHeight) element.scrollTop = y + side - element.clientHeight;
  }

  function pick(at, { add = false, range = false, auto = false } = {}) {
    if (!names.length) return;
    active = Math.max(0, Math.min(names.length - 1, at));
    const name = names[active];
    if (range) picked = new Set(names.slice(Math.min(anchor, active), Math.max(anchor, active) + 1));
    else if (add) {
      if (!picked.delete(name)) picked.add(name);
      anchor = active;
    } else {
      picked = new Set([name]);
      anchor = active;
    }
    element.setAttribute("aria-activedescendant", `picture-${name}`);
    reveal();
    layout();
    onSelect([...picked], name, auto);
  }

  const at = event => index.get(event.target.closest?.(".cell")?.dataset.name) ?? -1;
  element.addEventListener("click", event => { if (at(event) >= 0) pick(at(event), { add: event.ctrlKey || event.metaKey, range: event.shiftKey }); });
  element.addEventListener("dblclick", event => { if (at(event) >= 0) onOpen(names[at(event)]); });
  element.addEventListener("contextmenu", event => {
    const here = at(event);
    if (here < 0) return;
    event.preventDefault();
    if (!picked.has(names[here])) pick(here);
    onMenu(event, [...picked]);
  });
  element.addEventListener("dragstart", event => {
    const here = at(event);
    if (here < 0) return;
    dragPictures(event, picked.has(names[here]) ? [...picked] : [names[here]]);
  });
  element.addEventListener("keydown", event => {
    const { columns } = shape();
    const page = Math.max(1, Math.floor(element.clientHeight / shape().pitch)) * columns;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns, PageDown: page, PageUp: -page, Home: -names.length, End: names.length }[event.key];
    if (step) pick(active + step, { range: event.shiftKey });
    else if (event.key === "Enter" && names.length) onOpen(names[active]);
    else if (event.key === " ") pick(active, { add: true });
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      picked = new Set(names);
      layout();
      onSelect([...picked], names[active]);
    } else if ((event.key === "ContextMenu" || (event.key === "F10" && event.shiftKey)) && picked.size) onMenu(cells.get(names[active])?.element ?? element, [...picked]);
    else return;
    event.preventDefault();
  });
  element.addEventListener("scroll", () => requestAnimationFrame(layout), { passive: true });
  new ResizeObserver(() => requestAnimationFrame(layout)).observe(element);

  return {
    element,
    /** Shows pictures; what was selected stays so if it is still there. */
    show(list) {
      const before = names[active];
      names = list;
      index = new Map(list.map((name, position) => [name, position]));
      picked = new Set([...picked].filter(name => index.has(name)));
      active = index.get(before) ?? Math.min(active, Math.max(0, names.length - 1));
      layout();
    },
    select(name) {
      if (index.has(name)) pick(index.get(name), { auto: true });
    },
    step(count) {
      if (names.length) pick(active + count);
    },
    selection: () => [...picked],
    first: () => names[0] ?? null,
  };
}
