// The tools of InvokeAI's own web client, served by our server without accounts: the canvas with a mask, the workflow library.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { clientFolder, closeAnnouncement } from "./client.mjs";
import { launchBrowser, openPage, screenshot, startServer, until } from "./lib.mjs";

let browser, invoke;
before(async () => {
  const webDir = await clientFolder();
  browser = await launchBrowser();
  invoke = await startServer({ webDir, settings: {} });
});
after(async () => {
  await browser?.close();
  await invoke?.stop();
});

const items = () => invoke.call("GET", "/api/v1/queue/default/list_all");

/** Presses Invoke, and returns the finished job with the types of its nodes. */
async function run(page) {
  const known = new Set((await items()).map(item => item.item_id));
  await page.locator('button:has-text("Invoke")').first().click();
  const done = await until("the job's end", async () => {
    const mine = (await items()).find(item => !known.has(item.item_id));
    return mine && !["pending", "in_progress", "waiting"].includes(mine.status) && mine;
  }, 60_000);
  const { session } = await invoke.call("GET", `/api/v1/queue/default/i/${done.item_id}`);
  return { status: done.status, error: done.error_message, types: Object.values(session.graph.nodes).map(node => node.type) };
}

async function open() {
  const page = await openPage(browser, invoke.base, { width: 1500, height: 950 });
  await page.waitForSelector("[aria-label=Canvas]");
  await closeAnnouncement(page);
  return page;
}

test("g23_client_draws_changes_and_repairs_on_the_canvas", async () => {
  const page = await open();
  await page.click("[aria-label=Canvas]");
  await page.locator("textarea").first().fill("a red circle on a blue background");
  const accept = async () => {
    await page.locator('[aria-label^="Accept"]').first().click();
    await page.locator('[aria-label^="Accept"]').first().waitFor({ state: "detached" });
  };

  const drawn = await run(page);
  assert.deepEqual([drawn.status, drawn.error], ["completed", null]);
  await accept();

  const changed = await run(page);
  assert.deepEqual([changed.status, changed.error], ["completed", null]);
  assert.ok(changed.types.includes("i2l"), "it begins from the picture on the canvas");
  await accept();

  await page.click('[aria-label="Add Layer"]');
  await page.locator("[role=menuitem]:visible", { hasText: "Inpaint Mask" }).click();
  await page.keyboard.press("b");
  await page.mouse.move(620, 400);
  await page.mouse.down();
  await page.mouse.move(760, 420, { steps: 10 });
  await page.mouse.move(640, 520, { steps: 10 });
  await page.mouse.up();
  const repaired = await run(page);
  assert.deepEqual([repaired.status, repaired.error], ["completed", null]);
  assert.ok(repaired.types.includes("create_gradient_mask"), "only what the mask covers changes");
  await page.locator('[aria-label^="Accept"]').first().waitFor();
  await screenshot(page, "client-canvas");
});

test("g29_client_runs_a_workflow_of_the_library", async () => {
  const page = await open();
  await page.click("[aria-label=Workflows]");
  await page.getByText("Browse Workflow Templates").click();
  await page.getByText("Text to Image - SD1.5").click();
  await page.getByRole("button", { name: "Load", exact: true }).click();
  await page.getByRole("dialog").first().waitFor({ state: "detached" });
  await page.locator('[id^="react-select"]', { hasText: "Select a Model" }).first().click({ force: true });
  await page.getByText("invoke-tiny").last().click();
  await screenshot(page, "client-workflow");
  const made = await run(page);
  assert.deepEqual([made.status, made.error], ["completed", null]);
});
