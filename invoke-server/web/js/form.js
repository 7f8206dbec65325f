// The form of the tabs Generate, Canvas and Upscale.
import { pictureUrl } from "./api.js";
import { app, emit, modelOf, modelsOf, on } from "./app.js";
import { attempt, button, field, fold, h, select, takesPictures, tell, tick } from "./dom.js";
import { boards, boardsRead, mayAddTo } from "./boards.js";
import { canvasTools } from "./canvas.js";
import { change, chooseModel, chosenModel, defaultsFor, loadGeneration, nativeSize, schedulers, usableModels, values } from "./generation.js";
import { invoke } from "./enqueue.js";
import { guideSection } from "./guides.js";
import { act } from "./keys.js";
import { loraSection } from "./loras.js";
import { recordsOf } from "./pictures.js";
import { cancelRunning } from "./progress.js";
import { shown } from "./shell.js";
import { loadStyles, openStyles } from "./styles.js";
import { saveAsWorkflow } from "./workflows.js";

/** Controls by the value that they show. */
const controls = new Map();

function bind(name, control, { read = () => control.value, write = value => { control.value = value ?? ""; }, event = "change" } = {}) {
  // What is being typed is left alone.
  controls.set(name, () => { if (document.activeElement !== control || event === "change") write(values[name]); });
  control.addEventListener(event, () => change({ [name]: read() }, control));
  return control;
}

function number(name, min, max, step, { whole = false } = {}) {
  const control = h("input", { type: "number", min, max, step, required: true });
  const read = () => {
    const wanted = Number(control.value);
    const value = Math.min(max, Math.max(min, Number.isFinite(wanted) && control.value !== "" ? wanted : values[name]));
    return whole ? Math.round(value) : value;
  };
  bind(name, control, { read, event: "input" });
  control.addEventListener("change", () => { control.value = values[name]; });
  return control;
}

/** A share from 0 to 1, as a slider with its value beside it. */
function share(name, label, hint) {
  const control = h("input", { type: "range", min: 0, max: 1, step: 0.05 });
  const shownValue = h("output", {});
  bind(name, control, { read: () => Number(control.value), write: value => { control.value = value; shownValue.textContent = Number(value).toFixed(2); }, event: "input" });
  control.addEventListener("input", () => { shownValue.textContent = Number(control.value).toFixed(2); });
  const made = field(label, control, { hint });
  made.querySelector("label").append(" ", shownValue);
  return made;
}

function promptSection(styles) {
  const positive = bind("positive", h("textarea", { rows: 5, id: "prompt", placeholder: "What the picture shows" }), { event: "input" });
  const negative = bind("negative", h("textarea", { rows: 2, placeholder: "What it should not show" }), { event: "input" });
  const style = bind("style", select([["", "None"], ...styles.map(preset => [preset.id, preset.name])], ""), { read: () => style.value || null });
  on("styles", presets => {
    style.replaceChildren(h("option", { value: "" }, "None"), ...presets.map(preset => h("option", { value: preset.id }, preset.name)));
    if (values.style && !presets.some(preset => preset.id === values.style)) change({ style: null });
    style.value = values.style ?? "";
  });
  act("prompt", () => positive.focus());
  return [field("Prompt", positive), field("Negative prompt", negative), h("div", { class: "pair seed" }, field("Prompt template", style), button("", { icon: "pencil", label: "Prompt templates", onclick: openStyles }))];
}

function invokeSection() {
  const count = number("count", 1, 100, 1, { whole: true });
  count.setAttribute("aria-label", "How many pictures");
  const start = button("Invoke", { class: "primary grow", onclick: run });
  const stop = button("", { icon: "close", label: "Cancel the running item", onclick: cancelRunning, disabled: true });
  on("progress", running => { stop.disabled = !running; });
  async function run() {
    start.disabled = true;
    await attempt(() => invoke(shown()));
    start.disabled = false;
  }
  act("invoke", () => { if (["generate", "canvas", "upscale"].includes(shown())) run(); else emit("run-workflow"); });
  return h("div", { class: "invoke" }, count, start, stop);
}

function modelSection() {
  const model = select([], "", { onchange: () => chooseModel(model.value, model) });
  controls.set("model", () => { model.value = values.model ?? ""; });
  const vae = bind("vae", select([], ""), { read: () => vae.value || null });
  const fill = () => {
    model.replaceChildren(...usableModels().map(one => h("option", { value: one.key }, one.name)));
    if (!model.options.length) model.append(h("option", { value: "" }, "No model is installed"));
    vae.replaceChildren(h("option", { value: "" }, "The model's own"), ...modelsOf("vae", chosenModel()?.base).map(one => h("option", { value: one.key }, one.name)));
    refresh();
  };
  on("models", fill);
  on("generation", by => { if (by === model || by === null) fill(); });
  fill();
  return { model: field("Model", model), vae: field("VAE", vae) };
}

function sizeSection() {
  const width = number("width", 64, 4096, 8, { whole: true });
  const height = number("height", 64, 4096, 8, { whole: true });
  const native = button("Model's size", { onclick: () => { const [w, h2] = nativeSize(chosenModel()); change({ width: w, height: h2 }); } });
  const swap = button("", { icon: "reuse", label: "Swap width and height", onclick: () => change({ width: values.height, height: values.width }) });
  const shapes = [["1:1", 1], ["4:3", 4 / 3], ["3:2", 3 / 2], ["16:9", 16 / 9], ["3:4", 3 / 4], ["2:3", 2 / 3], ["9:16", 9 / 16]];
  const shape = select([["", "Shape …"], ...shapes.map(([name, ratio]) => [ratio, name])], "", {
    "aria-label": "Shape",
    onchange: () => {
      const [w, h2] = nativeSize(chosenModel());
      const ratio = Number(shape.value);
      if (ratio) change({ width: Math.round(Math.sqrt(w * h2 * ratio) / 8) * 8, height: Math.round(Math.sqrt(w * h2 / ratio) / 8) * 8 });
      shape.value = "";
    },
  });
  return h("div", { class: "only-generate" }, h("div", { class: "pair" }, field("Width", width), field("Height", height)), h("div", { class: "row size" }, shape, swap, native));
}

function imageSection() {
  const picture = h("img", { alt: "", class: "chosen" });
  const name = h("p", { class: "hint" });
  const clear = button("Remove", { icon: "close", onclick: () => change({ image: null }) });
  const none = h("p", { class: "hint" }, "Choose “Use for image to image” or “Upscale” in the menu of a picture of the gallery.");
  const chosen = h("div", { class: "row" }, picture, h("div", { class: "grow" }, name, clear));
  const strength = share("strength", "Strength", "0 keeps the picture, 1 keeps only its size.");
  strength.classList.add("only-generate");
  const update = () => {
    chosen.hidden = !values.image;
    none.hidden = Boolean(values.image);
    strength.hidden = !values.image;
    if (!values.image) return;
    const address = pictureUrl(values.image.name, "thumbnail");
    if (picture.getAttribute("src") !== address) picture.src = address;
    name.textContent = `${values.image.width} × ${values.image.height}`;
  };
  on("generation", update);
  update();
  const section = takesPictures(fold("Image", Boolean(values.image), none, chosen, strength), async ([dropped]) => {
    const [record] = await recordsOf([dropped]);
    if (record) change({ image: { name: dropped, width: record.width, height: record.height } });
  });
  section.classList.add("only-generate", "only-upscale");
  on("generation", () => { if (values.image) section.open = true; });
  return section;
}

function upscaleSection() {
  const factor = bind("factor", select([[1.5, "1.5 ×"], [2, "2 ×"], [3, "3 ×"], [4, "4 ×"]], 2), { read: () => Number(factor.value) });
  const upscaler = bind("upscaler", select([], ""), { read: () => upscaler.value || null });
  const result = h("p", { class: "hint" });
  const fill = () => {
    upscaler.replaceChildren(h("option", { value: "" }, "None (resampling)"), ...modelsOf("spandrel_image_to_image").map(one => h("option", { value: one.key }, one.name)));
    refresh();
  };
  on("models", fill);
  fill();
  const update = () => { result.textContent = values.image ? `The result will be ${Math.round(values.image.width * values.factor)} × ${Math.round(values.image.height * values.factor)}.` : ""; };
  on("generation", update);
  update();
  return h("div", { class: "only-upscale block" }, field("Enlarge", factor), field("Upscale model", upscaler), share("creativity", "Creativity", "0 only enlarges; more has the model draw details anew."), result);
}

function boardField() {
  const control = bind("board", select([["none", "Uncategorized"]], "none"), {});
  const show = () => {
    const possible = boards().filter(board => mayAddTo(board) && !board.archived);
    control.replaceChildren(h("option", { value: "none" }, "Uncategorized"), ...possible.map(board => h("option", { value: board.board_id }, board.board_name)));
    if (!possible.some(board => board.board_id === values.board) && values.board !== "none") change({ board: "none" });
    control.value = values.board;
  };
  on("boards", show);
  if (boardsRead()) show();
  return field("Board for results", control);
}

function settingsSection({ vae }) {
  const scheduler = bind("scheduler", select(schedulers(), values.scheduler), {});
  on("nodes", () => {
    scheduler.replaceChildren(...schedulers().map(name => h("option", { value: name }, name)));
    refresh();
  });
  const seed = number("seed", 0, 2 ** 32 - 1, 1, { whole: true });
  const random = tick("Random");
  bind("randomSeed", random.input, { read: () => random.input.checked, write: value => { random.input.checked = value; seed.disabled = value; } });
  random.input.addEventListener("change", () => { seed.disabled = random.input.checked; });
  const seamless = [tick("Seamless across"), tick("Seamless down")];
  ["seamlessX", "seamlessY"].forEach((name, index) => bind(name, seamless[index].input, { read: () => seamless[index].input.checked, write: value => { seamless[index].input.checked = value; } }));
  return [
    h("div", { class: "pair" }, field("Steps", number("steps", 1, 200, 1, { whole: true })), field("Guidance", number("cfg", 1, 30, 0.5))),
    field("Scheduler", scheduler),
    h("div", { class: "pair seed" }, field("Seed", seed), random),
    fold("Advanced", false, vae, h("div", { class: "pair" }, field("CLIP skip", number("clipSkip", 0, 12, 1, { whole: true })), field("Guidance rescale", number("cfgRescale", 0, 0.99, 0.05))), seamless),
  ];
}

function refresh() {
  for (const write of controls.values()) write();
}

/** Builds the form. */
export async function makeForm() {
  await loadGeneration();
  const styles = await loadStyles().catch(() => []);
  const { model, vae } = modelSection();
  const reset = button("Reset to defaults", { onclick: () => change(defaultsFor(chosenModel())) });
  const keep = button("Save as workflow", { icon: "workflows", onclick: () => attempt(saveAsWorkflow) });
  const form = h("form", { class: "settings", "aria-label": "Settings of the picture", onsubmit: event => event.preventDefault() },
    invokeSection(), promptSection(styles), canvasTools(share("canvasStrength", "Strength", "How far the painted area may differ."), field("Soft edge (pixels)", number("edge", 0, 128, 4, { whole: true }))),
    upscaleSection(), model, sizeSection(), settingsSection({ vae }), imageSection(), loraSection(), guideSection(), boardField(), h("div", { class: "row" }, keep, reset));
  on("generation", refresh);
  refresh();
  return form;
}

/** Takes the settings that a picture was made with. */
export function useSettings(facts, { recall }) {
  const changes = {};
  const take = (from, to = from) => { if (facts[from] !== undefined && facts[from] !== null) changes[to] = facts[from]; };
  take("positive_prompt", "positive");
  take("negative_prompt", "negative");
  for (const name of ["width", "height", "steps", "scheduler"]) take(name);
  take("cfg_scale", "cfg");
  take("cfg_rescale_multiplier", "cfgRescale");
  take("clip_skip", "clipSkip");
  if (facts.seed !== undefined) Object.assign(changes, { seed: facts.seed, randomSeed: false });
  const model = recall(facts.model);
  if (model) changes.model = model.key;
  else if (facts.model) tell(`The model ${facts.model.name ?? ""} of this picture is not installed; the other settings were taken.`);
  changes.loras = (facts.loras ?? []).map(({ model: lora, weight }) => ({ key: recall(lora)?.key, weight, on: true })).filter(lora => modelOf(lora.key));
  if (app.models.length && Object.keys(changes).length > 1) change({ ...changes, style: null });
  else tell("This picture says nothing about how it was made.", "error");
}
