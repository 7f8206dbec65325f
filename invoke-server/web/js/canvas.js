// The canvas: a picture, and a mask painted over what is to be made anew.
import { pictureUrl } from "./api.js";
import { on } from "./app.js";
import { attempt, button, h, select, takesPictures, tick } from "./dom.js";
import { recordsOf, upload } from "./pictures.js";
import { prefer, preferences } from "./preferences.js";
import { selectedPicture } from "./selected.js";
import { shown } from "./shell.js";

const UNDO = 20;

/** What the mask is painted with: stripes, which can be told from every picture. */
const STRIPES = stripes();

let picture = null;
let painted = false;
let erasing = false;
let strokes = [];
const back = h("canvas", { class: "layer" });
const mask = h("canvas", { class: "layer mask" });
const cursor = h("div", { class: "brush", hidden: true });
const sheet = h("div", { class: "sheet" }, back, mask, cursor);
const nothing = h("p", { class: "empty" }, "Choose “Edit on the canvas” in the menu of a picture of the gallery, or put the selected picture here with “Take the selected picture”.");
const stage = h("section", { class: "canvas-stage", "aria-label": "Canvas. Arrow keys move the brush, Space paints.", tabIndex: 0 }, nothing, sheet);
let at = { x: 0, y: 0 };

/** What the graph needs. */
export const maskedPicture = {
  /** Whether there is a picture and something of it is masked. */
  ready: () => Boolean(picture && painted),
  /** Uploads the mask (black where new content goes): `{image, mask}`, both `{name, width, height}`. */
  async upload() {
    const { width, height } = picture;
    const flat = h("canvas", { width, height });
    const context = flat.getContext("2d", { willReadFrequently: true });
    const pixels = mask.getContext("2d").getImageData(0, 0, width, height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const kept = pixels.data[i + 3] > 127 ? 0 : 255;
      pixels.data.set([kept, kept, kept, 255], i);
    }
    context.putImageData(pixels, 0, 0);
    const blob = await new Promise(done => flat.toBlob(done, "image/png"));
    const [record] = await upload([new File([blob], "mask.png", { type: "image/png" })], { category: "mask", intermediate: true });
    return { image: picture, mask: { name: record.image_name, width, height } };
  },
};

function stripes() {
  const tile = h("canvas", { width: 16, height: 16 });
  const context = tile.getContext("2d");
  context.fillStyle = "rgb(225, 40, 90)";
  context.fillRect(0, 0, 16, 16);
  context.strokeStyle = "rgb(255, 235, 240)";
  context.lineWidth = 4;
  for (const from of [-16, 0, 16]) {
    context.moveTo(from - 4, 20);
    context.lineTo(from + 20, -4);
  }
  context.stroke();
  return context.createPattern(tile, "repeat");
}

/** Puts a picture on the canvas; `record` is its record. */
export async function loadToCanvas(record) {
  if (!record) throw new Error("The picture is gone.");
  const image = new Image();
  image.src = pictureUrl(record.image_name);
  await image.decode().catch(() => { throw new Error("The picture cannot be read."); });
  picture = { name: record.image_name, width: image.naturalWidth, height: image.naturalHeight };
  for (const layer of [back, mask]) Object.assign(layer, { width: picture.width, height: picture.height });
  back.getContext("2d").drawImage(image, 0, 0);
  painted = false;
  strokes = [];
  at = { x: picture.width / 2, y: picture.height / 2 };
  fit();
}

function fit() {
  nothing.hidden = Boolean(picture);
  sheet.hidden = !picture;
  if (!picture) return;
  const { zoom, grid } = preferences.canvas;
  const room = Math.min((stage.clientWidth - 32) / picture.width, (stage.clientHeight - 32) / picture.height);
  const scale = zoom === "fit" ? Math.max(0.05, room) : Number(zoom) || 1;
  sheet.style.width = `${Math.round(picture.width * scale)}px`;
  sheet.style.height = `${Math.round(picture.height * scale)}px`;
  sheet.style.setProperty("--grid", `${64 * scale}px`);
  sheet.classList.toggle("with-grid", grid);
  moveCursor();
}

function scale() {
  return sheet.clientWidth / picture.width;
}

function moveCursor() {
  const side = preferences.canvas.brush * scale();
  Object.assign(cursor.style, { width: `${side}px`, height: `${side}px`, transform: `translate(${at.x * scale() - side / 2}px, ${at.y * scale() - side / 2}px)` });
}

function remember() {
  strokes.push(mask.getContext("2d").getImageData(0, 0, mask.width, mask.height));
  if (strokes.length > UNDO) strokes.shift();
}

function stroke(from, to) {
  const context = mask.getContext("2d");
  context.globalCompositeOperation = erasing ? "destination-out" : "source-over";
  Object.assign(context, { strokeStyle: STRIPES, lineWidth: preferences.canvas.brush, lineCap: "round", lineJoin: "round" });
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x + 0.01, to.y);
  context.stroke();
  if (!erasing) painted = true;
}

function point(event) {
  const box = sheet.getBoundingClientRect();
  return { x: (event.clientX - box.left) / scale(), y: (event.clientY - box.top) / scale() };
}

function everything(fill) {
  if (!picture) return;
  remember();
  const context = mask.getContext("2d");
  context.globalCompositeOperation = "source-over";
  context.clearRect(0, 0, mask.width, mask.height);
  if (fill) Object.assign(context, { fillStyle: STRIPES }).fillRect(0, 0, mask.width, mask.height);
  painted = fill;
}

function undo() {
  const before = strokes.pop();
  if (!before) return;
  mask.getContext("2d").putImageData(before, 0, 0);
  painted = before.data.some((value, index) => index % 4 === 3 && value > 0);
}

/** Builds the stage. */
export function makeCanvas() {
  let drawing = false;
  sheet.addEventListener("pointerdown", event => {
    if (!picture || event.button > 0) return;
    event.preventDefault();
    stage.focus({ preventScroll: true });
    sheet.setPointerCapture(event.pointerId);
    remember();
    drawing = true;
    at = point(event);
    stroke(at, at);
  });
  sheet.addEventListener("pointermove", event => {
    if (!picture) return;
    const here = point(event);
    if (drawing) stroke(at, here);
    at = here;
    cursor.hidden = false;
    moveCursor();
  });
  for (const name of ["pointerup", "pointercancel"]) sheet.addEventListener(name, () => { drawing = false; });
  sheet.addEventListener("pointerleave", () => { if (!drawing) cursor.hidden = document.activeElement !== stage; });
  stage.addEventListener("keydown", event => {
    if (!picture) return;
    const length = Math.max(1, preferences.canvas.brush / 2);
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    if (step) {
      at = { x: Math.max(0, Math.min(picture.width, at.x + step[0] * length)), y: Math.max(0, Math.min(picture.height, at.y + step[1] * length)) };
    } else if (event.key === " ") {
      remember();
      stroke(at, at);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) undo();
    else return;
    event.preventDefault();
    cursor.hidden = false;
    moveCursor();
  });
  takesPictures(stage, async ([name]) => loadToCanvas((await recordsOf([name]))[0]));
  new ResizeObserver(fit).observe(stage);
  on("preferences", fit);
  // The next step begins with what was just made.
  on("picture-made", ({ name, destination }) => {
    if (destination === "canvas" && shown() === "canvas") attempt(async () => loadToCanvas((await recordsOf([name]))[0]));
  });
  fit();
  return stage;
}

/** The tools of the form; `parts` are its further fields. */
export function canvasTools(...parts) {
  const size = h("input", { type: "range", min: 4, max: 200, step: 2, value: preferences.canvas.brush, "aria-label": "Size of the brush", oninput: () => prefer({ canvas: { ...preferences.canvas, brush: Number(size.value) } }) });
  const tool = (label, erase) => button(label, { "aria-pressed": String(erasing === erase), onclick: event => {
    erasing = erase;
    for (const other of event.currentTarget.parentElement.querySelectorAll("[aria-pressed]")) other.setAttribute("aria-pressed", String(other === event.currentTarget));
  } });
  const zoom = select([["fit", "Fit"], ["0.5", "50 %"], ["1", "100 %"], ["2", "200 %"]], preferences.canvas.zoom, { "aria-label": "Zoom", onchange: () => prefer({ canvas: { ...preferences.canvas, zoom: zoom.value } }) });
  const grid = tick("Grid", { checked: preferences.canvas.grid, onchange: () => prefer({ canvas: { ...preferences.canvas, grid: grid.input.checked } }) });
  on("preferences", () => { zoom.value = preferences.canvas.zoom; grid.input.checked = preferences.canvas.grid; size.value = preferences.canvas.brush; });
  const take = button("Take the selected picture", { icon: "image", onclick: () => attempt(async () => {
    const record = await selectedPicture();
    if (record) await loadToCanvas(record);
  }) });
  return h("div", { class: "only-canvas block" }, take,
    h("div", { class: "row wrap" }, tool("Paint", false), tool("Erase", true), button("", { icon: "undo", label: "Undo", onclick: undo }), button("All", { label: "Mask everything", onclick: () => everything(true) }), button("None", { label: "Clear the mask", onclick: () => everything(false) })),
    h("div", { class: "row" }, h("span", { class: "hint" }, "Brush"), size), h("div", { class: "row" }, zoom, grid), ...parts);
}
