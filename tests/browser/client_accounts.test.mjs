// Accounts in InvokeAI's own web client, served by our server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { clientFolder, enter, fromUserMenu } from "./client.mjs";
import { launchBrowser, openPage, screenshot, startServer, until } from "./lib.mjs";

let browser, webDir;
before(async () => {
  webDir = await clientFolder();
  browser = await launchBrowser();
});
after(() => browser?.close());

async function server(t) {
  const server = await startServer({ webDir });
  t.after(() => server.stop());
  return server;
}

test("g07_client_asks_for_the_administrator_once", async t => {
  const invoke = await server(t);
  const page = await openPage(browser, invoke.base);
  await page.waitForURL("**/setup");
  await page.fill("input[type=email]", "ada@example.com");
  await page.fill('input[placeholder="Administrator"]', "Ada");
  await page.fill('input[placeholder="Password"]', "Secret123");
  await page.fill('input[placeholder="Confirm Password"]', "Secret123");
  await screenshot(page, "client-setup");
  await page.click("button[type=submit]");
  await page.waitForURL("**/login");

  const second = await openPage(browser, invoke.base);
  await second.waitForURL("**/login");
});

test("g09_client_logs_in_with_the_credentials_of_the_setup", async t => {
  const invoke = await server(t);
  const ada = await invoke.setup();
  const page = await enter(browser, invoke, ada);
  await page.getByText("Generate images from text prompts.").waitFor();
});

test("g63_client_shows_incorrect_email_or_password", async t => {
  const invoke = await server(t);
  await invoke.setup();
  const page = await openPage(browser, `${invoke.base}/login`);
  await page.fill("input[type=email]", "ada@example.com");
  await page.fill("input[type=password]", "Wrong1234");
  await page.click("button[type=submit]");
  await page.getByText("Incorrect email or password").first().waitFor();
});

test("g64_client_shows_account_is_disabled", async t => {
  const invoke = await server(t);
  const ada = await invoke.setup();
  const bob = await invoke.person(ada, { email: "bob@example.com", name: "Bob" });
  await invoke.call("PATCH", `/api/v1/auth/users/${bob.user.user_id}`, { token: ada.token, body: { is_active: false } });
  const page = await openPage(browser, `${invoke.base}/login`);
  await page.fill("input[type=email]", bob.email);
  await page.fill("input[type=password]", bob.password);
  await page.click("button[type=submit]");
  await page.getByText("account is disabled").first().waitFor();
});

test("g10_client_creates_an_account_in_user_management", async t => {
  const invoke = await server(t);
  const ada = await invoke.setup();
  const page = await enter(browser, invoke, ada);
  await fromUserMenu(page, "User Management");
  await page.getByRole("button", { name: "Create User" }).click();
  const dialog = page.getByRole("dialog").filter({ hasText: "Create User" });
  await dialog.locator("input[type=email]").fill("cleo@example.com");
  await dialog.locator('input[placeholder="Display name"]').fill("Cleo");
  await dialog.locator("input[type=password]").fill("Secret123");
  await dialog.getByRole("button", { name: "Create User" }).click();
  await page.getByRole("row").filter({ hasText: "cleo@example.com" }).waitFor();
  await screenshot(page, "client-users");
  const cleo = await invoke.login("cleo@example.com", "Secret123");
  assert.equal(cleo.user.display_name, "Cleo");
  assert.equal(cleo.user.is_admin, false);
});

test("g11_client_deactivates_an_account", async t => {
  const invoke = await server(t);
  const ada = await invoke.setup();
  const bob = await invoke.person(ada, { email: "bob@example.com", name: "Bob" });
  const page = await enter(browser, invoke, ada);
  await fromUserMenu(page, "User Management");
  const row = page.getByRole("row").filter({ hasText: bob.email });
  await row.locator(".chakra-switch").click();
  await until("the end of the session", () => invoke.call("GET", "/api/v1/auth/me", { token: bob.token }).then(() => false, refused => refused.status === 401));
});

test("g13_client_deletes_an_account", async t => {
  const invoke = await server(t);
  const ada = await invoke.setup();
  const bob = await invoke.person(ada, { email: "bob@example.com", name: "Bob" });
  const page = await enter(browser, invoke, ada);
  await fromUserMenu(page, "User Management");
  const row = page.getByRole("row").filter({ hasText: bob.email });
  await row.getByRole("button").last().click();
  await page.getByRole("alertdialog").or(page.getByRole("dialog")).getByRole("button", { name: "Delete" }).click();
  await row.waitFor({ state: "detached" });
  await assert.rejects(invoke.login(bob.email, bob.password), { status: 401 });
});

test("g21_client_changes_the_display_name_in_my_profile", async t => {
  const invoke = await server(t);
  const ada = await invoke.setup();
  const bob = await invoke.person(ada, { email: "bob@example.com", name: "Bob" });
  const page = await enter(browser, invoke, bob);
  await fromUserMenu(page, "My Profile");
  assert.equal(await page.getByLabel("Email").inputValue(), bob.email);
  await page.locator('input[value="Bob"]').fill("Robert");
  await page.getByRole("button", { name: "Save" }).click();
  await until("the new name", async () => (await invoke.call("GET", "/api/v1/auth/me", { token: bob.token })).display_name === "Robert");
});

test("g74_client_shows_the_admin_badge_and_only_administrators_manage_users", async t => {
  const invoke = await server(t);
  const ada = await invoke.setup();
  const bob = await invoke.person(ada, { email: "bob@example.com", name: "Bob" });
  const administrator = await enter(browser, invoke, ada);
  await administrator.click('[aria-label="User Menu"]');
  await administrator.locator("[role=menu]:visible").getByText("Admin", { exact: true }).waitFor();
  const regular = await enter(browser, invoke, bob);
  await regular.click('[aria-label="User Menu"]');
  const menu = regular.locator("[role=menu]:visible");
  await menu.getByText("My Profile").waitFor();
  assert.equal(await menu.getByText("Admin", { exact: true }).count(), 0);
  assert.equal(await menu.getByText("User Management").count(), 0);
});
