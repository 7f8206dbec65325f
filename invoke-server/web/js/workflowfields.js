// Controls for the fields of a workflow, by what the node's description says of them.
import { app, identifier, modelOf, recall } from "./app.js";
import { boards, mayAddTo } from "./boards.js";
import { field, h, select, tick } from "./dom.js";
import { pictureField } from "./selected.js";

function kinds(schema) {
  const options = schema.anyOf ?? [schema];
  return options.map(option => option.$ref?.split("/").at(-1) ?? option.allOf?.[0]?.$ref?.split("/").at(-1) ?? option.type).filter(kind => kind !== "null");
}

function models(schema, value, set) {
  const list = app.models.filter(model => (!schema.ui_model_type || schema.ui_model_type.includes(model.type)) && (!schema.ui_model_base || schema.ui_model_base.includes(model.base)));
  const present = recall(value)?.key ?? "";
  const control = select([["", "Choose …"], ...list.map(model => [model.key, model.name])], present, { onchange: () => set(control.value ? identifier(modelOf(control.value)) : undefined) });
  if (!present && list.length === 1) {
    control.value = list[0].key;
    set(identifier(list[0]));
  }
  return control;
}

/** A control for a field, with its label; `set` is called with each new value. Gives the element. */
export function controlFor({ schema, label, value, fieldName, node }, set) {
  const kind = kinds(schema);
  const present = value ?? schema.default;
  const options = schema.enum ?? (schema.anyOf ?? []).find(option => option.enum)?.enum;
  const labels = schema.ui_choice_labels ?? {};
  if (options) {
    const control = select(options.map(option => [String(option), labels[option] ?? String(option)]), String(present ?? options[0]), { onchange: () => set(options.find(option => String(option) === control.value)) });
    return field(label, control);
  }
  if (kind.includes("ModelIdentifierField")) return field(label, models(schema, value, set));
  if (kind.includes("ImageField")) return pictureField(label, value?.image_name, record => set({ image_name: record.image_name }));
  if (kind.includes("BoardField")) {
    const own = boards().filter(mayAddTo);
    const control = select([["", "Uncategorized"], ...own.map(board => [board.board_id, board.board_name])], present?.board_id ?? "", { onchange: () => set(control.value ? { board_id: control.value } : undefined) });
    return field(label, control);
  }
  if (kind.includes("boolean")) return tick(label, { checked: Boolean(present), onchange: event => set(event.target.checked) });
  if (kind.includes("integer") || kind.includes("number")) {
    const whole = !kind.includes("number");
    const limits = schema.anyOf?.find(option => ["integer", "number"].includes(option.type)) ?? schema;
    const control = h("input", { type: "number", min: limits.minimum ?? "", max: limits.maximum ?? "", step: whole ? limits.multipleOf ?? 1 : "any", value: typeof present === "number" ? present : 0, onchange: () => set(whole ? Math.round(Number(control.value)) : Number(control.value)) });
    return field(label, control);
  }
  if (kind.includes("string")) {
    const long = schema.ui_component === "textarea" || fieldName === "prompt" || node.data.type === "string";
    const control = h(long ? "textarea" : "input", { rows: long ? 3 : null, type: long ? null : "text", value: present ?? "", oninput: () => set(control.value) });
    return field(label, control);
  }
  if (kind.includes("ColorField")) {
    const hex = value1 => `#${["r", "g", "b"].map(part => (value1?.[part] ?? 127).toString(16).padStart(2, "0")).join("")}`;
    const control = h("input", { type: "color", value: hex(present), oninput: () => {
      const [r, g, b] = [1, 3, 5].map(at => parseInt(control.value.slice(at, at + 2), 16));
      set({ r, g, b, a: present?.a ?? 255 });
    } });
    return field(label, control);
  }
  return h("p", { class: "hint" }, `${label}: it cannot be set here`);
}
