// Sending work to the queue.
import { call } from "./api.js";
import { emit } from "./app.js";
import { change, chosenModel, values } from "./generation.js";
import { inpaint, linear, upscale } from "./graphs.js";
import { maskedPicture } from "./canvas.js";
import { plural, tell } from "./dom.js";
import { refreshQueue } from "./queuestate.js";
import { styled } from "./styles.js";

const SEEDS = 2 ** 32;
const MOST_PROMPTS = 100;

/** Sends a batch; what the server answers. */
export async function enqueue(batch, prepend = false) {
  const done = await call("POST", "/api/v1/queue/default/enqueue_batch", { batch, prepend });
  refreshQueue();
  if (done.enqueued < done.requested) tell(`The queue is full: ${done.enqueued} of ${done.requested} were taken.`, "error");
  else tell(`${plural(done.enqueued, "item")} added to the queue.`);
  emit("enqueued", done);
  return done;
}

/** The seeds of a run: consecutive from the first. */
function seeds() {
  if (values.randomSeed) change({ seed: crypto.getRandomValues(new Uint32Array(1))[0] });
  return Array.from({ length: values.count }, (_, index) => (values.seed + index) % SEEDS);
}

/** A prompt with variants, `{red|blue}`, stands for several. */
async function variants(prompt) {
  if (!/[{}]|__/.test(prompt)) return [prompt];
  const { prompts, error } = await call("POST", "/api/v1/utilities/dynamicprompts", { prompt, max_prompts: MOST_PROMPTS, combinatorial: true });
  if (error) throw new Error(`Prompt: ${error}`);
  return prompts;
}

async function batchData(made) {
  const [positive, negative] = styled(values);
  const prompts = await variants(positive);
  const one = (id, items) => ({ node_path: id, field_name: "value", items });
  return [[one(made.seed, seeds())], [one(made.positive, prompts), one(made.negative, prompts.map(() => negative))]];
}

/** What has to be said before anything can be made with the values of the form; null if nothing. */
export function lacking(view) {
  const model = chosenModel();
  if (view === "upscale" && !values.image) return "Choose a picture in the gallery: its menu has “Upscale”.";
  if (view === "upscale" && values.creativity <= 0) return null;
  if (!model) return "Choose a model. An administrator can add models.";
  if (view === "canvas" && !maskedPicture.ready()) return "Put a picture on the canvas and paint over what is to be made anew.";
  return null;
}

/** Builds the graph of a view and puts it into the queue. */
export async function invoke(view) {
  const problem = lacking(view);
  if (problem) throw new Error(problem);
  const model = chosenModel();
  let made;
  let origin = "generate";
  let destination = "generate";
  if (view === "canvas") {
    const { image, mask } = await maskedPicture.upload();
    made = inpaint(values, model, image, mask);
    [origin, destination] = ["canvas", "canvas"];
  } else if (view === "upscale") {
    made = upscale(values, model, values.image);
    [origin, destination] = ["upscaling", "gallery"];
  } else made = linear(values, model);
  if (values.board !== "none") made.g.nodes[made.output].board = { board_id: values.board };
  const batch = { graph: made.g.toJSON(), runs: 1, origin, destination };
  if (made.seed) batch.data = await batchData(made);
  return await enqueue(batch);
}
