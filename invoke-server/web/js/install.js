// Adding models: from a path, an address or a repository, from a folder, from the list of starters; and the jobs that do it.
import { call, query } from "./api.js";
import { loadModels, on } from "./app.js";
import { attempt, button, bytes, field, h, later, tell, tick } from "./dom.js";

const OVER = ["completed", "error", "cancelled"];
const STATES = { waiting: "Waiting", downloading: "Downloading", downloads_done: "Downloaded", running: "Installing", completed: "Installed", error: "Failed", cancelled: "Canceled", paused: "Paused" };

/** Starts to install; `source` is a path of the server, an address, or a repository's name. */
async function install(source, { inplace = false, token = null } = {}) {
  await call("POST", `/api/v2/models/install${query({ source, inplace, access_token: token })}`, {});
}

function fromSource(load) {
  const source = h("input", { type: "text", placeholder: "/folder/model.safetensors, https://…, owner/repository", spellcheck: false, autocomplete: "off" });
  const token = h("input", { type: "password", autocomplete: "off" });
  const inplace = tick("Use in place: do not move files of the server into its models folder", { checked: true });
  const go = h("form", { class: "block", onsubmit: event => {
    event.preventDefault();
    attempt(async () => {
      if (!source.value.trim()) throw new Error("Source: a path, an address or a repository is expected");
      await install(source.value.trim(), { inplace: inplace.input.checked, token: token.value || null });
      source.value = "";
      await load();
    });
  } }, field("Path, URL or repository", source), h("details", { class: "fold" }, h("summary", {}, "Access token"), field("Token", token, { hint: "Sent to the address that the model is downloaded from." })), inplace, button("Install", { class: "primary", type: "submit" }));
  return go;
}

function fromFolder(load) {
  const path = h("input", { type: "text", placeholder: "/folder/with/models", spellcheck: false, autocomplete: "off" });
  const inplace = tick("Use in place", { checked: true });
  const list = h("ul", { class: "found" });
  const go = h("form", { class: "block", onsubmit: event => {
    event.preventDefault();
    attempt(async () => {
      if (!path.value.trim()) throw new Error("Folder: a path of the server is expected");
      const found = await call("GET", `/api/v2/models/scan_folder${query({ scan_path: path.value.trim() })}`);
      const free = found.filter(one => !one.is_installed);
      list.replaceChildren(h("li", { class: "row" }, h("span", { class: "grow hint" }, `${found.length} found, ${free.length} not installed`),
        free.length > 1 && button("Install all", { onclick: () => attempt(async () => { for (const one of free) await install(one.path, { inplace: inplace.input.checked }); await load(); }) })),
      ...found.map(one => h("li", { class: "row" }, h("span", { class: "grow path" }, one.path), one.is_installed ? h("span", { class: "hint" }, "installed")
        : button("Install", { label: `Install ${one.path}`, onclick: () => attempt(async () => { await install(one.path, { inplace: inplace.input.checked }); await load(); }) }))));
    });
  } }, field("Folder on the server", path), inplace, button("Scan", { type: "submit", icon: "search" }), list);
  return go;
}

function starters(load) {
  const list = h("ul", { class: "found" });
  const find = h("input", { type: "search", placeholder: "Search", "aria-label": "Search starter models" });
  let all = [];
  const show = () => {
    const text = find.value.trim().toLowerCase();
    const some = all.filter(one => `${one.name} ${one.description} ${one.base} ${one.type}`.toLowerCase().includes(text));
    list.replaceChildren(...(some.length ? some : []).map(one => h("li", { class: "row" }, h("div", { class: "grow" }, h("strong", {}, one.name), h("p", { class: "hint clip" }, `${one.type} · ${one.base} · ${one.description}`)),
      one.is_installed ? h("span", { class: "hint" }, "installed") : button("Install", { label: `Install ${one.name}`, onclick: () => attempt(async () => {
        for (const part of [...(one.dependencies ?? []).filter(dependency => !dependency.is_installed), one]) await install(part.source);
        await load();
      }) }))));
    if (!all.length) list.replaceChildren(h("li", { class: "hint" }, "The server offers no starter models."));
  };
  find.addEventListener("input", show);
  return h("details", { class: "fold", ontoggle: event => {
    if (event.target.open && !all.length) attempt(async () => { all = (await call("GET", "/api/v2/models/starter_models")).starter_models; show(); });
  } }, h("summary", {}, "Starter models"), find, list);
}

function sourceOf(job) {
  const { source } = job;
  return source.path ?? source.url ?? [source.repo_id, source.variant, source.subfolder].filter(Boolean).join(":") ?? "";
}

/** Builds the part “Add Models”. */
export function addModels() {
  const jobs = h("ul", { class: "jobs", "aria-label": "Installations" });
  const none = h("p", { class: "hint" }, "No installations yet.");
  let before = new Set();

  async function load() {
    const list = await call("GET", "/api/v2/models/install");
    none.hidden = list.length > 0;
    jobs.replaceChildren(...list.reverse().map(row));
    const done = new Set(list.filter(job => job.status === "completed").map(job => job.id));
    if ([...done].some(id => !before.has(id))) await loadModels();
    before = done;
  }
  const soon = later(() => attempt(load), 250);

  function row(job) {
    const over = OVER.includes(job.status);
    const part = job.total_bytes > 0 ? job.bytes / job.total_bytes : null;
    const bar = job.status === "downloading" ? h("progress", { max: 1, value: part ?? 0, "aria-label": "Download" }) : null;
    const act = (label, method, path) => button(label, { onclick: () => attempt(async () => { await call(method, `/api/v2/models/install/${job.id}${path}`); await load(); }) });
    return h("li", { data: { status: job.status } }, h("div", { class: "row" }, h("span", { class: "grow path" }, sourceOf(job)), h("span", { class: `status ${job.status}` }, STATES[job.status] ?? job.status),
      job.status === "downloading" && act("Pause", "POST", "/pause"), job.status === "paused" && act("Resume", "POST", "/resume"), !over && act("Cancel", "DELETE", "")), bar,
    bar && h("p", { class: "hint" }, `${bytes(job.bytes)} of ${bytes(job.total_bytes)}`), job.error && h("p", { class: "problem" }, job.error),
    job.config_out && h("p", { class: "hint" }, `${job.config_out.name}: ${job.config_out.type}, ${job.config_out.base}`));
  }

  for (const name of ["started", "download_progress", "downloads_complete", "complete", "error", "cancelled"]) on(`socket:model_install_${name}`, soon);
  on("socket:model_install_error", event => tell(`A model could not be installed: ${event.error}`, "error"));
  on("view", name => { if (name === "models") soon(); });
  const after = async () => { tell("The installation was added."); await load(); };
  return h("div", { class: "tab-body columns" }, h("div", {}, h("h2", {}, "From a path, an address or a repository"), fromSource(after), h("h2", {}, "From a folder"), fromFolder(after), starters(after)),
    h("div", {}, h("div", { class: "row" }, h("h2", { class: "grow" }, "Installations"), button("Clear finished", { onclick: () => attempt(async () => { await call("DELETE", "/api/v2/models/install"); await load(); }) })), none, jobs));
}
