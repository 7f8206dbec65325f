// Passwords: the rules, a field that shows which of them hold, a generated one.
import { call } from "./api.js";
import { app } from "./app.js";
import { attempt, button, field, h } from "./dom.js";

const RULES = [
  ["at least 8 characters", text => [...text].length >= 8],
  ["an upper-case letter", text => /\p{Lu}/u.test(text)],
  ["a lower-case letter", text => /\p{Ll}/u.test(text)],
  ["a digit", text => /\p{Nd}/u.test(text)],
];

/** The rules that a password does not meet, in words. */
function unmet(text) {
  return RULES.filter(([, holds]) => !holds(text)).map(([name]) => name);
}

/**
 * Two fields for a new password, with the rules below. `check()` gives the password, null if both are empty and it is not `required`, and throws an error
 * that names what is wrong. Where `always` is not set, an unmet rule is only an error if the server is strict.
 */
export function newPassword({ label = "Password", required = true, always = false, generate = false } = {}) {
  const first = h("input", { type: "password", autocomplete: "new-password", required, name: "new-password" });
  const second = h("input", { type: "password", autocomplete: "new-password", required, name: "new-password-again" });
  const rules = RULES.map(([name]) => h("li", {}, name));
  const list = h("ul", { class: "rules", "aria-label": "The password needs" }, rules);
  const show = () => RULES.forEach(([, holds], index) => {
    const met = holds(first.value);
    rules[index].classList.toggle("met", met);
    rules[index].setAttribute("aria-label", `${RULES[index][0]}: ${met ? "met" : "not met"}`);
  });
  first.addEventListener("input", show);
  show();
  const made = h("output", { class: "made" });
  const parts = [field(label, first), list, field(`Confirm ${label.toLowerCase()}`, second)];
  if (generate) {
    parts.push(h("div", { class: "row" }, button("Generate a password", {
      icon: "dice",
      onclick: () => attempt(async () => {
        const { password } = await call("GET", "/api/v1/auth/generate-password");
        first.value = second.value = password;
        made.replaceChildren("Generated: ", h("code", {}, password));
        show();
      }),
    }), made));
  }
  return {
    elements: parts,
    check() {
      if (!first.value && !second.value && !required) return null;
      if (!first.value) throw new Error(`${label}: it cannot be empty`);
      const missing = unmet(first.value);
      if (missing.length && (always || app.strictPasswords)) throw new Error(`The password still needs ${missing.join(", ")}.`);
      if (first.value !== second.value) throw new Error("The two passwords are not the same.");
      return first.value;
    },
  };
}
