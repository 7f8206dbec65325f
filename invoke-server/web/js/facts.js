// What a picture says of itself, as a list to read.
import { button, h, tell, when } from "./dom.js";

const NAMES = {
  positive_prompt: "Prompt", negative_prompt: "Negative prompt", model: "Model", width: "Width", height: "Height", steps: "Steps", cfg_scale: "Guidance", scheduler: "Scheduler",
  seed: "Seed", strength: "Strength", generation_mode: "Mode", loras: "LoRA", vae: "VAE", clip_skip: "CLIP skip", init_image: "First picture",
};

function words(value) {
  if (Array.isArray(value)) return value.map(words).join(", ");
  if (value && typeof value === "object") return value.name ?? (value.model ? `${value.model.name} (${value.weight})` : JSON.stringify(value));
  return String(value);
}

/** Elements: the facts of the record, then those of its metadata, then everything as text. */
export function factsList(record, facts) {
  const rows = [["Name", record?.image_name], ["Size", record && `${record.width} × ${record.height}`], ["Made", when(record?.created_at)], ["Kind", record?.image_category]];
  for (const [key, name] of Object.entries(NAMES)) {
    const value = facts?.[key];
    if (value !== undefined && value !== null && value !== "" && !(Array.isArray(value) && !value.length)) rows.push([name, words(value)]);
  }
  const list = h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  if (!facts) return [list, h("p", { class: "hint" }, "It says nothing about how it was made.")];
  const text = JSON.stringify(facts, null, 2);
  const copy = button("Copy as JSON", { onclick: () => navigator.clipboard?.writeText(text).then(() => tell("Copied."), () => tell("The browser does not allow to copy.", "error")) });
  return [list, h("details", { class: "fold" }, h("summary", {}, "All metadata"), h("pre", {}, text), copy)];
}
