// The system's configuration, for administrators.
import { call } from "./api.js";
import { isAdmin, on } from "./app.js";
import { attempt, button, field, h, select, tell } from "./dom.js";
import { confirm } from "./dialogs.js";

const LEVELS = [[10, "Debug"], [20, "Info"], [30, "Warning"], [40, "Error"], [50, "Critical"]];

/** Builds the view. */
export function makeSystem() {
  const view = h("section", { class: "page" });

  async function load() {
    const [version, { config, set_fields: set }, cache, level, loose] = await Promise.all([call("GET", "/api/v1/app/version"), call("GET", "/api/v1/app/runtime_config"),
      call("GET", "/api/v1/app/invocation_cache/status"), call("GET", "/api/v1/app/logging"), call("GET", "/api/v1/images/intermediates")]);
    const history = h("input", { type: "number", min: 0, value: config.max_queue_history ?? "", placeholder: "Unlimited" });
    const folders = select(["flat", "date", "type", "hash"], config.image_subfolder_strategy);
    const change = changes => attempt(async () => {
      await call("PATCH", "/api/v1/app/runtime_config", changes);
      tell("The configuration is saved.");
      await load();
    });
    const logging = select(LEVELS, level, { onchange: () => attempt(async () => { await call("POST", "/api/v1/app/logging", Number(logging.value)); tell("The level of the log is changed."); }) });
    const does = (label, method, path, question) => button(label, { onclick: () => attempt(async () => {
      if (question && !(await confirm(`${label}?`, question, label))) return;
      await call(method, path);
      tell("Done.");
      await load();
    }) });
    view.replaceChildren(
      h("p", { class: "hint" }, `Contract ${version.version}. What is marked is set in invokeai.yaml; the rest has its default.`),
      h("div", { class: "columns" },
        h("div", {}, h("h2", {}, "Changeable while it runs"), field("Folders for pictures", folders), button("Save", { label: "Save the folders for pictures", onclick: () => change({ image_subfolder_strategy: folders.value }) }),
          field("Finished queue items to keep at a start", history), button("Save", { label: "Save the number of items to keep", onclick: () => change({ max_queue_history: history.value === "" ? null : Number(history.value) }) }),
          field("Level of the log", logging),
          h("h2", {}, "Node cache"), h("p", {}, `${cache.size} of ${cache.max_size} results, ${cache.hits} hits, ${cache.misses} misses, ${cache.enabled ? "on" : "off"}.`),
          h("div", { class: "row" }, does("Clear the cache", "DELETE", "/api/v1/app/invocation_cache"), does(cache.enabled ? "Switch the cache off" : "Switch the cache on", "PUT", `/api/v1/app/invocation_cache/${cache.enabled ? "disable" : "enable"}`)),
          h("h2", {}, "Memory and storage"), h("div", { class: "row" }, does("Unload models", "POST", "/api/v2/models/empty_model_cache"), does(`Delete ${loose} intermediates`, "DELETE", "/api/v1/images/intermediates", "Pictures of unfinished steps of everybody are deleted."))),
        h("div", {}, h("h2", {}, "Configuration"), h("div", { class: "scroll" }, h("table", { class: "list config" }, h("tbody", {}, Object.entries(config).map(([key, value]) => h("tr", { class: set.includes(key) ? "own" : "" }, h("th", { scope: "row" }, key), h("td", {}, typeof value === "string" ? value : JSON.stringify(value))))))))));
  }

  on("view", name => { if (name === "system" && isAdmin()) attempt(load); });
  return view;
}
