// What the tests of the built-in page share: logging in, menus, waiting for the queue.
import assert from "node:assert/strict";
import { after, afterEach } from "node:test";
import { launchBrowser, openPage, startServer, until } from "./lib.mjs";

/**
 * A browser, and a server where Ada administers and the others named (`"Bob"`) are regular users, each to be found under the name in small letters.
 * Pages close after every test, all else at the file's end.
 */
export async function house(...names) {
  const browser = await launchBrowser();
  after(() => browser.close());
  const server = await startServer();
  after(() => server.stop());
  afterEach(() => closePages(browser));
  const people = { ada: await server.setup() };
  for (const name of names) {
    people[name.toLowerCase()] = await server.person(people.ada, { email: `${name.toLowerCase()}@example.com`, name });
  }
  return { browser, server, ...people };
}

/** Fills in the login and waits for the workplace. */
export async function logIn(page, { email, password }, { remember = false } = {}) {
  await page.getByLabel("E-mail address").fill(email);
  await page.getByLabel("Password").fill(password);
  if (remember) await page.getByLabel("Remember me").check();
  await page.getByRole("button", { name: "Log in" }).click();
}

/** The page of somebody who logged in with this browser before. */
export async function enter(browser, server, person, view = "generate", options = {}) {
  const page = await openPage(browser, `${server.base}/docs`, options);
  await page.evaluate(token => localStorage.setItem("auth_token", token), person.token);
  await page.goto(`${server.base}/#/${view}`);
  await page.locator("#app").waitFor();
  await page.locator(`body[data-view="${view}"]`).waitFor();
  await page.locator(".offline:empty").waitFor({ state: "attached" });
  return page;
}

/** Goes to another view. */
export async function go(page, view) {
  await page.evaluate(name => { location.hash = `#/${name}`; }, view);
  await page.locator(`body[data-view="${view}"]`).waitFor();
}

/** Chooses an item of the menu behind the person at the lower left. */
export async function choose(page, item) {
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: item }).click();
}

/** The entry of a board in the gallery. */
export function board(page, name) {
  return page.locator("li[data-board]").filter({ has: page.locator(".name", { hasText: name }) });
}

/** Opens the menu of a board with the right button. */
export async function boardMenu(page, name) {
  await board(page, name).locator(".board").click({ button: "right" });
  const menu = page.getByRole("menu");
  await menu.waitFor();
  return menu;
}

/** Shows the pictures of a board. */
export async function showBoard(page, name) {
  await page.locator(".board").filter({ hasText: name }).click();
}

/** Makes a board; its identifier. */
export async function makeBoard(server, person, name, visibility) {
  const made = await server.call("POST", `/api/v1/boards/?board_name=${encodeURIComponent(name)}`, { token: person?.token });
  if (visibility) await server.call("PATCH", `/api/v1/boards/${made.board_id}`, { token: person.token, body: { board_visibility: visibility } });
  return made.board_id;
}

/** Waits until the gallery shows so many pictures. */
export async function pictures(page, count) {
  await page.locator(".gallery .bar .hint", { hasText: new RegExp(`^${count} (picture|asset)s?$`) }).waitFor();
}

/** Waits for a message in passing. */
export async function told(page, text) {
  await page.locator(".toast", { hasText: text }).first().waitFor();
}

/** Puts items into somebody's queue over the interface: graphs that need no model. Gives their numbers, ascending. */
export async function enqueue(server, person, count = 1, nodes = { add: { id: "add", type: "add", a: 1, b: 2 } }) {
  const batch = { graph: { id: "g", nodes, edges: [] }, runs: count, origin: "generate", destination: "generate" };
  const { item_ids: ids } = await server.call("POST", "/api/v1/queue/default/enqueue_batch", { token: person?.token, body: { batch, prepend: false } });
  return ids.sort((a, b) => a - b);
}

/** Pauses or resumes the queue. */
export async function processor(server, admin, what) {
  await server.call("PUT", `/api/v1/queue/default/processor/${what}`, { token: admin?.token });
}

/** Waits until the queue has nothing left that waits or runs. */
export async function idle(server, admin) {
  await until("the end of all items", async () => {
    const { queue } = await server.call("GET", "/api/v1/queue/default/status", { token: admin?.token });
    return queue.pending + queue.in_progress === 0;
  }, 90_000);
}

/** The row of an item in the Queue tab. */
export function item(page, id) {
  return page.locator(`tr[data-item="${id}"]`);
}

/** Saves a workflow over the interface; its identifier. */
export async function saveWorkflow(server, person, name, { shared = false } = {}) {
  const input = (field, value) => ({ name: field, label: "", description: "", value });
  const workflow = {
    name, author: "", description: `About ${name}`, version: "1.0.0", contact: "", tags: "", notes: "", exposedFields: [{ nodeId: "add", fieldName: "a" }],
    meta: { version: "3.0.0", category: "user" }, edges: [], form: null,
    nodes: [{ id: "add", type: "invocation", position: { x: 0, y: 0 }, data: { id: "add", type: "add", version: "1.0.1", nodePack: "invokeai", label: "", notes: "", isOpen: true, isIntermediate: true, useCache: true, inputs: { a: input("a", 3), b: input("b", 4) } } }],
  };
  const { workflow_id: id } = await server.call("POST", "/api/v1/workflows/", { token: person?.token, body: { workflow } });
  if (shared) await server.call("PATCH", `/api/v1/workflows/i/${id}/is_public`, { token: person.token, body: { is_public: true } });
  return id;
}

/** Shows a library of the Workflows tab and gives the entry of a workflow. */
export async function library(page, name, workflow) {
  await page.getByRole("tab", { name, exact: true }).click();
  return page.locator(".workflow", { hasText: workflow });
}

/** Fails unless something is shown nowhere on the page. */
export async function nowhere(page, text) {
  assert.equal(await page.getByText(text).count(), 0, `“${text}” is shown`);
}

/** Puts a picture of the model that ships with the program into somebody's queue over the interface; the item's number. */
export async function paint(server, person, { prompt = "a red circle on a blue background", steps = 4, count = 1 } = {}) {
  const { models } = await server.call("GET", "/api/v2/models/?model_type=main", { token: person?.token });
  const { key, hash, name, base, type } = models[0];
  const nodes = {
    model: { type: "main_model_loader", model: { key, hash, name, base, type } }, positive_prompt: { type: "string", value: prompt }, text: { type: "compel" }, no: { type: "compel", prompt: "" },
    noise: { type: "noise", width: 256, height: 256 }, denoise: { type: "denoise_latents", steps, cfg_scale: 5, scheduler: "euler" }, result: { type: "l2i", is_intermediate: false, use_cache: false },
  };
  for (const [id, node] of Object.entries(nodes)) nodes[id] = { id, is_intermediate: true, use_cache: true, ...node };
  const edges = [["positive_prompt", "value", "text", "prompt"], ["model", "clip", "text", "clip"], ["model", "clip", "no", "clip"], ["model", "unet", "denoise", "unet"], ["text", "conditioning", "denoise", "positive_conditioning"],
    ["no", "conditioning", "denoise", "negative_conditioning"], ["noise", "noise", "denoise", "noise"], ["denoise", "latents", "result", "latents"], ["model", "vae", "result", "vae"]]
    .map(([from, output, to, input]) => ({ source: { node_id: from, field: output }, destination: { node_id: to, field: input } }));
  const seeds = Array.from({ length: count }, (_, index) => index + 1);
  const batch = {
    graph: { id: "g", nodes, edges }, runs: 1, origin: "generate", destination: "generate",
    data: [[{ node_path: "noise", field_name: "seed", items: seeds }], [{ node_path: "positive_prompt", field_name: "value", items: [prompt] }]],
  };
  const { item_ids: ids } = await server.call("POST", "/api/v1/queue/default/enqueue_batch", { token: person?.token, body: { batch, prepend: false } });
  return ids.sort((a, b) => a - b);
}

/** Cancels everything, whoever's it is. */
export async function clearQueue(server, admin) {
  await server.call("PUT", "/api/v1/queue/default/clear", { token: admin?.token });
  await idle(server, admin);
}

/** Closes what a test has opened. */
export async function closePages(browser) {
  await Promise.all(browser.contexts().map(context => context.close()));
}
