// The dialog of preferences: appearance, hotkeys, defaults of generations, the canvas.
import { app } from "./app.js";
import { button, field, h, select, tick } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { schedulers, values } from "./generation.js";
import { ACTIONS, keysOf, written } from "./keys.js";
import { prefer, preferences } from "./preferences.js";

function hotkeys() {
  const rows = ACTIONS.map(([name, label, first]) => {
    const input = h("input", { type: "text", readOnly: true, value: keysOf(name), "aria-label": `Keys for: ${label}`, class: "keys" });
    const set = keys => {
      const hotkeys = { ...preferences.hotkeys };
      if (keys === first) delete hotkeys[name];
      else hotkeys[name] = keys;
      input.value = keys;
      prefer({ hotkeys });
    };
    input.addEventListener("keydown", event => {
      if (event.key === "Tab" || event.key === "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      const keys = written(event);
      if (!keys) return;
      const other = ACTIONS.find(([action]) => action !== name && keysOf(action) === keys);
      problem.textContent = other ? `${keys} is already used for “${other[1]}”.` : "";
      if (!other) set(keys);
    });
    return h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, input), h("td", {}, button("Reset", { label: `Reset the keys for: ${label}`, onclick: () => set(first) })));
  });
  const problem = h("p", { class: "problem", role: "alert" });
  return [h("p", { class: "hint" }, "Choose a field and press the keys."), problem, h("table", { class: "plain" }, h("tbody", {}, rows))];
}

function defaults() {
  const own = preferences.defaults;
  const control = (key, props) => h("input", { type: "number", value: own[key] ?? "", ...props, onchange: event => {
    const { value } = event.target;
    prefer({ defaults: { ...preferences.defaults, [key]: value === "" ? (key === "width" || key === "height" ? null : preferences.defaults[key]) : Number(value) } });
  } });
  const scheduler = select(schedulers(), own.scheduler, { onchange: () => prefer({ defaults: { ...preferences.defaults, scheduler: scheduler.value } }) });
  const inputs = { width: control("width", { min: 64, max: 4096, step: 8, placeholder: "Model's" }), height: control("height", { min: 64, max: 4096, step: 8, placeholder: "Model's" }), steps: control("steps", { min: 1, max: 200 }), cfg: control("cfg", { min: 1, max: 30, step: 0.5 }) };
  const take = button("Take the present values", { onclick: () => {
    const { width, height, steps, cfg } = values;
    prefer({ defaults: { width, height, steps, cfg, scheduler: values.scheduler } });
    for (const [key, input] of Object.entries(inputs)) input.value = values[key];
    scheduler.value = values.scheduler;
  } });
  return [h("p", { class: "hint" }, "They hold for “Reset to defaults” where the model itself says nothing; the size also when a model is chosen."),
    h("div", { class: "pair" }, field("Default width", inputs.width), field("Default height", inputs.height)), h("div", { class: "pair" }, field("Default steps", inputs.steps), field("Default guidance", inputs.cfg)),
    field("Default scheduler", scheduler), take];
}

/** Opens the dialog. What is changed holds at once. */
export function openPreferences() {
  const theme = select([["system", "As the system"], ["dark", "Dark"], ["light", "Light"]], preferences.theme, { onchange: () => prefer({ theme: theme.value }) });
  const newest = tick("Show a picture as soon as it is done", { checked: preferences.showNewest, onchange: () => prefer({ showNewest: newest.input.checked }) });
  const zoom = select([["fit", "Fit"], ["0.5", "50 %"], ["1", "100 %"], ["2", "200 %"]], preferences.canvas.zoom, { onchange: () => prefer({ canvas: { ...preferences.canvas, zoom: zoom.value } }) });
  const grid = tick("Show the grid", { checked: preferences.canvas.grid, onchange: () => prefer({ canvas: { ...preferences.canvas, grid: grid.input.checked } }) });
  const part = (title, open, ...body) => h("details", { class: "fold", open }, h("summary", {}, title), ...body);
  openDialog({
    title: "Preferences", wide: true,
    body: [h("p", { class: "hint" }, app.multiuser ? "Kept in your account; nobody else is affected." : "Kept on the server."),
      part("Appearance", true, field("Theme", theme), newest), part("Hotkeys", false, hotkeys()), part("Generation defaults", false, defaults()), part("Canvas", false, field("Default zoom", zoom), grid)],
    actions: [{ label: "Done", kind: "primary" }],
  });
}
