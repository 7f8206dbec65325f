// LoRAs of the form.
import { modelOf, modelsOf, on } from "./app.js";
import { button, fold, h, select, tick } from "./dom.js";
import { change, chosenModel, values } from "./generation.js";

/** The section: those that are chosen, with their weights, and a list to add from. */
export function loraSection() {
  const list = h("ul", { class: "loras" });
  const add = select([], "", {
    "aria-label": "Add a LoRA",
    onchange: () => {
      if (add.value) change({ loras: [...values.loras, { key: add.value, weight: modelOf(add.value)?.default_settings?.weight ?? 0.75, on: true }] });
    },
  });
  const none = h("p", { class: "hint" }, "No LoRA for this model is installed.");
  const show = () => {
    const possible = modelsOf("lora", chosenModel()?.base);
    const free = possible.filter(model => !values.loras.some(lora => lora.key === model.key));
    none.hidden = possible.length > 0;
    add.hidden = free.length === 0;
    add.replaceChildren(h("option", { value: "" }, "Add a LoRA …"), ...free.map(model => h("option", { value: model.key }, model.name)));
    list.replaceChildren(...values.loras.map(row));
  };
  const row = lora => {
    const name = modelOf(lora.key)?.name ?? "unknown";
    const set = changes => change({ loras: values.loras.map(one => (one.key === lora.key ? { ...one, ...changes } : one)) });
    const use = tick(name, { checked: lora.on, onchange: event => set({ on: event.target.checked }) });
    const weight = h("input", { type: "number", min: -5, max: 5, step: 0.05, value: lora.weight, "aria-label": `Weight of ${name}`, onchange: event => set({ weight: Number(event.target.value) || 0 }) });
    return h("li", { class: "row" }, use, h("span", { class: "grow" }), weight,
      button("", { icon: "close", label: `Remove ${name}`, onclick: () => change({ loras: values.loras.filter(one => one.key !== lora.key) }) }));
  };
  on("models", show);
  on("generation", show);
  show();
  return fold("LoRA", values.loras.length > 0, none, list, add);
}
