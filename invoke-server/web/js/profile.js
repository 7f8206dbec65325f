// My Profile: the display name and the password.
import { call } from "./api.js";
import { app, emit } from "./app.js";
import { field, h, tell } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { newPassword } from "./password.js";

/** Opens the dialog. */
export function openProfile() {
  const name = h("input", { type: "text", value: app.me.display_name ?? "", autocomplete: "name", maxLength: 255 });
  const login = h("input", { type: "email", value: app.me.email, readOnly: true });
  const current = h("input", { type: "password", autocomplete: "current-password" });
  const password = newPassword({ label: "New password", required: false, generate: true });
  openDialog({
    title: "My Profile",
    body: [field("Display name", name), field("E-mail address", login, { hint: "The login name cannot be changed." }),
      h("fieldset", {}, h("legend", {}, "Change the password"), field("Current password", current), password.elements)],
    actions: [{ label: "Cancel" }, {
      label: "Save", kind: "primary", run: async () => {
        const changes = {};
        if (name.value !== (app.me.display_name ?? "")) changes.display_name = name.value.trim();
        const wanted = password.check();
        if (wanted !== null) {
          if (!current.value) throw new Error("Current password: it is needed to set a new one");
          Object.assign(changes, { current_password: current.value, new_password: wanted });
        }
        app.me = await call("PATCH", "/api/v1/auth/me", changes);
        emit("me");
        tell(wanted === null ? "The profile is saved." : "The profile is saved. Other devices have to log in anew.");
      },
    }],
  });
}
