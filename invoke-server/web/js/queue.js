// The queue: all items, whose they are, where one's own stand, and what can be done with them.
import { call } from "./api.js";
import { app, isAdmin, myId, on } from "./app.js";
import { attempt, button, h, later, plural, tell, when } from "./dom.js";
import { confirm, openDialog } from "./dialogs.js";
import { refreshQueue, verdict } from "./queuestate.js";
import { running } from "./progress.js";

const PAGE = 100;
const NAMES = { pending: "Waiting", in_progress: "Running", waiting: "Suspended", completed: "Done", failed: "Failed", canceled: "Canceled" };
const FROM = { generate: "Generate", canvas: "Canvas", upscaling: "Upscale", workflows: "Workflow" };
const OVER = ["completed", "failed", "canceled"];

/** Builds the view. */
export function makeQueue() {
  let ids = [];
  let limit = PAGE;
  let onlyMine = false;
  let turn = 0;
  const state = h("p", { class: "verdict", role: "status" });
  const place = h("p", { class: "hint", id: "queue-place" });
  const body = h("tbody");
  const more = button("Show more", { onclick: () => { limit += PAGE; load(); } });
  const empty = h("p", { class: "empty" }, "The queue is empty.");
  const columns = ["", "Status", "Whose", "What", "Added", ""];
  const titles = { 0: "Place", 5: "Actions" };
  const table = h("table", { class: "list queue-list" }, h("thead", {}, h("tr", {}, columns.map((title, index) => h("th", { scope: "col" }, title || h("span", { class: "unseen" }, titles[index]))))), body);
  const act = (text, path, question, done) => button(text, { onclick: () => attempt(async () => {
    if (question && !(await confirm(`${text}?`, question, text))) return;
    const result = await call("PUT", `/api/v1/queue/default/${path}`);
    if (done) tell(done(result));
    refreshQueue();
    await load();
  }) });
  const whose = isAdmin() && app.multiuser ? "everybody's items" : "your items";
  const pause = act("Pause", "processor/pause");
  const resume = act("Resume", "processor/resume");
  const mine = h("input", { type: "checkbox", onchange: () => { onlyMine = mine.checked; load(); } });
  const view = h("section", { class: "page" }, state, place, h("div", { class: "row head" },
    isAdmin() && [pause, resume], act("Cancel all but running", "cancel_all_except_current", `This cancels ${whose} that wait.`, result => `${plural(result.canceled, "item")} canceled.`),
    act("Prune", "prune", null, result => `${plural(result.deleted, "finished item")} removed.`), act("Clear", "clear", `This cancels and removes ${whose}, also what runs.`, result => `${plural(result.deleted, "item")} removed.`),
    h("span", { class: "grow" }), app.multiuser && h("label", { class: "tick" }, mine, h("span", {}, "Only mine"))), empty, h("div", { class: "scroll" }, table), more);

  const isMine = item => !app.multiuser || item.user_id === myId();

  async function summaries(list) {
    return list.length ? await call("POST", "/api/v1/queue/default/item_summaries_by_ids", { item_ids: list }) : [];
  }

  /** All items that wait or run (so many), in the order of their turn: those that run first. */
  async function active(wanted) {
    const found = [];
    for (let start = 0; start < ids.length && found.length < wanted; start += 500) {
      for (const item of await summaries(ids.slice(start, start + 500))) if (!OVER.includes(item.status) && item.status !== "waiting") found.push(item);
    }
    const rank = item => (item.status === "in_progress" ? 0 : 1);
    return found.sort((a, b) => rank(a) - rank(b) || a.item_id - b.item_id);
  }

  async function load() {
    const now = ++turn;
    await attempt(async () => {
      const [{ item_ids: all }, { queue }] = await Promise.all([call("GET", "/api/v1/queue/default/item_ids?order_dir=DESC"), call("GET", "/api/v1/queue/default/status")]);
      ids = all;
      const [first, line] = await Promise.all([summaries(ids.slice(0, limit)), active(queue.pending + queue.in_progress)]);
      if (now !== turn) return;
      const places = new Map(line.map((item, index) => [item.item_id, index + 1]));
      const rest = first.filter(item => !places.has(item.item_id));
      const shownItems = [...line, ...rest].filter(item => !onlyMine || isMine(item));
      const focus = body.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
      body.replaceChildren(...shownItems.map(item => row(item, places.get(item.item_id), line.length)));
      if (focus) body.querySelector(`[aria-label="${CSS.escape(focus)}"]`)?.focus();
      empty.hidden = shownItems.length > 0;
      more.hidden = ids.length <= limit;
      const own = line.filter(isMine);
      place.textContent = app.multiuser && own.length && own.length < line.length
        ? `Your next item is at place ${places.get(own[0].item_id)} of ${line.length}; ${plural(places.get(own[0].item_id) - 1, "item")} before it.` : "";
    });
  }

  function row(item, place, of) {
    const own = isMine(item);
    const manage = own || isAdmin();
    const over = OVER.includes(item.status);
    const owner = !app.multiuser ? "" : own ? "Mine" : item.user_display_name ?? item.user_email ?? "Somebody else";
    const text = manage ? promptOf(item) || FROM[item.origin] || item.origin || "" : "Hidden";
    const doIt = (label, icon, work) => button("", { icon, label: `${label} item ${item.item_id}`, onclick: () => attempt(async () => { await work(); refreshQueue(); await load(); }) });
    return h("tr", { class: own ? "own" : "foreign", data: { item: item.item_id, status: item.status } },
      h("td", { "data-title": "Place" }, place ? `${place} / ${of}` : ""),
      h("td", { "data-title": "Status" }, h("span", { class: `status ${item.status}` }, NAMES[item.status] ?? item.status), running?.item === item.item_id && running.part !== null && h("progress", { max: 1, value: running.part ?? 0 })),
      h("td", { "data-title": "Whose" }, owner), h("td", { "data-title": "What", class: manage ? "what" : "what hint" }, text), h("td", { "data-title": "Added" }, when(item.created_at)),
      h("td", { class: "actions" }, manage && [button("", { icon: "info", label: `Details of item ${item.item_id}`, onclick: () => attempt(() => details(item.item_id)) }),
        !over && doIt("Cancel", "close", () => call("PUT", `/api/v1/queue/default/i/${item.item_id}/cancel`)),
        ["failed", "canceled"].includes(item.status) && doIt("Retry", "reuse", () => call("PUT", "/api/v1/queue/default/retry_items_by_id", [item.item_id])),
        item.status === "completed" && doIt("Run again", "reuse", () => again(item.item_id)), over && doIt("Remove", "trash", () => call("DELETE", `/api/v1/queue/default/i/${item.item_id}`))]));
  }

  function promptOf(item) {
    const values = (item.field_values ?? []).filter(value => value.node_path.startsWith("positive_prompt"));
    return values.map(value => value.value).join(" ");
  }

  /** A finished item cannot be retried; what it was made of is sent once more. */
  async function again(id) {
    const { session, workflow, origin, destination } = await call("GET", `/api/v1/queue/default/i/${id}`);
    await call("POST", "/api/v1/queue/default/enqueue_batch", { batch: { graph: session.graph, workflow: workflow ?? undefined, runs: 1, origin, destination }, prepend: false });
    tell("Added to the queue once more.");
  }

  async function details(id) {
    const item = await call("GET", `/api/v1/queue/default/i/${id}`);
    const rows = [["Status", NAMES[item.status] ?? item.status], ["Whose", item.user_display_name ?? item.user_email ?? ""], ["From", FROM[item.origin] ?? item.origin], ["Added", when(item.created_at)], ["Started", when(item.started_at)], ["Ended", when(item.completed_at)],
      ["Device", item.device], ["Error", item.error_message && `${item.error_type ?? ""}: ${item.error_message}`], ["Retry of", item.retried_from_item_id]];
    openDialog({
      title: `Item ${id}`, wide: true,
      body: [h("dl", { class: "facts" }, rows.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, String(value))])),
        h("dl", { class: "facts" }, (item.field_values ?? []).map(value => [h("dt", {}, value.node_path.split(":")[0].replaceAll("_", " ")), h("dd", {}, String(value.value))])),
        h("details", { class: "fold" }, h("summary", {}, "Session"), h("pre", {}, JSON.stringify(item.session, null, 2)))],
      actions: [{ label: "Done", kind: "primary" }],
    });
  }

  const visible = () => document.body.dataset.view === "queue";
  const soon = later(() => { if (visible()) load(); }, 150);
  let before = "";
  on("queue", now => {
    const [kind, text] = verdict(now);
    state.textContent = text;
    state.dataset.kind = kind;
    pause.disabled = now.paused;
    resume.disabled = !now.paused;
    const counts = JSON.stringify(now.status);
    if (counts !== before) soon();
    before = counts;
  });
  on("view", name => { if (name === "queue") load(); });
  on("progress", later(() => {
    const cell = visible() && running && body.querySelector(`[data-item="${running.item}"] progress`);
    if (cell && running.part !== null) cell.value = running.part;
    else if (visible() && running && running.part !== null && body.querySelector(`[data-item="${running.item}"]`) && !cell) soon();
  }, 100));
  return view;
}
