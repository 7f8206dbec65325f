// Prompt templates: the ones of the server, how one changes the prompts, and the dialog in which they are made and changed.
import { call } from "./api.js";
import { app, emit, isAdmin, myId } from "./app.js";
import { confirm, openDialog } from "./dialogs.js";
import { attempt, button, field, h, tell, tick } from "./dom.js";

let presets = [];

/** Reads the templates that the account may use, and tells "styles". */
export async function loadStyles() {
  presets = await call("GET", "/api/v1/style_presets/");
  emit("styles", presets);
  return presets;
}

function merged(template, text) {
  if (!template) return text;
  return template.includes("{prompt}") ? template.replace("{prompt}", () => text) : `${text} ${template}`.trim();
}

/** The prompts of the form as the chosen template has them: positive, negative. */
export function styled({ positive, negative, style }) {
  const preset = presets.find(one => one.id === style);
  if (!preset) return [positive, negative];
  return [merged(preset.preset_data.positive_prompt, positive), merged(preset.preset_data.negative_prompt, negative)];
}

/** A changed template is sent whole: without its picture it would lose it. */
async function send(preset, data) {
  const form = new FormData();
  form.append("data", JSON.stringify(data));
  if (preset?.image) {
    form.append("image", await call("GET", `/${preset.image}`, undefined, { as: "blob" }), "image.webp");
  }
  await call(preset ? "PATCH" : "POST", preset ? `/api/v1/style_presets/i/${encodeURIComponent(preset.id)}` : "/api/v1/style_presets/", form);
  await loadStyles();
}

function edit(preset, done) {
  const name = h("input", { type: "text", value: preset?.name ?? "", maxLength: 200 });
  const positive = h("textarea", { rows: 3, value: preset?.preset_data.positive_prompt ?? "{prompt}" });
  const negative = h("textarea", { rows: 2, value: preset?.preset_data.negative_prompt ?? "" });
  const shared = tick("Shared with everybody", { checked: preset?.is_public ?? false });
  openDialog({
    title: preset ? `Edit ${preset.name}` : "New template",
    body: [field("Name", name), field("Template of the prompt", positive, { hint: "{prompt} stands for what is typed." }), field("Template of the negative prompt", negative), app.multiuser && shared],
    actions: [{ label: "Cancel" }, {
      label: "Save", kind: "primary", run: async () => {
        if (!name.value.trim()) throw new Error("Name: it cannot be empty");
        await send(preset, { name: name.value.trim(), positive_prompt: positive.value, negative_prompt: negative.value, type: "user", is_public: app.multiuser && shared.input.checked });
        done();
      },
    }],
  });
}

/** Opens the dialog with all templates. */
export function openStyles() {
  const list = h("ul", { class: "found" });
  const show = () => list.replaceChildren(...presets.map(row));
  const row = preset => {
    const own = preset.type !== "default" && (isAdmin() || preset.user_id === myId());
    return h("li", { class: "row" }, h("div", { class: "grow" }, h("strong", {}, preset.name), preset.type === "default" ? h("span", { class: "badge" }, "Default") : preset.is_public && app.multiuser && h("span", { class: "badge" }, "Shared"),
      h("p", { class: "hint clip" }, preset.preset_data.positive_prompt)),
    own && button("", { icon: "pencil", label: `Edit ${preset.name}`, onclick: () => edit(preset, show) }), own && button("", { icon: "trash", label: `Delete ${preset.name}`, onclick: () => attempt(async () => {
      if (!(await confirm(`Delete “${preset.name}”?`, "This cannot be undone.", "Delete"))) return;
      await call("DELETE", `/api/v1/style_presets/i/${encodeURIComponent(preset.id)}`);
      await loadStyles();
      tell("The template is deleted.");
      show();
    }) }));
  };
  show();
  openDialog({ title: "Prompt templates", wide: true, body: [list], actions: [{ label: "New template", run: () => { edit(null, show); return false; } }, { label: "Done", kind: "primary" }] });
}
