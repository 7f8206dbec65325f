// What is to be made: the values of the form, kept in the account; and how they change.
import { app, emit, modelOf, modelsOf } from "./app.js";
import { attempt, later } from "./dom.js";
import { preferences, store, stored } from "./preferences.js";

const KEY = "page_generation";

/** Families of models whose graphs this page builds. */
const FAMILIES = ["sd-1", "sd-2", "sdxl"];
/** The side of a square picture that a family was trained on. */
const SIDE = { "sd-1": 512, "sd-2": 768, sdxl: 1024 };

/** Values of the form. Widths and heights in pixels, `strength` from 0 (keep the picture) to 1 (only its size stays). */
export const values = {
  positive: "", negative: "", model: null, vae: null, width: 512, height: 512, steps: 20, cfg: 5, cfgRescale: 0, scheduler: "euler", seed: 0, randomSeed: true, count: 1,
  clipSkip: 0, seamlessX: false, seamlessY: false, loras: [], guides: [], image: null, strength: 0.65, board: "none", style: null,
  canvasStrength: 0.8, edge: 16, factor: 2, creativity: 0.35, upscaler: null,
};

const keep = later(() => attempt(() => store(KEY, values)), 800);

/** Changes values and tells "generation". `by` is whoever changed them. */
export function change(changes, by = null) {
  Object.assign(values, changes);
  keep();
  emit("generation", by);
}

/** Main models that can be used. */
export function usableModels() {
  return modelsOf("main").filter(model => FAMILIES.includes(model.base));
}

/** The record of the chosen model, or null. */
export function chosenModel() {
  return modelOf(values.model);
}

/** The size that a model is meant for. */
export function nativeSize(model) {
  const settings = model?.default_settings;
  const side = SIDE[model?.base] ?? 512;
  return [settings?.width ?? side, settings?.height ?? side];
}

/** What a model itself says of good values, and its size unless the account has one of its own. */
function saidBy(model) {
  const settings = model?.default_settings ?? {};
  const [width, height] = nativeSize(model);
  const said = { width: preferences.defaults.width ?? width, height: preferences.defaults.height ?? height, steps: settings.steps, cfg: settings.cfg_scale, scheduler: settings.scheduler, cfgRescale: settings.cfg_rescale_multiplier };
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== null && value !== undefined));
}

/** The account's own defaults, where the model says nothing. */
export function defaultsFor(model) {
  const { steps, cfg, scheduler } = preferences.defaults;
  return { steps, cfg, scheduler, cfgRescale: 0, ...saidBy(model) };
}

/** Chooses a model, and the values that go with it. */
export function chooseModel(key, by = null) {
  const model = modelOf(key);
  const before = chosenModel();
  const changes = { model: key };
  if (model && model.base !== before?.base) {
    changes.loras = values.loras.filter(lora => modelOf(lora.key)?.base === model.base);
    changes.guides = values.guides.filter(guide => modelOf(guide.key)?.base === model.base);
    changes.vae = modelOf(values.vae)?.base === model.base ? values.vae : null;
  }
  change({ ...changes, ...saidBy(model) }, by);
}

/** Reads what the account used last; without that, the defaults of the first model. */
export async function loadGeneration() {
  const kept = await stored(KEY, null);
  if (kept) for (const key of Object.keys(values)) if (kept[key] !== undefined) values[key] = kept[key];
  values.loras = values.loras.filter(lora => modelOf(lora.key));
  values.guides = values.guides.filter(guide => modelOf(guide.key));
  if (!modelOf(values.vae)) values.vae = null;
  if (!chosenModel()) {
    const first = usableModels()[0];
    values.model = first?.key ?? null;
    if (first) Object.assign(values, defaultsFor(first));
  }
}

/** The schedulers that the server knows. */
export function schedulers() {
  return app.nodes.denoise_latents?.properties.scheduler.enum ?? [values.scheduler];
}
