// Daily work of a group in InvokeAI's own web client, served by our server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { clientFolder, closeAnnouncement, enter } from "./client.mjs";
import { launchBrowser, openPage, screenshot, startServer, until } from "./lib.mjs";

let browser, invoke, ada, bob;
before(async () => {
  const webDir = await clientFolder();
  browser = await launchBrowser();
  invoke = await startServer({ webDir });
  ada = await invoke.setup();
  bob = await invoke.person(ada, { email: "bob@example.com", name: "Bob" });
});
after(async () => {
  await browser?.close();
  await invoke?.stop();
});

const board = (owner, name) => invoke.call("POST", `/api/v1/boards/?board_name=${name}`, { token: owner.token });
const boards = owner => invoke.call("GET", "/api/v1/boards/?all=true&include_archived=true", { token: owner.token });
const pause = () => invoke.call("PUT", "/api/v1/queue/default/processor/pause", { token: ada.token });
const resume = () => invoke.call("PUT", "/api/v1/queue/default/processor/resume", { token: ada.token });
const enqueue = owner => invoke.call("POST", "/api/v1/queue/default/enqueue_batch", {
  token: owner.token,
  body: { batch: { graph: { id: "g", nodes: { sum: { id: "sum", type: "add", a: 1, b: 2 } }, edges: [] }, runs: 1 } },
});

test("g23_client_makes_a_picture_from_a_prompt", async () => {
  const page = await enter(browser, invoke, bob);
  await page.locator("textarea").first().fill("a red circle on a blue background");
  await page.getByRole("button", { name: "Invoke", exact: true }).or(page.locator('button:has-text("Invoke")')).first().click();
  const made = await until("the picture", async () => {
    const { items } = await invoke.call("GET", "/api/v1/images/?is_intermediate=false", { token: bob.token });
    return items[0];
  }, 60_000);
  await page.locator(`img[src*="${made.image_name}"]`).first().waitFor();
  await screenshot(page, "client-picture");
});

test("g48_client_changes_a_boards_visibility_by_right_click", async () => {
  await board(bob, "Bobs");
  const page = await enter(browser, invoke, bob);
  await page.getByText("Bobs", { exact: true }).first().click({ button: "right" });
  const menu = page.locator("[role=menu]:visible");
  await screenshot(page, "client-board-menu");
  await menu.getByText("Set Shared").click();
  await until("the board to be shared", async () => (await boards(ada)).find(b => b.board_name === "Bobs")?.board_visibility === "shared");
});

test("g45_client_hides_a_private_board_from_others", async () => {
  await board(ada, "AdasPrivate");
  const shown = await board(ada, "AdasPublic");
  await invoke.call("PATCH", `/api/v1/boards/${shown.board_id}`, { token: ada.token, body: { board_visibility: "public" } });
  const page = await enter(browser, invoke, bob);
  await page.getByText("AdasPublic", { exact: true }).first().waitFor();
  assert.equal(await page.getByText("AdasPrivate", { exact: true }).count(), 0);
});

test("g67_client_hides_archived_boards_until_they_are_asked_for", async () => {
  const old = await board(bob, "Long ago");
  await invoke.call("PATCH", `/api/v1/boards/${old.board_id}`, { token: bob.token, body: { archived: true } });
  const page = await enter(browser, invoke, bob);
  await page.getByText("Bobs", { exact: true }).or(page.getByText("Uncategorized", { exact: true })).first().waitFor();
  assert.equal(await page.getByText("Long ago", { exact: true }).count(), 0);
  await page.click('[aria-label="Boards Settings"]');
  await page.getByText("Show Archived").click();
  await page.getByText("Long ago", { exact: true }).first().waitFor();
});

test("g36_client_shows_own_and_all_jobs", async () => {
  await pause();
  const page = await enter(browser, invoke, bob);
  // One after the other: the client does not ask for the counts again while an answer to an earlier question is on its way.
  for (const [owner, badge] of [[ada, "0/1"], [ada, "0/2"], [bob, "1/3"]]) {
    await enqueue(owner);
    await page.getByText(badge, { exact: true }).first().waitFor();
  }
  await screenshot(page, "client-badge");
});

test("g60_client_lists_others_jobs_without_their_content", async () => {
  const page = await enter(browser, invoke, bob);
  await page.click("[aria-label=Queue]");
  await until("two rows without content", async () => (await page.getByText("<Hidden>", { exact: true }).count()) === 2);
  assert.equal(await page.getByText("Ada", { exact: true }).count(), 0);
  await screenshot(page, "client-queue");
  await resume();
  await until("the queue to be empty", async () => (await invoke.call("GET", "/api/v1/queue/default/status", { token: ada.token })).queue.pending === 0);
});

test("g73_client_offers_regular_users_no_way_to_add_models", async () => {
  const administrator = await enter(browser, invoke, ada);
  await administrator.click("[aria-label=Models]");
  await administrator.getByText("Add Model").first().waitFor();
  const regular = await enter(browser, invoke, bob);
  await regular.click("[aria-label=Models]");
  await regular.getByText("invoke-tiny").first().waitFor();
  assert.equal(await regular.getByText("Add Model").count(), 0);
});

test("g62_client_finds_preferences_again_on_another_browser", async () => {
  const first = await enter(browser, invoke, bob);
  // Where the client was left is kept too: the tab may be another.
  await first.click("[aria-label=Generate]");
  const written = `a green square on a white background ${Date.now()}`;
  await first.locator("textarea").first().fill(written);
  await until("the prompt in the account", async () => {
    const kept = await invoke.call("GET", "/api/v1/client_state/default/get_by_key?key=params", { token: bob.token });
    return typeof kept === "string" && kept.includes(written);
  });
  const second = await enter(browser, invoke, bob);
  await until("the prompt on the other browser", async () => (await second.locator("textarea").first().inputValue()) === written);
  const other = await enter(browser, invoke, ada);
  await other.click("[aria-label=Generate]");
  assert.notEqual(await other.locator("textarea").first().inputValue(), written);
});

test("g50_client_shows_everything_in_one_place_without_accounts", async t => {
  const alone = await startServer({ webDir: await clientFolder(), settings: {} });
  t.after(() => alone.stop());
  const page = await openPage(browser, alone.base, { width: 1500, height: 950 });
  await closeAnnouncement(page);
  await page.getByText("Uncategorized").first().waitFor();
  assert.equal(await page.locator('[aria-label="User Menu"]').count(), 0);
});
