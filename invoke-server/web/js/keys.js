// Hotkeys: what can be done from the keyboard, by which keys, and the listener.
import { preferences } from "./preferences.js";

/** Every action: its name, its description, the keys that it has at first. Views give what it does with `act`. */
export const ACTIONS = [
  ["invoke", "Invoke (enqueue)", "Ctrl+Enter"],
  ["cancel", "Cancel the running item", "Shift+X"],
  ["prompt", "Go to the prompt", "Alt+P"],
  ["theme", "Switch between dark and light", "Alt+T"],
  ["tab-generate", "Generate tab", "1"],
  ["tab-canvas", "Canvas tab", "2"],
  ["tab-upscale", "Upscale tab", "3"],
  ["tab-workflows", "Workflows tab", "4"],
  ["tab-gallery", "Gallery tab", "5"],
  ["tab-models", "Models tab", "6"],
  ["tab-queue", "Queue tab", "7"],
  ["star", "Star or unstar the selected pictures", "."],
  ["delete", "Delete the selected pictures", "Delete"],
  ["reuse", "Use the settings of the selected picture", "A"],
  ["next", "Next picture", "ArrowRight"],
  ["previous", "Previous picture", "ArrowLeft"],
];

const doing = new Map();

/** Says what an action does. */
export function act(name, run) {
  doing.set(name, run);
}

/** The keys of an action: the account's own, or those that it has at first. */
export function keysOf(name) {
  return preferences.hotkeys[name] ?? ACTIONS.find(([action]) => action === name)[2];
}

/** How a pressed combination is written; null while only a modifier is held. */
export function written(event) {
  if (["Control", "Shift", "Alt", "Meta"].includes(event.key)) return null;
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.altKey) parts.push("Alt");
  if (event.shiftKey && (key.length > 1 || /[A-Z]/.test(key))) parts.push("Shift");
  return [...parts, key].join("+");
}

/** Starts to listen. */
export function listenForKeys() {
  document.addEventListener("keydown", event => {
    if (event.defaultPrevented || document.querySelector("dialog[open], .menu")) return;
    const keys = written(event);
    if (!keys) return;
    const typing = event.target.closest?.("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");
    if (typing && !/^(Ctrl|Alt)\+/.test(keys)) return;
    if (/^(Arrow|Enter|Space)/.test(keys) && event.target.closest?.("[role=listbox], [role=tablist], [type=range], button, summary, .canvas-stage")) return;
    const action = ACTIONS.find(([name]) => keysOf(name) === keys);
    const run = action && doing.get(action[0]);
    if (!run) return;
    event.preventDefault();
    run();
  });
}
