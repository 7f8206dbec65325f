// User Management, for administrators.
import { call } from "./api.js";
import { app, emit, on } from "./app.js";
import { attempt, button, field, h, tell, tick, when } from "./dom.js";
import { confirm, openDialog } from "./dialogs.js";
import { newPassword } from "./password.js";

/** Builds the view. */
export function makeUsers() {
  const body = h("tbody");
  const table = h("table", { class: "list" }, h("thead", {}, h("tr", {}, ["Display name", "E-mail", "Role", "Status", "Last login", ""].map(title => h("th", { scope: "col" }, title || h("span", { class: "unseen" }, "Actions"))))), body);
  const view = h("section", { class: "page" }, h("div", { class: "row head" }, h("p", { class: "hint grow" }, "Everybody who may log in to this server."), button("Create User", { icon: "plus", class: "primary", onclick: () => edit(null) })),
    h("div", { class: "scroll" }, table));

  async function load() {
    const users = await call("GET", "/api/v1/auth/users");
    body.replaceChildren(...users.map(row));
  }

  const change = (user, changes, said) => attempt(async () => {
    const now = await call("PATCH", `/api/v1/auth/users/${encodeURIComponent(user.user_id)}`, changes);
    if (user.user_id === app.me.user_id) {
      app.me = now;
      emit("me");
      if (!now.is_admin) return location.reload();
    }
    tell(said);
    await load();
  });

  function row(user) {
    const name = user.display_name || user.email;
    const self = user.user_id === app.me.user_id;
    const active = h("input", { type: "checkbox", role: "switch", checked: user.is_active, "aria-label": `${name} is active`, onchange: async () => {
      if (!(await change(user, { is_active: active.checked }, active.checked ? `${name} is active again.` : `${name} is inactive: logging in is not possible, and what was open has ended.`))) active.checked = user.is_active;
    } });
    return h("tr", { data: { email: user.email } },
      h("td", { "data-title": "Display name" }, name, self && h("span", { class: "hint" }, " (you)"), user.is_admin && h("span", { class: "badge admin" }, "Admin")), h("td", { "data-title": "E-mail" }, user.email),
      h("td", { "data-title": "Role" }, user.is_admin ? "Administrator" : "User"), h("td", { "data-title": "Status" }, h("label", { class: "tick" }, active, h("span", {}, user.is_active ? "Active" : "Inactive"))),
      h("td", { "data-title": "Last login" }, when(user.last_login_at) || "never"),
      h("td", { class: "actions" }, button("", { icon: "pencil", label: `Edit ${name}`, onclick: () => edit(user) }), button("", { icon: "trash", label: `Delete ${name}`, onclick: () => removal(user, name) })));
  }

  async function removal(user, name) {
    if (!(await confirm(`Delete ${name}?`, "The account is deleted for good. What it made stays, for administrators to see.", "Delete"))) return;
    await attempt(async () => {
      await call("DELETE", `/api/v1/auth/users/${encodeURIComponent(user.user_id)}`);
      tell(`${name} is deleted.`);
      if (user.user_id === app.me.user_id) return location.reload();
      await load();
    });
  }

  function edit(user) {
    const email = h("input", { type: "email", value: user?.email ?? "", readOnly: Boolean(user), autocomplete: "off", spellcheck: false });
    const name = h("input", { type: "text", value: user?.display_name ?? "", autocomplete: "off", maxLength: 255 });
    const admin = tick("Administrator", { checked: user?.is_admin ?? false });
    const password = newPassword({ label: user ? "New password" : "Password", required: !user, generate: true });
    openDialog({
      title: user ? `Edit ${user.display_name || user.email}` : "Create User",
      body: [field("E-mail address", email, { hint: user ? "The login name cannot be changed." : "This is the login name." }), field("Display name", name), admin,
        user ? h("fieldset", {}, h("legend", {}, "Reset the password"), password.elements) : password.elements],
      actions: [{ label: "Cancel" }, {
        label: user ? "Save" : "Create", kind: "primary", run: async () => {
          const wanted = password.check();
          if (!user) {
            if (!email.value.trim()) throw new Error("E-mail address: it cannot be empty");
            const made = await call("POST", "/api/v1/auth/users", { email: email.value.trim(), display_name: name.value.trim() || null, password: wanted, is_admin: admin.input.checked });
            tell(`${made.display_name || made.email} can log in now.`);
            return await load();
          }
          const changes = { display_name: name.value.trim(), is_admin: admin.input.checked };
          if (wanted !== null) changes.password = wanted;
          const now = await call("PATCH", `/api/v1/auth/users/${encodeURIComponent(user.user_id)}`, changes);
          if (user.user_id === app.me.user_id) {
            app.me = now;
            emit("me");
            if (!now.is_admin) return location.reload();
          }
          tell(wanted === null ? "The account is saved." : "The account is saved; whoever was logged in to it has to log in anew.");
          await load();
        },
      }],
    });
  }

  on("view", name => { if (name === "users" && app.me?.is_admin) attempt(load); });
  return view;
}
