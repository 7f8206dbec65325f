// How the queue stands: counts, whether it runs, and what that means for one's own items.
import { call } from "./api.js";
import { app, emit, on } from "./app.js";
import { later } from "./dom.js";

/** The latest state: `{mine, all, running, mineRunning, paused, processing, idleSince, status}`; told as "queue" whenever it was read. */
export let queueState = { mine: 0, all: 0, running: 0, mineRunning: 0, paused: false, processing: false, idleSince: null, runningSince: null, item: null, status: null };

/** An idle processor with items that wait is called stuck after so long, a single item after so long without an end. */
const STUCK_MS = 8000;
const SLOW_MS = 15 * 60_000;

async function read() {
  try {
    const { queue, processor } = await call("GET", "/api/v1/queue/default/status");
    const idle = processor.is_started && queue.pending > 0 && queue.in_progress === 0;
    const running = queue.in_progress > 0;
    queueState = {
      status: queue,
      all: queue.pending + queue.in_progress,
      mine: app.multiuser ? (queue.user_pending ?? 0) + (queue.user_in_progress ?? 0) : queue.pending + queue.in_progress,
      running: queue.in_progress,
      mineRunning: app.multiuser ? queue.user_in_progress ?? 0 : queue.in_progress,
      paused: !processor.is_started,
      idleSince: idle ? queueState.idleSince ?? Date.now() : null,
      runningSince: running && queueState.runningSince && queueState.ended === queue.completed + queue.failed + queue.canceled ? queueState.runningSince : running ? Date.now() : null,
      ended: queue.completed + queue.failed + queue.canceled,
    };
    emit("queue", queueState);
  } catch {
    // The next event or the next look tells.
  }
}

/** Reads the state soon. */
export const refreshQueue = later(read, 120);

/**
 * What the state means, in one word and one sentence: "empty", "running", "others" (others are before you), "paused", "stuck", "waiting"
 * (one's own are before one's own).
 */
export function verdict(state = queueState) {
  const waiting = state.all - state.running;
  const others = state.all - state.mine;
  if (state.paused) {
    return ["paused", waiting ? "Paused: an administrator has paused the queue. What waits starts when it is resumed." : "Paused: an administrator has paused the queue."];
  }
  if (state.idleSince && Date.now() - state.idleSince > STUCK_MS) {
    return ["stuck", "Stuck: items wait, the queue is not paused, and yet nothing is being processed. Tell an administrator."];
  }
  if (state.runningSince && Date.now() - state.runningSince > SLOW_MS) {
    return ["stuck", `Possibly stuck: nothing has ended for ${Math.round((Date.now() - state.runningSince) / 60_000)} minutes. Tell an administrator if this goes on.`];
  }
  if (state.mine > 0 && state.mineRunning === 0 && others > 0) {
    return ["others", `Others are before you: ${others === 1 ? "1 item of somebody else is" : `${others} items of others are`} in the queue. Yours will start in their turn.`];
  }
  if (state.mineRunning > 0) return ["running", `Running: ${state.mineRunning === 1 ? "an item" : `${state.mineRunning} items`} of yours.`];
  if (state.running > 0) return ["others-only", "An item of somebody else is running. Nothing of yours waits."];
  if (state.mine > 0) return ["waiting", "Waiting to be started."];
  return ["empty", "The queue is empty."];
}

/** Starts to follow the queue. */
export function startQueueState() {
  for (const name of ["queue_item_status_changed", "batch_enqueued", "queue_items_canceled", "queue_items_retried", "queue_cleared"]) {
    on(`socket:${name}`, () => refreshQueue());
  }
  on("connected", yes => { if (yes) refreshQueue(); });
  setInterval(() => { if (!document.hidden || queueState.all) read(); }, 5000);
  read();
}
