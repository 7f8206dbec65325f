// The built-in page: workflows.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noTroubles, screenshot, startServer } from "./lib.mjs";
import { enter, go, house, idle, library, nowhere, pictures, saveWorkflow, told } from "./page.mjs";

const { browser, server, ada, bob, cleo } = await house("Bob", "Cleo");

const back = page => page.getByRole("button", { name: "Back to the libraries" }).click();

test("g24_settings_are_saved_as_a_workflow_loaded_again_and_run", async () => {
  const page = await enter(browser, server, bob);
  await page.getByLabel("Prompt", { exact: true }).fill("a boat on the sea");
  await page.getByLabel("Steps").fill("4");
  await page.getByRole("button", { name: "Save as workflow" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("Boats");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.locator('body[data-view="workflows"]').waitFor();
  await page.getByRole("heading", { name: "Boats" }).waitFor();
  await page.reload();
  await (await library(page, "Yours", "Boats")).click();
  await page.getByLabel("Prompt", { exact: true }).fill("a house with a red roof");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await told(page, "The workflow is saved");
  await screenshot(page, "workflow");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await pictures(page, 1);
  await idle(server, ada);
  const { item_ids: [id] } = await server.call("GET", "/api/v1/queue/default/item_ids", { token: bob.token });
  const item = await server.call("GET", `/api/v1/queue/default/i/${id}`, { token: bob.token });
  assert.equal(item.status, "completed");
  assert.equal(item.workflow.name, "Boats");
  assert.ok(Object.values(item.session.graph.nodes).some(node => node.value === "a house with a red roof"));
  noTroubles(page);
});

test("g29_a_workflow_that_somebody_shared_is_viewed_and_used", async () => {
  await saveWorkflow(server, ada, "For everybody", { shared: true });
  const page = await enter(browser, server, bob, "workflows");
  await (await library(page, "Shared", "For everybody")).click();
  await page.getByLabel("A", { exact: true }).fill("7");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await idle(server, ada);
  const { item_ids: [id] } = await server.call("GET", "/api/v1/queue/default/item_ids", { token: bob.token });
  const item = await server.call("GET", `/api/v1/queue/default/i/${id}`, { token: bob.token });
  assert.deepEqual([item.status, Object.values(item.session.results)[0].value], ["completed", 11]);
  noTroubles(page);
});

test("g41_an_administrator_views_and_manages_everybodys_workflows", async () => {
  await saveWorkflow(server, cleo, "Cleo's draft");
  const page = await enter(browser, server, ada, "workflows");
  await (await library(page, "All others", "Cleo's draft")).click();
  await page.getByRole("button", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("Cleo's best");
  await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { name: "Cleo's best" }).waitFor();
  await back(page);
  await page.locator(".workflow", { hasText: "Cleo's best" }).waitFor();
  noTroubles(page);
});

test("g52_a_new_workflow_is_visible_to_its_owner_only", async () => {
  await saveWorkflow(server, bob, "Bob's private one");
  const his = await enter(browser, server, bob, "workflows");
  await (await library(his, "Yours", "Bob's private one")).waitFor();
  const hers = await enter(browser, server, cleo, "workflows");
  for (const name of ["Yours", "Shared", "Default"]) {
    await hers.getByRole("tab", { name, exact: true }).click();
    await hers.waitForLoadState("networkidle");
    await nowhere(hers, "Bob's private one");
  }
});

test("g53_a_shared_workflow_is_opened_by_all_and_changed_by_owner_and_administrators", async () => {
  await saveWorkflow(server, bob, "Shared by Bob", { shared: true });
  const hers = await enter(browser, server, cleo, "workflows");
  await (await library(hers, "Shared", "Shared by Bob")).click();
  await hers.getByText("Shared by somebody else").waitFor();
  for (const name of ["Save", "Rename", "Delete"]) assert.equal(await hers.locator(".workflows").getByRole("button", { name, exact: true }).count(), 0, name);
  await hers.getByRole("button", { name: "Save a copy" }).waitFor();
  const admins = await enter(browser, server, ada, "workflows");
  await (await library(admins, "Shared", "Shared by Bob")).click();
  await admins.getByRole("button", { name: "Rename" }).click();
  await admins.getByRole("textbox", { name: "Name" }).fill("Renamed by Ada");
  await admins.getByRole("dialog").getByRole("button", { name: "Save", exact: true }).click();
  await admins.getByRole("heading", { name: "Renamed by Ada" }).waitFor();
  noTroubles(hers, admins);
});

test("g54_the_sharing_control_toggles_it", async () => {
  await saveWorkflow(server, bob, "Toggled");
  const his = await enter(browser, server, bob, "workflows");
  const hers = await enter(browser, server, cleo, "workflows");
  await (await library(his, "Yours", "Toggled")).click();
  await his.getByLabel(/^Shared/).check();
  await told(his, "shared with everybody");
  await screenshot(his, "workflow-shared");
  // The others' libraries learn of it by themselves.
  await (await library(hers, "Shared", "Toggled")).waitFor();
  await his.getByLabel(/^Shared/).uncheck();
  await told(his, "private again");
  await hers.locator(".workflow", { hasText: "Toggled" }).waitFor({ state: "detached" });
  noTroubles(his, hers);
});

test("g55_workflows_from_before_are_shared_by_the_system_and_changed_by_administrators_only", async t => {
  const own = await startServer({ settings: { multiuser: false } });
  t.after(() => own.stop());
  await saveWorkflow(own, null, "From before");
  await own.restart({ multiuser: true });
  const admin = await own.setup();
  const user = await own.person(admin, { email: "user@example.com", name: "User" });
  const page = await enter(browser, own, user, "workflows");
  const entry = await library(page, "Shared", "From before");
  await entry.getByText("System").waitFor();
  await entry.click();
  await page.getByRole("button", { name: "Run", exact: true }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Save", exact: true }).count(), 0);
  const admins = await enter(browser, own, admin, "workflows");
  await (await library(admins, "Shared", "From before")).click();
  await admins.locator(".workflows").getByRole("button", { name: "Delete", exact: true }).click();
  await admins.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await admins.locator(".workflow", { hasText: "From before" }).waitFor({ state: "detached" });
});

test("default_workflows_run_as_they_are", async () => {
  const page = await enter(browser, server, bob, "workflows");
  await (await library(page, "Default", "Text to Image - SD1.5")).click();
  await page.getByLabel("Steps").fill("4");
  await page.getByRole("button", { name: "Run", exact: true }).click();
  await idle(server, ada);
  const { item_ids: [id] } = await server.call("GET", "/api/v1/queue/default/item_ids", { token: bob.token });
  const item = await server.call("GET", `/api/v1/queue/default/i/${id}`, { token: bob.token });
  assert.equal(item.status, "completed", item.error_message);
  await back(page);
  await go(page, "generate");
  noTroubles(page);
});
