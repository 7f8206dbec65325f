// Before the work: the first administrator, logging in; and what ends a session.
import { call, currentToken, keepToken, tokenClaims } from "./api.js";
import { button, field, h, tick } from "./dom.js";
import { newPassword } from "./password.js";

const NOTICE = "invoke_notice";

function screen(title, intro, notice, ...parts) {
  const problem = h("p", { class: "problem", role: "alert", hidden: !notice }, notice ?? "");
  const form = h("form", { class: "card", noValidate: true }, h("p", { class: "brand" }, "invoke"), h("h1", {}, title), intro && h("p", { class: "hint" }, intro), problem, ...parts);
  document.getElementById("root").replaceChildren(h("main", { class: "entry" }, form));
  form.querySelector("input")?.focus();
  const say = text => { problem.textContent = text; problem.hidden = !text; };
  return {
    onSubmit(work) {
      form.addEventListener("submit", async event => {
        event.preventDefault();
        const submit = form.querySelector("[type=submit]");
        submit.disabled = true;
        say("");
        try {
          await work();
        } catch (error) {
          say(error.message);
        } finally {
          submit.disabled = false;
        }
      });
    },
  };
}

function email() {
  return h("input", { type: "email", name: "email", autocomplete: "username", required: true, spellcheck: false, autocapitalize: "none" });
}

/** Administrator Setup; `done` is called when the account is made. */
export function showSetup(done) {
  const address = email();
  const name = h("input", { type: "text", name: "display_name", autocomplete: "name", maxLength: 255 });
  const password = newPassword({ always: true });
  screen("Administrator Setup", "Nobody has an account on this server yet. This one will manage it: its accounts, models and queue.", null,
    field("E-mail address", address, { hint: "This is the login name." }), field("Display name", name, { hint: "The name that others see." }), password.elements,
    button("Create Administrator Account", { class: "primary", type: "submit" }),
  ).onSubmit(async () => {
    if (!address.value.trim()) throw new Error("E-mail address: it cannot be empty");
    await call("POST", "/api/v1/auth/setup", { email: address.value.trim(), display_name: name.value.trim() || null, password: password.check() }, { anonymous: true });
    done();
  });
}

/** The words for what the server answers to a login. */
function loginProblem(error) {
  if (error.status === 401) return "Incorrect email or password";
  if (error.status === 403 && /disabled/i.test(error.message) && /account/i.test(error.message)) return "Account is disabled";
  return error.message;
}

/** Logging in; `done` is called with the account. */
export function showLogin(done, fresh = null) {
  const address = email();
  const password = h("input", { type: "password", name: "password", autocomplete: "current-password", required: true });
  const remember = tick("Remember me for 7 days", { name: "remember_me" });
  const notice = sessionStorage.getItem(NOTICE);
  sessionStorage.removeItem(NOTICE);
  screen("Log in", fresh, notice, field("E-mail address", address), field("Password", password), remember,
    button("Log in", { class: "primary", type: "submit" }),
  ).onSubmit(async () => {
    if (!address.value.trim() || !password.value) throw new Error("Enter the e-mail address and the password.");
    let session;
    try {
      session = await call("POST", "/api/v1/auth/login", { email: address.value.trim(), password: password.value, remember_me: remember.input.checked }, { anonymous: true });
    } catch (error) {
      throw new Error(loginProblem(error));
    }
    keepToken(session.token);
    await done(session.user);
  });
}

/** Ends the session here: nothing of it stays in this page. */
function leave(notice = null) {
  keepToken(null);
  if (notice) sessionStorage.setItem(NOTICE, notice);
  location.reload();
}

/** The server no longer honours the token. */
export function expired() {
  leave("Session expired");
}

/** Logs out on request. */
export async function logOut() {
  await call("POST", "/api/v1/auth/logout").catch(() => {});
  leave();
}

/** Asks the server when the token's time is up, so that nobody works on with a session that has ended. */
export function watchExpiry() {
  const left = (tokenClaims()?.exp ?? 0) * 1000 - Date.now();
  setTimeout(() => {
    if (!currentToken()) return;
    call("GET", "/api/v1/auth/me").then(watchExpiry, error => { if (error.status !== 401) watchExpiry(); });
  }, Math.min(Math.max(left + 500, 5000), 86_400_000));
}
