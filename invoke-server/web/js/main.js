// The start: who is there, and which screen that means.
import { call, currentToken, keepToken, mediaCookie, whenDenied, whenExpired } from "./api.js";
import { app, loadModels, loadNodes } from "./app.js";
import { expired, showLogin, showSetup, watchExpiry } from "./account.js";
import { attempt, h, later } from "./dom.js";
import { loadPreferences } from "./preferences.js";
import { showWorkplace } from "./shell.js";

async function work(me) {
  app.me = me;
  if (app.multiuser) await mediaCookie();
  await Promise.all([loadPreferences(), loadModels()]);
  await showWorkplace();
  loadNodes();
  if (app.multiuser) watchExpiry();
}

/** A page of somebody whose role has changed meanwhile offers what no longer holds. */
async function compareRole() {
  if (!app.me) return;
  const now = await call("GET", "/api/v1/auth/me").catch(() => app.me);
  if (now.is_admin !== app.me.is_admin) location.reload();
}

async function begin() {
  whenExpired(expired);
  whenDenied(later(compareRole, 500));
  const status = await call("GET", "/api/v1/auth/status", undefined, { anonymous: true });
  app.multiuser = status.multiuser_enabled;
  app.strictPasswords = status.strict_password_checking;
  if (!app.multiuser) {
    keepToken(null);
    return await work(null);
  }
  if (status.setup_required) {
    keepToken(null);
    return showSetup(() => showLogin(work, "The account is made. Log in with it."));
  }
  if (!currentToken()) return showLogin(work);
  await work(await call("GET", "/api/v1/auth/me"));
}

if (!(await attempt(begin)) && !document.getElementById("root").firstChild) {
  document.getElementById("root").append(h("main", { class: "entry" }, h("div", { class: "card" }, h("h1", {}, "invoke"),
    h("p", {}, "The server did not answer as expected. Reload the page to try again."))));
}
