// Workflows: the libraries, and the workflow that is open.
import { call, query, save } from "./api.js";
import { app, emit, isAdmin, myId, on } from "./app.js";
import { selectedBoard } from "./boards.js";
import { confirm, openDialog } from "./dialogs.js";
import { attempt, button, field, fill, h, later, tell, tick, when } from "./dom.js";
import { enqueue, lacking } from "./enqueue.js";
import { chosenModel, values } from "./generation.js";
import { linear } from "./graphs.js";
import { go, shown } from "./shell.js";
import { styled } from "./styles.js";
import { fieldsOf, setField, toGraph, toWorkflow, unknownTypes } from "./workflowdoc.js";
import { controlFor } from "./workflowfields.js";

/** The libraries: what is asked for, what of it is shown, for whom there is such a library, and what is said when it is empty. */
const LIBRARIES = {
  own: { title: "Yours", asked: { categories: "user" }, shown: own => own, none: "No workflows of yours yet. “Save as workflow” in the Generate tab makes one." },
  shared: { title: "Shared", asked: { categories: "user", is_public: true }, offered: () => app.multiuser, none: "Nobody has shared a workflow yet." },
  others: { title: "All others", asked: { categories: "user" }, shown: own => !own, offered: () => app.multiuser && isAdmin(), none: "Nobody else has saved a workflow yet." },
  default: { title: "Default", asked: { categories: "default", order_by: "name", direction: "ASC" }, none: "The server brings none." },
};

/** Whether a workflow may be changed, shared and deleted. */
function mayManage(record) {
  return record.workflow.meta.category !== "default" && (isAdmin() || record.user_id === myId());
}

/** Saves the settings of the form as a workflow, after asking for its name. */
export async function saveAsWorkflow() {
  const problem = lacking("generate");
  if (problem) throw new Error(problem);
  const made = linear(values, chosenModel());
  const graph = made.g.toJSON();
  const [positive, negative] = styled(values);
  graph.nodes[made.seed].value = values.seed;
  graph.nodes[made.positive].value = positive;
  graph.nodes[made.negative].value = negative;
  const loader = Object.values(graph.nodes).find(node => node.type.endsWith("main_model_loader") || node.type === "sdxl_model_loader").id;
  const document = toWorkflow(graph, {
    name: "", labels: { [made.seed]: "Seed", [made.positive]: "Prompt", [made.negative]: "Negative prompt" }, author: app.me?.display_name ?? "",
    exposed: [[made.positive, "value"], [made.negative, "value"], [loader, "model"], [made.noise, "width"], [made.noise, "height"], [made.denoise, "steps"], [made.denoise, "cfg_scale"], [made.denoise, "scheduler"], [made.seed, "value"]],
  });
  describe("Save as workflow", document, async () => {
    const record = await call("POST", "/api/v1/workflows/", { workflow: document });
    tell("The workflow is saved in your library.");
    go("workflows");
    emit("open-workflow", record.workflow_id);
  });
}

/** Asks for name, description and tags of a document, then does `work`. */
function describe(title, document, work) {
  const name = h("input", { type: "text", value: document.name, required: true, maxLength: 200 });
  const description = h("textarea", { rows: 3, value: document.description });
  const tags = h("input", { type: "text", value: document.tags });
  openDialog({
    title, body: [field("Name", name), field("Description", description), field("Tags", tags, { hint: "Separated by commas." })],
    actions: [{ label: "Cancel" }, {
      label: "Save", kind: "primary", run: async () => {
        if (!name.value.trim()) throw new Error("Name: it cannot be empty");
        Object.assign(document, { name: name.value.trim(), description: description.value.trim(), tags: tags.value.trim() });
        await work();
      },
    }],
  });
}

/** Builds the view. */
export function makeWorkflows() {
  let library = "own";
  let open = null;
  let turn = 0;
  const view = h("section", { class: "settings workflows" });
  const list = h("ul", { class: "library", "aria-label": "Workflows" });
  const none = h("p", { class: "empty" });
  const find = h("input", { type: "search", placeholder: "Search", "aria-label": "Search workflows", oninput: later(() => load(), 250) });
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "Libraries" }, Object.entries(LIBRARIES).filter(([, { offered }]) => offered?.() ?? true).map(([name, { title }]) => h("button", {
    type: "button", role: "tab", "aria-selected": String(library === name), data: { library: name },
    onclick: () => { library = name; for (const one of tabs.children) one.setAttribute("aria-selected", String(one.dataset.library === name)); load(); },
  }, title)));
  const chooser = h("input", { type: "file", accept: ".json,application/json", hidden: true, "aria-label": "Workflow file", onchange: () => attempt(importFile) });
  async function importFile() {
    const [file] = chooser.files;
    chooser.value = "";
    if (!file) return;
    let document;
    try {
      document = JSON.parse(await file.text());
    } catch {
      throw new Error(`${file.name}: it is no workflow (JSON was expected)`);
    }
    delete document.id;
    if (document.meta) document.meta.category = "user";
    const record = await call("POST", "/api/v1/workflows/", { workflow: document });
    await show(record.workflow_id);
  }
  const shelf = h("div", { class: "block" }, h("div", { class: "row" }, tabs, h("span", { class: "grow" }), button("", { icon: "upload", label: "Import a workflow from a file", onclick: () => chooser.click() }), chooser), find, none, list);

  async function load() {
    if (open) return;
    const mine = ++turn;
    await attempt(async () => {
      const { asked, shown: wanted = () => true, none: nothing } = LIBRARIES[library];
      const { items } = await call("GET", `/api/v1/workflows/${query({ order_by: "updated_at", direction: "DESC", query: find.value.trim() || null, ...asked })}`);
      if (mine !== turn) return;
      const own = item => !app.multiuser || item.user_id === myId();
      const group = items.filter(item => wanted(own(item)));
      list.replaceChildren(...group.map(item => h("li", {}, h("button", { type: "button", class: "workflow", data: { workflow: item.workflow_id }, onclick: () => attempt(() => show(item.workflow_id)) },
        h("strong", {}, item.name), item.is_public && app.multiuser && h("span", { class: "badge" }, "Shared"), !own(item) && library !== "default" && h("span", { class: "badge" }, item.user_id === "system" ? "System" : "Other user"),
        item.description && h("span", { class: "hint clip" }, item.description), h("span", { class: "hint" }, library === "default" ? item.tags ?? "" : when(item.updated_at))))));
      none.hidden = group.length > 0;
      none.textContent = nothing;
    });
  }

  async function show(id) {
    const record = await call("GET", `/api/v1/workflows/i/${encodeURIComponent(id)}`);
    open = record;
    if (mayManage(record)) call("PUT", `/api/v1/workflows/i/${encodeURIComponent(id)}/opened_at`).catch(() => {});
    paint();
  }

  function close() {
    open = null;
    view.replaceChildren(shelf);
    load();
  }

  function paint() {
    const record = open;
    const { workflow } = record;
    const manage = mayManage(record);
    const randoms = [];
    const fields = Object.keys(app.nodes).length ? fieldsOf(workflow) : [];
    const controls = fields.map(one => {
      const control = controlFor(one, value => setField(one, value));
      const isSeed = one.schema.type === "integer" && (one.fieldName === "seed" || /seed/i.test(one.node.data.label));
      if (!isSeed) return control;
      const random = tick("Random", { checked: true });
      randoms.push({ one, random: random.input });
      return h("div", { class: "pair seed" }, control, random);
    });
    const unknown = Object.keys(app.nodes).length ? unknownTypes(workflow) : [];
    const count = h("input", { type: "number", min: 1, max: 100, value: 1, "aria-label": "How many runs" });
    const start = button("Run", { class: "primary grow", disabled: unknown.length > 0, onclick: () => attempt(() => run(record, Number(count.value) || 1, randoms.filter(({ random }) => random.checked).map(({ one }) => one))) });
    const share = tick("Shared: everybody can see and use it", { checked: record.is_public, onchange: () => attempt(async () => {
      const now = await call("PATCH", `/api/v1/workflows/i/${encodeURIComponent(record.workflow_id)}/is_public`, { is_public: share.input.checked });
      Object.assign(record, { is_public: now.is_public });
      record.workflow.tags = now.workflow.tags;
      tell(now.is_public ? "The workflow is shared with everybody." : "The workflow is private again.");
    }).then(done => { if (!done) share.input.checked = record.is_public; }) });
    const update = () => call("PATCH", `/api/v1/workflows/i/${encodeURIComponent(record.workflow_id)}`, { workflow: { ...workflow, id: record.workflow_id } });
    const copy = () => {
      const document = structuredClone(workflow);
      delete document.id;
      Object.assign(document, { name: `${workflow.name} (copy)`, meta: { ...document.meta, category: "user" } });
      describe("Save a copy", document, async () => { const made = await call("POST", "/api/v1/workflows/", { workflow: document }); tell("The copy is in your library."); await show(made.workflow_id); });
    };
    fill(view,
      h("div", { class: "row" }, button("Back", { icon: "back", label: "Back to the libraries", onclick: close }), h("h2", { class: "grow clip" }, workflow.name)),
      workflow.description && h("p", { class: "hint" }, workflow.description),
      unknown.length > 0 && h("p", { class: "problem", role: "alert" }, `This server lacks nodes of this workflow: ${unknown.join(", ")}`),
      h("div", { class: "invoke" }, count, start), ...controls, app.multiuser && manage && share,
      !manage && workflow.meta.category !== "default" && h("p", { class: "hint" }, "Shared by somebody else: you can use it and save a copy. Only its owner or an administrator changes it."),
      h("div", { class: "row wrap" }, manage && button("Save", { onclick: () => attempt(async () => { await update(); tell("The workflow is saved."); }) }),
        manage && button("Rename", { icon: "pencil", onclick: () => describe("Name and description", workflow, async () => { await update(); paint(); }) }), button("Save a copy", { onclick: copy }),
        button("Download", { icon: "download", onclick: () => save(new Blob([JSON.stringify(workflow, null, 2)], { type: "application/json" }), `${workflow.name.replace(/[^\p{L}\p{N} _-]/gu, "") || "workflow"}.json`) }),
        manage && button("Delete", { icon: "trash", class: "danger", onclick: async () => {
          if (!(await confirm(`Delete “${workflow.name}”?`, "This cannot be undone.", "Delete"))) return;
          if (await attempt(() => call("DELETE", `/api/v1/workflows/i/${encodeURIComponent(record.workflow_id)}`))) close();
        } })),
      h("details", { class: "fold" }, h("summary", {}, `${workflow.nodes.length} nodes, ${workflow.edges.length} edges`),
        h("ul", { class: "plain" }, workflow.nodes.filter(node => node.type === "invocation").map(node => h("li", {}, node.data.label || app.nodes[node.data.type]?.title || node.data.type, h("span", { class: "hint" }, ` ${node.data.type}`))))));
  }

  async function run(record, count, randomFields) {
    const board = selectedBoard() === "none" ? undefined : { board_id: selectedBoard() };
    const graph = toGraph(record.workflow, board);
    const { id, ...document } = record.workflow;
    const random = Array.from({ length: count }, () => crypto.getRandomValues(new Uint32Array(1))[0]);
    const data = randomFields.length ? [randomFields.map(({ nodeId, fieldName }) => ({ node_path: nodeId, field_name: fieldName, items: random }))] : undefined;
    await enqueue({ graph, workflow: document, runs: data ? 1 : count, data, origin: "workflows", destination: "gallery" });
  }

  for (const name of ["created", "updated", "deleted"]) on(`socket:workflow_${name}`, later(load, 150));
  on("socket:workflow_access_revoked", event => {
    if (open?.workflow_id === event.workflow_id && !mayManage(open)) {
      tell("This workflow is no longer shared.");
      close();
    } else load();
  });
  on("open-workflow", id => attempt(() => show(id)));
  on("run-workflow", () => { if (open && shown() === "workflows") view.querySelector(".invoke .primary")?.click(); });
  on("nodes", () => { if (open) paint(); });
  on("view", name => { if (name === "workflows" && !open) load(); });
  view.replaceChildren(shelf);
  return view;
}
