// The built-in page: the shared queue.
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { noTroubles, screenshot } from "./lib.mjs";
import { clearQueue, enqueue, enter, go, house, idle, item, nowhere, paint, processor } from "./page.mjs";

const { browser, server, ada, bob, cleo } = await house("Bob", "Cleo");
afterEach(async () => {
  await processor(server, ada, "resume");
  await clearQueue(server, ada);
});

const badge = (page, text) => page.locator("#queue-badge", { hasText: new RegExp(`^${text}$`) }).waitFor();
const verdict = (page, kind) => page.locator(`.verdict[data-kind="${kind}"]`).waitFor();

test("g25_a_user_sees_the_own_items_with_their_prompts", async () => {
  await paint(server, bob, { prompt: "a boat of my own" });
  const page = await enter(browser, server, bob, "queue");
  await page.locator("tr.own").getByText("a boat of my own").waitFor();
  await page.getByRole("button", { name: /^Details of item/ }).click();
  await page.getByRole("dialog").getByText("a boat of my own").first().waitFor();
  noTroubles(page);
});

test("g34_others_items_can_neither_be_read_nor_canceled", async () => {
  await processor(server, ada, "pause");
  const [id] = await paint(server, cleo, { prompt: "a secret of Cleo" });
  const page = await enter(browser, server, bob, "queue");
  await item(page, id).getByText("Hidden").waitFor();
  await nowhere(page, "a secret of Cleo");
  assert.equal(await item(page, id).getByRole("button").count(), 0);
  const status = await page.evaluate(async number => (await fetch(`/api/v1/queue/default/i/${number}/cancel`, { method: "PUT", headers: { authorization: `Bearer ${localStorage.getItem("auth_token")}` } })).status, id);
  assert.equal(status, 403);
});

test("g36_the_badge_reads_own_of_all_and_anothers_run_is_seen", async () => {
  const page = await enter(browser, server, bob);
  await paint(server, cleo, { steps: 900, count: 2 });
  await badge(page, "0/2");
  await page.getByText("Somebody else's item is running").waitFor();
  await enqueue(server, bob, 3);
  await badge(page, "3/5");
  await screenshot(page, "badge");
  noTroubles(page);
});

test("g37_the_place_among_the_others_is_shown", async () => {
  await processor(server, ada, "pause");
  await enqueue(server, cleo, 3);
  const [mine] = await enqueue(server, bob);
  const page = await enter(browser, server, bob, "queue");
  await page.getByText("Your next item is at place 4 of 4; 3 items before it.").waitFor();
  await item(page, mine).getByText("4 / 4").waitFor();
  await screenshot(page, "queue-place");
  noTroubles(page);
});

test("g40_an_administrator_sees_and_manages_everybodys_items", async () => {
  await processor(server, ada, "pause");
  const [first] = await paint(server, bob, { prompt: "a boat of Bob" });
  const [second] = await paint(server, cleo, { prompt: "a house of Cleo" });
  const page = await enter(browser, server, ada, "queue");
  await item(page, first).getByText("a boat of Bob").waitFor();
  await item(page, second).getByText("Cleo", { exact: true }).waitFor();
  await page.getByRole("button", { name: `Cancel item ${first}` }).click();
  await item(page, first).locator(".status.canceled").waitFor();
  await page.getByRole("button", { name: "Clear", exact: true }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Clear" }).click();
  await item(page, second).waitFor({ state: "detached" });
  noTroubles(page);
});

test("g57_a_pending_item_is_canceled", async () => {
  await processor(server, ada, "pause");
  const [first, second] = await enqueue(server, bob, 2);
  const page = await enter(browser, server, bob, "queue");
  await page.getByRole("button", { name: `Cancel item ${second}` }).click();
  await item(page, second).locator(".status.canceled").waitFor();
  await item(page, first).locator(".status.pending").waitFor();
  await page.getByRole("button", { name: "Cancel all but running" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Cancel all but running" }).click();
  await item(page, first).locator(".status.canceled").waitFor();
  noTroubles(page);
});

test("g58_an_earlier_item_is_run_again", async () => {
  await processor(server, ada, "pause");
  const [canceled] = await enqueue(server, bob);
  const page = await enter(browser, server, bob, "queue");
  await page.getByRole("button", { name: `Cancel item ${canceled}` }).click();
  await processor(server, ada, "resume");
  await page.getByRole("button", { name: `Retry item ${canceled}` }).click();
  const done = page.locator('tr.own[data-status="completed"]');
  await done.waitFor();
  await page.getByRole("button", { name: /^Run again item/ }).click();
  await done.nth(1).waitFor();
  noTroubles(page);
});

test("g60_others_items_are_listed_without_their_parameters_and_administrators_see_all", async () => {
  const [id] = await paint(server, cleo, { prompt: "private words" });
  await idle(server, ada);
  const his = await enter(browser, server, bob, "queue");
  await item(his, id).getByText("Somebody else").waitFor();
  await nowhere(his, "private words");
  const hers = await enter(browser, server, cleo, "queue");
  await item(hers, id).getByText("private words").waitFor();
  const admins = await enter(browser, server, ada, "queue");
  await item(admins, id).getByText("private words").waitFor();
});

test("g68_others_before_you_paused_and_stuck_are_told_apart", async () => {
  const page = await enter(browser, server, bob, "queue");
  await verdict(page, "empty");
  await paint(server, cleo, { steps: 900, count: 2 });
  await enqueue(server, bob);
  await verdict(page, "others");
  await page.getByText(/Others are before you: 2 items/).waitFor();
  await screenshot(page, "queue-others");
  await processor(server, ada, "pause");
  await verdict(page, "paused");
  await processor(server, ada, "resume");
  await clearQueue(server, ada);
  await verdict(page, "empty");
  // A server that holds items and does not take them up although nobody paused it.
  await page.route("**/api/v1/queue/default/status", async route => {
    const reply = await route.fetch();
    const state = await reply.json();
    Object.assign(state.queue, { pending: 1, in_progress: 0, user_pending: 1, user_in_progress: 0 });
    await route.fulfill({ response: reply, json: state });
  });
  await verdict(page, "stuck");
  await screenshot(page, "queue-stuck");
});

test("only_administrators_pause_the_queue", async () => {
  const page = await enter(browser, server, bob, "queue");
  await page.getByRole("button", { name: "Clear", exact: true }).waitFor();
  for (const name of ["Pause", "Resume"]) assert.equal(await page.getByRole("button", { name }).count(), 0);
  const admins = await enter(browser, server, ada, "queue");
  await admins.getByRole("button", { name: "Pause" }).click();
  await verdict(admins, "paused");
  await admins.getByRole("button", { name: "Resume" }).click();
  await verdict(admins, "empty");
  await go(admins, "generate");
});
