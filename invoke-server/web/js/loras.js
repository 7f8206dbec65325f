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
  let before = null;
  let rows = [];
  const show = () => {
    const possible = modelsOf("lora", chosenModel()?.base);
    const state = JSON.stringify([values.loras.map(lora => lora.key), possible.map(model => model.key)]);
    if (state !== before) {
      before = state;
      const free = possible.filter(model => !values.loras.some(lora => lora.key === model.key));
      none.hidden = possible.length > 0;
      add.hidden = free.length === 0;
      add.replaceChildren(h("option", { value: "" }, "Add a LoRA …"), ...free.map(model => h("option", { value: model.key }, model.name)));
      rows = values.loras.map(row);
      list.replaceChildren(...rows.map(({ element }) => element));
    }
    values.loras.forEach((lora, index) => rows[index].show(lora));
  };
  const row = ({ key }) => {
    const name = modelOf(key)?.name ?? "unknown";
    const set = changes => change({ loras: values.loras.map(one => (one.key === key ? { ...one, ...changes } : one)) });
    const use = tick(name, { onchange: () => set({ on: use.input.checked }) });
    const weight = h("input", { type: "number", min: -5, max: 5, step: 0.05, "aria-label": `Weight of ${name}`, oninput: () => set({ weight: Number(weight.value) || 0 }) });
    return {
      element: h("li", { class: "row" }, use, h("span", { class: "grow" }), weight, button("", { icon: "close", label: `Remove ${name}`, onclick: () => change({ loras: values.loras.filter(one => one.key !== key) }) })),
      show(lora) {
        use.input.checked = lora.on;
        if (document.activeElement !== weight) weight.value = lora.weight;
      },
    };
  };
  on("models", show);
  on("generation", show);
  show();
  return fold("LoRA", values.loras.length > 0, none, list, add);
}
