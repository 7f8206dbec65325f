// What is being made now: the bar at the top, the preview for the viewer, and the news of pictures that are done.
import { call } from "./api.js";
import { app, emit, myId, on } from "./app.js";
import { h, tell } from "./dom.js";
import { act } from "./keys.js";
import { queueState, refreshQueue } from "./queuestate.js";

/** One's own item that runs: `{item, message, part, image}`; null if none does. Told as "progress" on every change. */
export let running = null;

/** The bar, with what is being done. */
export function progressBar() {
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the picture" });
  const text = h("span", { class: "doing" });
  const box = h("div", { class: "progress", hidden: true }, bar, text);
  const show = () => {
    const foreign = !running && queueState.running > queueState.mineRunning;
    box.hidden = !running && !foreign;
    text.textContent = running ? running.message : foreign ? "Somebody else's item is running" : "";
    if (running?.part === null || running?.part === undefined) bar.removeAttribute("value");
    else bar.value = running.part;
  };
  on("progress", show);
  on("queue", show);
  return box;
}

function mine(event) {
  return event.user_id === myId();
}

function set(value) {
  running = value;
  emit("progress", running);
}

/** Starts to follow the events of items. */
export function startProgress() {
  on("socket:invocation_progress", event => {
    if (!mine(event) || event.queue_id !== "default") return;
    set({ item: event.item_id, message: event.message, part: event.percentage, image: event.image ?? (running?.item === event.item_id ? running.image : null) });
  });
  on("socket:invocation_complete", event => {
    if (!mine(event)) return;
    const name = event.result?.image?.image_name;
    if (name && !event.invocation.is_intermediate) emit("picture-made", { name, item: event.item_id, destination: event.destination, board: event.invocation.board?.board_id ?? null });
  });
  on("socket:queue_item_status_changed", event => {
    if (!mine(event)) return;
    if (event.status === "in_progress") set({ item: event.item_id, message: "Starting", part: null, image: null });
    else if (running?.item === event.item_id) set(null);
    if (event.status === "failed") tell(`Failed: ${event.error_message ?? event.error_type ?? "the server gave no reason"}`, "error");
  });
  // After a lost connection nobody tells what has ended meanwhile.
  on("connected", async yes => {
    if (!yes) return;
    const item = await call("GET", "/api/v1/queue/default/current").catch(() => null);
    if (item && item.user_id === (app.multiuser ? app.me.user_id : item.user_id)) {
      if (running?.item !== item.item_id) set({ item: item.item_id, message: "Running", part: null, image: null });
    } else if (running) set(null);
  });
  act("cancel", cancelRunning);
}

/** Cancels one's own item that runs. */
export async function cancelRunning() {
  if (!running) return;
  const { item } = running;
  await call("PUT", `/api/v1/queue/default/i/${item}/cancel`).catch(error => tell(error.message, "error"));
  refreshQueue();
}
