// The workplace: tabs at the left, the account at their end, the state of the queue at the top, and the areas that the views fill.
import { app, emit, isAdmin, on } from "./app.js";
import { logOut } from "./account.js";
import { button, h, icon } from "./dom.js";
import { openMenu } from "./dialogs.js";
import { act, listenForKeys } from "./keys.js";
import { isDark, prefer } from "./preferences.js";
import { connect } from "./socket.js";
import { startQueueState } from "./queuestate.js";
import { progressBar, startProgress } from "./progress.js";
import { makeCanvas } from "./canvas.js";
import { makeForm } from "./form.js";
import { makeGallery } from "./gallery.js";
import { makeModels } from "./models.js";
import { openPreferences } from "./settings.js";
import { openProfile } from "./profile.js";
import { makeQueue } from "./queue.js";
import { makeSystem } from "./system.js";
import { makeUsers } from "./users.js";
import { makeViewer } from "./viewer.js";
import { makeWorkflows } from "./workflows.js";

/** The tabs: name, title; what the areas show is said by the stylesheet. */
const TABS = [
  ["generate", "Generate"], ["canvas", "Canvas"], ["upscale", "Upscale"], ["workflows", "Workflows"], ["gallery", "Gallery"], ["models", "Models"], ["queue", "Queue"],
];
const SHARED_FORM = ["generate", "canvas", "upscale"];
const FOR_ADMINISTRATORS = { users: "User Management", system: "System" };

let views = {};
let current = null;

/** Shows a view: one of the tabs, "users" or "system". */
export function go(name) {
  location.hash = `#/${name}`;
}

/** The view that is shown. */
export function shown() {
  return current;
}

function show() {
  const name = location.hash.replace(/^#\//, "") || "generate";
  const title = FOR_ADMINISTRATORS[name] ?? TABS.find(([tab]) => tab === name)?.[1];
  if (!title) return go("generate");
  current = name;
  document.body.dataset.view = name;
  document.title = `${title} · invoke`;
  document.getElementById("view-title").textContent = title;
  for (const tab of document.querySelectorAll(".rail [data-tab]")) {
    if (tab.dataset.tab === name) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  const panel = document.getElementById("panel");
  const denied = FOR_ADMINISTRATORS[name] && !isAdmin();
  const view = denied ? refusal() : SHARED_FORM.includes(name) ? views.form : views[name];
  panel.hidden = !view;
  if (view && panel.firstChild !== view) panel.replaceChildren(view);
  emit("view", name);
}

function refusal() {
  return h("section", { class: "page" }, h("p", { class: "problem", role: "alert" }, "Admin privileges required"),
    h("p", {}, "Ask an administrator of this server for what you need here."));
}

function personMenu(event) {
  const items = [];
  if (app.multiuser) {
    items.push({ heading: app.me.email });
    items.push({ label: "My Profile", run: openProfile });
    if (app.me.is_admin) items.push({ label: "User Management", run: () => go("users") });
  }
  if (isAdmin()) items.push({ label: "System", run: () => go("system") });
  items.push({ label: "Preferences", run: openPreferences });
  if (app.multiuser) items.push(null, { label: "Log out", run: logOut });
  openMenu(event.currentTarget, items, "Account");
}

function rail() {
  return h("nav", { class: "rail", "aria-label": "Views" },
    TABS.map(([name, title]) => h("a", { href: `#/${name}`, data: { tab: name }, title }, icon(name), h("span", {}, title))),
    h("span", { class: "spacer" }),
    h("button", { type: "button", class: "rail-button", id: "gear", title: "Preferences", "aria-label": "Preferences", onclick: openPreferences }, icon("gear")),
    h("button", { type: "button", class: "rail-button", id: "person", title: "Account", "aria-label": "Account", "aria-haspopup": "menu", onclick: personMenu }, icon("person")));
}

function header() {
  const who = h("span", { class: "who" });
  const name = () => who.replaceChildren(app.me?.display_name || app.me?.email || "", app.me?.is_admin ? h("span", { class: "badge admin" }, "Admin") : "");
  name();
  on("me", name);
  const line = h("span", { class: "offline", role: "status" }, "Connecting …");
  on("connected", yes => { line.textContent = yes ? "" : "Connecting …"; });
  const badge = h("a", { href: "#/queue", class: "badge queue", id: "queue-badge", hidden: true });
  on("queue", state => {
    badge.hidden = state.all === 0;
    badge.textContent = app.multiuser ? `${state.mine}/${state.all}` : String(state.all);
    badge.title = app.multiuser ? `${state.mine} of your own, ${state.all} in all` : `${state.all} in the queue`;
    badge.setAttribute("aria-label", `Queue: ${badge.title}`);
  });
  return h("header", { class: "top" }, h("p", { class: "brand" }, "invoke"), h("h1", { id: "view-title" }, ""), progressBar(), line, badge, who);
}

/** Builds everything and shows what the address names. */
export async function showWorkplace() {
  const panel = h("section", { id: "panel", "aria-labelledby": "view-title" });
  const viewer = makeViewer();
  const stage = makeCanvas();
  const gallery = makeGallery();
  document.getElementById("root").replaceChildren(h("div", { id: "app" }, rail(), header(), h("main", { id: "areas" }, panel, viewer, stage, gallery)));
  views = { form: await makeForm(), workflows: makeWorkflows(), models: makeModels(), queue: makeQueue(), users: makeUsers(), system: makeSystem() };
  for (const [name] of TABS) act(`tab-${name}`, () => go(name));
  act("theme", () => prefer({ theme: isDark() ? "light" : "dark" }));
  addEventListener("hashchange", show);
  startQueueState();
  startProgress();
  connect();
  listenForKeys();
  show();
}
