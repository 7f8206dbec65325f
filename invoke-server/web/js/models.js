// Models: the list for everybody; adding, changing and deleting for administrators.
import { base, call } from "./api.js";
import { app, isAdmin, loadModels, on } from "./app.js";
import { attempt, button, bytes, field, h, select, tell } from "./dom.js";
import { confirm, openDialog } from "./dialogs.js";
import { addModels } from "./install.js";

const TYPES = { main: "Main", lora: "LoRA", vae: "VAE", controlnet: "ControlNet", t2i_adapter: "T2I-Adapter", ip_adapter: "IP-Adapter", embedding: "Embedding", clip_vision: "CLIP Vision", spandrel_image_to_image: "Upscale", unknown: "Unknown" };

function typeName(type) {
  return TYPES[type] ?? type.replaceAll("_", " ");
}

/** Builds the view. */
export function makeModels() {
  let wanted = "";
  let text = "";
  const body = h("tbody");
  const table = h("table", { class: "list" }, h("thead", {}, h("tr", {}, ["Name", "Type", "Base", "Format", "Size", "Actions"].map((title, index) => h("th", { scope: "col" }, index < 5 ? title : h("span", { class: "unseen" }, title))))), body);
  const empty = h("p", { class: "empty" }, "No models are installed.");
  const types = select([["", "All types"]], "", { "aria-label": "Type", onchange: () => { wanted = types.value; show(); } });
  const find = h("input", { type: "search", placeholder: "Search", "aria-label": "Search models", oninput: () => { text = find.value.trim().toLowerCase(); show(); } });
  const note = isAdmin() ? null : h("p", { class: "hint", role: "note" }, "You can view the models here. Adding, changing and deleting them: Admin privileges required.");
  const list = h("div", { class: "tab-body" }, note, h("div", { class: "row head" }, find, types, h("span", { class: "grow" }), isAdmin() && button("Refresh", { icon: "reuse", onclick: () => attempt(loadModels) })), empty, h("div", { class: "scroll" }, table));
  const view = h("section", { class: "page" });
  if (isAdmin()) {
    const add = addModels();
    add.hidden = true;
    const tab = (title, mine, other, selected) => h("button", { type: "button", role: "tab", "aria-selected": String(selected), onclick: event => {
      mine.hidden = false;
      other.hidden = true;
      for (const one of event.currentTarget.parentElement.children) one.setAttribute("aria-selected", String(one === event.currentTarget));
    } }, title);
    view.append(h("div", { class: "tabs", role: "tablist", "aria-label": "Models" }, tab("Installed", list, add, true), tab("Add Models", add, list, false)), list, add);
  } else view.append(list);

  function show() {
    const present = [...new Set(app.models.map(model => model.type))].sort();
    types.replaceChildren(h("option", { value: "" }, "All types"), ...present.map(type => h("option", { value: type }, typeName(type))));
    types.value = present.includes(wanted) ? wanted : wanted = "";
    const models = app.models.filter(model => (!wanted || model.type === wanted) && (!text || `${model.name} ${model.description ?? ""} ${model.base}`.toLowerCase().includes(text)));
    body.replaceChildren(...models.sort((a, b) => a.type.localeCompare(b.type) || a.name.localeCompare(b.name)).map(row));
    empty.hidden = models.length > 0;
  }

  const row = model => h("tr", { data: { model: model.key } },
    h("td", { "data-title": "Name" }, h("button", { type: "button", class: "link", onclick: () => attempt(() => details(model)) }, model.name), model.description && h("p", { class: "hint clip" }, model.description)),
    h("td", { "data-title": "Type" }, typeName(model.type)), h("td", { "data-title": "Base" }, model.base), h("td", { "data-title": "Format" }, model.format), h("td", { "data-title": "Size" }, bytes(model.file_size)),
    h("td", { class: "actions" }, isAdmin() && [button("", { icon: "pencil", label: `Edit ${model.name}`, onclick: () => edit(model) }), button("", { icon: "trash", label: `Delete ${model.name}`, onclick: () => removal(model) })]));

  async function removal(model) {
    if (!(await confirm(`Delete ${model.name}?`, "Its files are deleted if they lie in the models folder of the server. Models used in place stay where they are.", "Delete"))) return;
    await attempt(async () => {
      await call("DELETE", `/api/v2/models/i/${encodeURIComponent(model.key)}`);
      tell(`${model.name} is deleted.`);
      await loadModels();
    });
  }

  async function details(model) {
    const now = await call("GET", `/api/v2/models/i/${encodeURIComponent(model.key)}`);
    const shownKeys = ["name", "description", "type", "base", "format", "variant", "prediction_type", "path", "source", "hash", "key"];
    openDialog({
      title: model.name, wide: true,
      body: [now.cover_image && h("img", { class: "cover", alt: "", src: `${base}/${now.cover_image}` }),
        h("dl", { class: "facts" }, shownKeys.filter(key => now[key]).map(key => [h("dt", {}, key.replaceAll("_", " ")), h("dd", {}, String(now[key]))])),
        now.trigger_phrases?.length > 0 && h("p", {}, "Trigger phrases: ", now.trigger_phrases.join(", ")), now.default_settings && h("details", { class: "fold" }, h("summary", {}, "Default settings"), h("pre", {}, JSON.stringify(now.default_settings, null, 2)))],
      actions: isAdmin() ? [{ label: "Edit", run: () => { edit(now); } }, { label: "Done", kind: "primary" }] : [{ label: "Done", kind: "primary" }],
    });
  }

  function edit(model) {
    const name = h("input", { type: "text", value: model.name, required: true });
    const description = h("textarea", { rows: 3, value: model.description ?? "" });
    const triggers = "trigger_phrases" in model ? h("input", { type: "text", value: (model.trigger_phrases ?? []).join(", ") }) : null;
    const settings = model.type === "main" ? model.default_settings ?? {} : null;
    const numbers = settings ? Object.fromEntries([["width", "Default width"], ["height", "Default height"], ["steps", "Default steps"], ["cfg_scale", "Default guidance"]]
      .map(([key, label]) => [key, [label, h("input", { type: "number", step: key === "cfg_scale" ? 0.5 : 1, value: settings[key] ?? "" })]])) : {};
    const weight = model.type === "lora" ? h("input", { type: "number", step: 0.05, value: model.default_settings?.weight ?? "" }) : null;
    openDialog({
      title: `Edit ${model.name}`,
      body: [field("Name", name), field("Description", description), triggers && field("Trigger phrases", triggers, { hint: "Separated by commas." }),
        Object.values(numbers).map(([label, input]) => field(label, input)), weight && field("Default weight", weight)],
      actions: [{ label: "Cancel" }, {
        label: "Save", kind: "primary", run: async () => {
          if (!name.value.trim()) throw new Error("Name: it cannot be empty");
          const changes = { name: name.value.trim(), description: description.value.trim() || null };
          if (triggers) changes.trigger_phrases = triggers.value.split(",").map(text1 => text1.trim()).filter(Boolean);
          if (settings) changes.default_settings = { ...settings, ...Object.fromEntries(Object.entries(numbers).map(([key, [, input]]) => [key, input.value === "" ? null : Number(input.value)])) };
          if (weight) changes.default_settings = { ...model.default_settings, weight: weight.value === "" ? null : Number(weight.value) };
          await call("PATCH", `/api/v2/models/i/${encodeURIComponent(model.key)}`, changes);
          tell("The model is saved.");
          await loadModels();
        },
      }],
    });
  }

  on("models", show);
  on("view", name => { if (name === "models") attempt(loadModels); });
  show();
  return view;
}


