// Graphs: what the values of the form mean, as nodes and edges.
import { app, identifier, modelOf } from "./app.js";
import { addGuides } from "./guides.js";

const letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789";

function suffix() {
  return [...crypto.getRandomValues(new Uint8Array(10))].map(byte => letters[byte % letters.length]).join("");
}

/** A graph that grows. */
class Graph {
  constructor(name) {
    this.id = `${name}:${suffix()}`;
    this.nodes = {};
    this.edges = [];
  }

  /** Adds a node; gives its identifier, made of `prefix` and chance. */
  add(prefix, type, inputs = {}) {
    const id = `${prefix}:${suffix()}`;
    this.nodes[id] = { id, type, is_intermediate: true, use_cache: true, ...inputs };
    return id;
  }

  /** Leads an output of a node to an input of another. */
  join(from, output, to, input) {
    this.edges.push({ source: { node_id: from, field: output }, destination: { node_id: to, field: input } });
  }

  /** What is sent. */
  toJSON() {
    return { id: this.id, nodes: this.nodes, edges: this.edges };
  }
}

/** Every value that is a multiple of 8, as the families here demand. */
function eighth(value) {
  return Math.max(64, Math.round(value / 8) * 8);
}

/** The parts that every picture needs: prompts, model, noise, denoising, decoding, metadata. */
function foundation(values, model, mode, width, height) {
  const xl = model.base === "sdxl";
  const g = new Graph(`${xl ? "sdxl" : "sd1"}_graph`);
  const seed = g.add("seed", "integer");
  const positive = g.add("positive_prompt", "string");
  const negative = g.add("negative_prompt", "string");
  const loader = g.add(xl ? "sdxl_model_loader" : "sd1_model_loader", xl ? "sdxl_model_loader" : "main_model_loader", { model: identifier(model) });
  const noise = g.add("noise", "noise", { use_cpu: true, width, height });
  const denoise = g.add("denoise_latents", "denoise_latents", {
    steps: values.steps, cfg_scale: values.cfg, cfg_rescale_multiplier: values.cfgRescale, scheduler: values.scheduler, denoising_start: 0, denoising_end: 1,
  });
  const output = g.add("canvas_output", "l2i", { fp32: true, is_intermediate: false, use_cache: false });
  const facts = g.add("core_metadata", "core_metadata", {
    generation_mode: xl ? `sdxl_${mode}` : mode, model: identifier(model), width, height, steps: values.steps, cfg_scale: values.cfg,
    cfg_rescale_multiplier: values.cfgRescale, scheduler: values.scheduler, rand_device: "cpu", clip_skip: xl ? undefined : values.clipSkip,
    seamless_x: values.seamlessX, seamless_y: values.seamlessY,
  });
  let unet = [loader, "unet"];
  let clips = [[loader, "clip", "clip"]];
  if (xl) clips.push([loader, "clip2", "clip2"]);
  else {
    const skip = g.add("clip_skip", "clip_skip", { skipped_layers: values.clipSkip });
    g.join(loader, "clip", skip, "clip");
    clips = [[skip, "clip", "clip"]];
  }
  let vae = [loader, "vae"];
  const vaeModel = modelOf(values.vae);
  if (vaeModel) {
    vae = [g.add("vae", "vae_loader", { vae_model: identifier(vaeModel) }), "vae"];
    g.nodes[facts].vae = identifier(vaeModel);
  }
  const loras = values.loras.filter(lora => lora.on && modelOf(lora.key)?.base === model.base);
  if (loras.length) {
    const collect = g.add("lora_collector", "collect");
    const apply = g.add("lora_collection_loader", xl ? "sdxl_lora_collection_loader" : "lora_collection_loader");
    for (const lora of loras) {
      const chosen = g.add("lora_selector", "lora_selector", { lora: identifier(modelOf(lora.key)), weight: lora.weight });
      g.join(chosen, "lora", collect, "item");
    }
    g.join(collect, "collection", apply, "loras");
    g.join(...unet, apply, "unet");
    for (const [from, output, input] of clips) g.join(from, output, apply, input);
    unet = [apply, "unet"];
    clips = clips.map(([, , input]) => [apply, input, input]);
    g.nodes[facts].loras = loras.map(lora => ({ model: identifier(modelOf(lora.key)), weight: lora.weight }));
  }
  if (values.seamlessX || values.seamlessY) {
    const seamless = g.add("seamless", "seamless", { seamless_x: values.seamlessX, seamless_y: values.seamlessY });
    g.join(...unet, seamless, "unet");
    g.join(...vae, seamless, "vae");
    unet = [seamless, "unet"];
    vae = [seamless, "vae"];
  }
  for (const [prompt, input, prefix] of [[positive, "positive_conditioning", "pos_cond"], [negative, "negative_conditioning", "neg_cond"]]) {
    const text = g.add(prefix, xl ? "sdxl_compel_prompt" : "compel", xl ? { target_width: width, target_height: height, original_width: width, original_height: height } : {});
    const collect = g.add(`${prefix}_collect`, "collect");
    g.join(prompt, "value", text, "prompt");
    if (xl) g.join(prompt, "value", text, "style");
    for (const [from, output, clip] of clips) g.join(from, output, text, clip);
    g.join(text, "conditioning", collect, "item");
    g.join(collect, "collection", denoise, input);
  }
  addGuides(g, denoise, model);
  g.join(...unet, denoise, "unet");
  g.join(seed, "value", noise, "seed");
  g.join(noise, "noise", denoise, "noise");
  g.join(denoise, "latents", output, "latents");
  g.join(...vae, output, "vae");
  g.join(seed, "value", facts, "seed");
  g.join(positive, "value", facts, "positive_prompt");
  g.join(negative, "value", facts, "negative_prompt");
  g.join(facts, "metadata", output, "metadata");
  return { g, seed, positive, negative, denoise, noise, output, facts, unet, vae };
}

/** Has denoising begin with a picture instead of noise alone; gives the node and output that hold the picture at the right size. */
function beginWith(made, image, strength, width, height) {
  const { g, denoise, vae } = made;
  const latents = g.add("i2l", "i2l", { fp32: true });
  if (image.width === width && image.height === height) g.nodes[latents].image = { image_name: image.name };
  else {
    const resize = g.add("resize", "img_resize", { image: { image_name: image.name }, width, height, resample_mode: "lanczos" });
    g.join(resize, "image", latents, "image");
    made.resized = resize;
  }
  g.join(...vae, latents, "vae");
  g.join(latents, "latents", denoise, "latents");
  g.nodes[denoise].denoising_start = 1 - strength;
  g.nodes[made.facts].strength = strength;
  g.nodes[made.facts].init_image = image.name;
}

/** Text to picture, or picture to picture if an image is given. */
export function linear(values, model) {
  const [width, height] = [eighth(values.width), eighth(values.height)];
  const made = foundation(values, model, values.image ? "img2img" : "txt2img", width, height);
  if (values.image) beginWith(made, values.image, values.strength, width, height);
  return made;
}

/**
 * New content where a mask is black: `image` and `mask` are `{name, width, height}` of the same size. The rest of the picture stays as it is.
 */
export function inpaint(values, model, image, mask) {
  const [width, height] = [eighth(image.width), eighth(image.height)];
  const made = foundation(values, model, "inpaint", width, height);
  const { g, denoise, unet, vae } = made;
  beginWith(made, image, values.canvasStrength, width, height);
  const area = g.add("create_gradient_mask", "create_gradient_mask", {
    edge_radius: values.edge, coherence_mode: "Gaussian Blur", minimum_denoise: 0, fp32: true, mask: { image_name: mask.name }, image: { image_name: image.name },
  });
  g.join(...unet, area, "unet");
  g.join(...vae, area, "vae");
  g.join(area, "denoise_mask", denoise, "denoise_mask");
  if (made.resized) {
    const small = g.add("resize_mask", "img_resize", { image: { image_name: mask.name }, width, height, resample_mode: "nearest" });
    for (const [from, to] of [[small, "mask"], [made.resized, "image"]]) {
      delete g.nodes[area][to];
      g.join(from, "image", area, to);
    }
  }
  // What was decoded is the whole picture again; only the area goes onto the original.
  const decoded = made.output;
  Object.assign(g.nodes[decoded], { is_intermediate: true, use_cache: true });
  const paste = g.add("canvas_output", "canvas_paste_back", { is_intermediate: false, use_cache: false, mask_blur: Math.min(16, values.edge), source_image: { image_name: image.name } });
  if (made.resized) {
    delete g.nodes[paste].source_image;
    g.join(made.resized, "image", paste, "source_image");
  }
  g.join(decoded, "image", paste, "target_image");
  g.join(area, "expanded_mask_area", paste, "mask");
  g.edges = g.edges.filter(edge => edge.destination.node_id !== decoded || edge.destination.field !== "metadata");
  g.join(made.facts, "metadata", paste, "metadata");
  made.output = paste;
  return made;
}

/** A larger picture of the same: enlarged, by a model if one is chosen, then drawn anew as far as `creativity` says. */
export function upscale(values, model, image) {
  const [width, height] = [eighth(image.width * values.factor), eighth(image.height * values.factor)];
  const enlarger = modelOf(values.upscaler);
  const enlarge = graph => {
    const facts = { width, height, resample_mode: "lanczos" };
    if (!enlarger || !app.nodes.spandrel_image_to_image_autoscale) return graph.add("upscale", "img_resize", { image: { image_name: image.name }, ...facts });
    const first = graph.add("upscale_model", "spandrel_image_to_image_autoscale", {
      image: { image_name: image.name }, image_to_image_model: identifier(enlarger), scale: values.factor, fit_to_multiple_of_8: true,
    });
    const exact = graph.add("upscale", "img_resize", facts);
    graph.join(first, "image", exact, "image");
    return exact;
  };
  if (values.creativity <= 0) {
    const g = new Graph("upscale_graph");
    const output = enlarge(g);
    const facts = g.add("core_metadata", "core_metadata", { width, height, upscale_initial_image: { image_name: image.name, width: image.width, height: image.height }, upscale_scale: values.factor });
    Object.assign(g.nodes[output], { is_intermediate: false, use_cache: false });
    g.join(facts, "metadata", output, "metadata");
    return { g, output, facts };
  }
  const made = foundation(values, model, "img2img", width, height);
  const { g, denoise, vae } = made;
  const large = enlarge(g);
  const latents = g.add("i2l", "i2l", { fp32: true, tiled: width * height > 1024 * 1024 });
  g.join(large, "image", latents, "image");
  g.join(...vae, latents, "vae");
  g.join(latents, "latents", denoise, "latents");
  g.nodes[denoise].denoising_start = 1 - values.creativity;
  g.nodes[made.output].tiled = width * height > 1024 * 1024;
  Object.assign(g.nodes[made.facts], { upscale_initial_image: { image_name: image.name, width: image.width, height: image.height }, upscale_scale: values.factor, strength: values.creativity });
  return made;
}
