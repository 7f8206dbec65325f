// Pictures that guide the next one: ControlNet, T2I-Adapter, IP-Adapter.
import { app, identifier, modelOf, modelsOf, on } from "./app.js";
import { button, field, fold, h, select } from "./dom.js";
import { change, chosenModel, values } from "./generation.js";
import { pictureField } from "./selected.js";

/** How each kind of model enters a graph: its node, the names of its inputs, and the input of denoising that takes it. */
const KINDS = {
  controlnet: { type: "controlnet", model: "control_model", weight: "control_weight", output: "control", input: "control" },
  t2i_adapter: { type: "t2i_adapter", model: "t2i_adapter_model", weight: "weight", output: "t2i_adapter", input: "t2i_adapter" },
  ip_adapter: { type: "ip_adapter", model: "ip_adapter_model", weight: "weight", output: "ip_adapter", input: "ip_adapter" },
};
/** Nodes that make of a picture what a model wants to see. */
const PREPARATIONS = [
  ["canny_edge_detection", "Edges"], ["lineart_edge_detection", "Lines"], ["hed_edge_detection", "Soft edges"], ["pidi_edge_detection", "Sketch"], ["mlsd_detection", "Straight lines"],
  ["depth_anything_depth_estimation", "Depth"], ["normal_map", "Surfaces"], ["dw_openpose_detection", "Pose"], ["mediapipe_face_detection", "Faces"], ["content_shuffle", "Shuffled"],
];

/** The guides that can be used: with a model of the right base, and a picture. */
function usable(model) {
  return values.guides.filter(guide => guide.image && modelOf(guide.key)?.base === model.base);
}

/** Adds the guides to a graph. */
export function addGuides(g, denoise, model) {
  for (const [kind, { type, model: modelInput, weight, output, input }] of Object.entries(KINDS)) {
    const some = usable(model).filter(guide => modelOf(guide.key).type === kind);
    if (!some.length) continue;
    const collect = g.add(`${kind}_collector`, "collect");
    for (const guide of some) {
      const node = g.add(kind, type, { [modelInput]: identifier(modelOf(guide.key)), [weight]: guide.weight, begin_step_percent: 0, end_step_percent: guide.end, image: { image_name: guide.image } });
      if (guide.preparation && app.nodes[guide.preparation]) {
        const prepared = g.add(guide.preparation, guide.preparation, { image: { image_name: guide.image } });
        delete g.nodes[node].image;
        g.join(prepared, "image", node, "image");
      }
      g.join(node, output, collect, "item");
    }
    g.join(collect, "collection", denoise, input);
  }
}

/** The section of the form. */
export function guideSection() {
  const list = h("ul", { class: "guides" });
  const add = select([], "", {
    "aria-label": "Add a guide",
    onchange: () => { if (add.value) change({ guides: [...values.guides, { id: Date.now(), key: add.value, image: null, weight: 1, end: 1, preparation: "" }] }); },
  });
  const section = fold("Guidance by pictures", values.guides.length > 0, list, add);
  let before = null;
  const show = () => {
    const possible = Object.keys(KINDS).flatMap(kind => modelsOf(kind, chosenModel()?.base));
    section.hidden = possible.length === 0;
    const state = JSON.stringify([values.guides.map(guide => guide.id), possible.map(model => model.key), Object.keys(app.nodes).length]);
    if (state === before) return;
    before = state;
    add.replaceChildren(h("option", { value: "" }, "Add …"), ...possible.map(model => h("option", { value: model.key }, model.name)));
    list.replaceChildren(...values.guides.filter(guide => modelOf(guide.key)).map(entry));
  };
  const entry = guide => {
    const { name, type } = modelOf(guide.key);
    const set = changes => change({ guides: values.guides.map(one => (one.id === guide.id ? Object.assign(one, changes) : one)) });
    const preparations = [["", "As it is"], ...PREPARATIONS.filter(([node]) => app.nodes[node])];
    const preparation = type === "ip_adapter" ? null : select(preparations, guide.preparation, { onchange: () => set({ preparation: preparation.value }) });
    const weight = h("input", { type: "number", min: 0, max: 2, step: 0.05, value: guide.weight, oninput: () => set({ weight: Number(weight.value) || 0 }) });
    const end = h("input", { type: "number", min: 0, max: 1, step: 0.05, value: guide.end, oninput: () => set({ end: Math.min(1, Math.max(0, Number(end.value) || 0)) }) });
    return h("li", { class: "block" }, h("div", { class: "row" }, h("strong", { class: "grow" }, name), button("", { icon: "close", label: `Remove ${name}`, onclick: () => change({ guides: values.guides.filter(one => one.id !== guide.id) }) })),
      pictureField("Picture", guide.image, record => set({ image: record.image_name })), preparation && field("Prepared as", preparation), h("div", { class: "pair" }, field("Weight", weight), field("Until (share of the steps)", end)));
  };
  on("models", show);
  on("nodes", show);
  on("generation", show);
  show();
  return section;
}
