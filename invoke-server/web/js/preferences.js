// What a person likes: kept in the account on the server, so that it comes back at the next login, on any browser.
import { call } from "./api.js";
import { emit } from "./app.js";
import { attempt, later } from "./dom.js";

const KEY = "page_preferences";

/** Preferences; `defaults` are values for a new generation, null where the model's own hold. */
export const preferences = {
  theme: "system",
  hotkeys: {},
  defaults: { width: null, height: null, steps: 20, cfg: 5, scheduler: "euler" },
  canvas: { zoom: "fit", grid: false, brush: 24 },
  showNewest: true,
};

/** One value of the account's store; `fallback` if there is none. */
export async function stored(key, fallback) {
  const text = await call("GET", `/api/v1/client_state/default/get_by_key?key=${encodeURIComponent(key)}`);
  try {
    return text === null ? fallback : JSON.parse(text);
  } catch {
    return fallback;
  }
}

/** Keeps one value in the account's store. */
export async function store(key, value) {
  await call("POST", `/api/v1/client_state/default/set_by_key?key=${encodeURIComponent(key)}`, JSON.stringify(value));
}

/** Reads the account's preferences and puts them into effect. */
export async function loadPreferences() {
  const kept = await stored(KEY, {});
  for (const key of Object.keys(preferences)) {
    const own = preferences[key];
    if (kept[key] === undefined) continue;
    preferences[key] = own !== null && typeof own === "object" ? { ...own, ...kept[key] } : kept[key];
  }
  applyTheme();
}

const keep = later(() => attempt(() => store(KEY, preferences)), 250);

/** Changes preferences, puts them into effect and keeps them. */
export function prefer(changes) {
  Object.assign(preferences, changes);
  applyTheme();
  keep();
  emit("preferences");
}

/** Whether the page is dark now. */
export function isDark() {
  if (preferences.theme === "system") return matchMedia("(prefers-color-scheme: dark)").matches;
  return preferences.theme === "dark";
}

function applyTheme() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", applyTheme);
applyTheme();
