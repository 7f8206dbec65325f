// Dialogs and menus.
import { button, field, h } from "./dom.js";

let dialogs = 0;

/**
 * Opens a dialog. `body` is elements; `actions` are `{label, run, kind}`: an action whose `run` gives false leaves it open. Enter in a field runs the
 * first action of the kind "primary". Returns the dialog; its `done` is a promise of the end.
 */
export function openDialog({ title, body, actions = [], wide = false, closable = true }) {
  const problem = h("p", { class: "problem", role: "alert", hidden: true });
  const heading = `dialog-title-${++dialogs}`;
  const main = actions.find(action => action.kind === "primary");
  const run = async action => {
    problem.hidden = true;
    try {
      if ((await action.run?.()) !== false) dialog.close();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  };
  const form = h("form", { class: "dialog-form", method: "dialog", noValidate: true, onsubmit: event => { event.preventDefault(); if (main) run(main); } },
    h("header", {}, h("h2", { id: heading }, title), closable && button("", { icon: "close", label: "Close", onclick: () => dialog.close() })),
    h("div", { class: "dialog-body" }, body, problem),
    actions.length > 0 && h("footer", {}, actions.map(action => action === main
      ? button(action.label, { class: "primary", type: "submit" })
      : button(action.label, { class: action.kind ?? "", onclick: () => run(action) }))));
  const dialog = h("dialog", { class: wide ? "wide" : "", "aria-labelledby": heading }, form);
  dialog.done = new Promise(done => dialog.addEventListener("close", () => { dialog.remove(); done(); }));
  dialog.say = text => { problem.textContent = text; problem.hidden = !text; };
  if (!closable) dialog.addEventListener("cancel", event => event.preventDefault());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Asks before something that cannot be undone; true if it is to be done. */
export async function confirm(title, text, label, kind = "danger") {
  let yes = false;
  const dialog = openDialog({
    title,
    body: [h("p", {}, text)],
    actions: [{ label: "Cancel" }, { label, kind, run: () => { yes = true; } }],
  });
  await dialog.done;
  return yes;
}

/** Asks for a line of text; null if it was not given. */
export async function askText(title, label, value = "", action = "Save") {
  let given = null;
  const input = h("input", { type: "text", value, required: true, maxLength: 300 });
  const dialog = openDialog({
    title,
    body: [field(label, input)],
    actions: [{ label: "Cancel" }, {
      label: action, kind: "primary", run: () => {
        if (!input.value.trim()) throw new Error(`${label}: something has to be entered`);
        given = input.value.trim();
      },
    }],
  });
  input.select();
  await dialog.done;
  return given;
}

let open = null;

/**
 * Opens a menu at a point or below an element. Items are `{label, run, checked, danger, disabled}`, or null for a line between; one with `checked` true or
 * false is one of several choices.
 */
export function openMenu(at, items, label = "Menu") {
  open?.();
  const back = document.activeElement;
  const menu = h("div", { class: "menu", role: "menu", "aria-label": label, tabIndex: -1 }, items.map(item => {
    if (!item) return h("hr");
    if (item.heading) return h("p", { class: "menu-heading", role: "presentation" }, item.heading);
    const role = item.checked === undefined ? "menuitem" : "menuitemradio";
    return h("button", {
      type: "button", role, tabIndex: -1, class: item.danger ? "danger" : "", disabled: Boolean(item.disabled),
      "aria-checked": item.checked === undefined ? null : String(item.checked),
      onclick: () => { close(); item.run(); },
    }, item.label);
  }));
  const away = event => { if (!menu.contains(event.target)) close(false); };
  const keys = event => {
    const choices = [...menu.querySelectorAll("button:enabled")];
    const index = choices.indexOf(document.activeElement);
    const step = { ArrowDown: index + 1, ArrowUp: index < 0 ? -1 : index - 1, Home: 0, End: -1 }[event.key];
    if (step !== undefined) choices.at(step % choices.length)?.focus();
    else if (event.key === "Escape" || event.key === "Tab") close();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  function close(refocus = true) {
    menu.remove();
    document.removeEventListener("pointerdown", away, true);
    window.removeEventListener("blur", close);
    open = null;
    if (refocus) back?.focus?.();
  }
  open = close;
  menu.addEventListener("keydown", keys);
  (back?.closest?.("dialog[open]") ?? document.body).append(menu);
  const box = at instanceof Element ? at.getBoundingClientRect() : null;
  const [x, y] = box ? [box.left, box.bottom + 4] : [at.clientX, at.clientY];
  const { offsetWidth: width, offsetHeight: height } = menu;
  menu.style.left = `${Math.max(4, Math.min(x, innerWidth - width - 4))}px`;
  menu.style.top = `${Math.max(4, box && y + height > innerHeight ? box.top - height - 4 : Math.min(y, innerHeight - height - 4))}px`;
  document.addEventListener("pointerdown", away, true);
  window.addEventListener("blur", close);
  (menu.querySelector("button:enabled") ?? menu).focus();
}
