// Prompt templates: the ones of the server, and how one changes the prompts.
import { call } from "./api.js";

let presets = [];

/** Reads the templates that the account may use. */
export async function loadStyles() {
  presets = await call("GET", "/api/v1/style_presets/");
  return presets;
}

function merged(template, text) {
  if (!template) return text;
  return template.includes("{prompt}") ? template.replace("{prompt}", text) : `${text} ${template}`.trim();
}

/** The prompts of the form as the chosen template has them: positive, negative. */
export function styled({ positive, negative, style }) {
  const preset = presets.find(one => one.id === style || one.name === style);
  if (!preset) return [positive, negative];
  return [merged(preset.preset_data.positive_prompt, positive), merged(preset.preset_data.negative_prompt, negative)];
}
