// The built-in page: roles, User Management, what is kept from regular users.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noTroubles, openPage, screenshot, startServer } from "./lib.mjs";
import { choose, enqueue, enter, go, house, item, logIn, nowhere, processor, told } from "./page.mjs";

const { browser, server, ada, bob } = await house("Bob");

const row = (page, email) => page.locator(`tr[data-email="${email}"]`);

test("g02_an_administrator_manages_users_models_and_the_queue", async () => {
  const page = await enter(browser, server, ada, "users");
  await row(page, "bob@example.com").waitFor();
  await go(page, "models");
  await page.getByRole("tab", { name: "Add Models" }).waitFor();
  await go(page, "queue");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("Paused: an administrator has paused the queue").waitFor();
  const [id] = await enqueue(server, bob);
  await page.getByRole("button", { name: `Cancel item ${id}` }).click();
  await item(page, id).locator(".status.canceled").waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.locator(".verdict[data-kind=empty]").waitFor();
  noTroubles(page);
});

test("g03_a_regular_user_modifies_the_own_profile_only", async () => {
  const page = await enter(browser, server, bob);
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "My Profile" }).waitFor();
  assert.equal(await page.getByRole("menuitem", { name: "User Management" }).count(), 0);
  assert.equal(await page.getByRole("menuitem", { name: "System" }).count(), 0);
});

test("g04_several_users_are_administrators_at_once", async () => {
  const second = await server.person(ada, { email: "second@example.com", name: "Second", is_admin: true });
  const pages = [await enter(browser, server, ada, "users"), await enter(browser, server, second, "users")];
  for (const page of pages) await row(page, "bob@example.com").waitFor();
});

test("g10_the_person_at_the_lower_left_leads_to_user_management_and_create_user", async () => {
  const page = await enter(browser, server, ada);
  const box = await page.getByRole("button", { name: "Account" }).boundingBox();
  assert.ok(box.x < 80 && box.y > 700, "the person stands at the lower left");
  await choose(page, "User Management");
  await page.getByRole("button", { name: "Create User" }).click();
  await page.getByLabel("E-mail address").fill("new@example.com");
  await page.getByLabel("Display name").fill("New");
  await page.getByRole("button", { name: "Generate a password" }).click();
  const password = await page.locator(".made code").innerText();
  await screenshot(page, "create-user");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await row(page, "new@example.com").waitFor();
  assert.equal((await server.login("new@example.com", password)).user.is_admin, false);
  await screenshot(page, "users");
  noTroubles(page);
});

test("g11_an_inactive_user_is_out_at_once_and_comes_back_when_active_again", async () => {
  const finn = await server.person(ada, { email: "finn@example.com", name: "Finn" });
  const his = await enter(browser, server, finn);
  const page = await enter(browser, server, ada, "users");
  const active = page.getByRole("switch", { name: "Finn is active" });
  await active.uncheck();
  await told(page, "Finn is inactive");
  await his.getByText("Session expired", { exact: true }).waitFor();
  await logIn(his, finn);
  await his.getByText("Account is disabled", { exact: true }).waitFor();
  await active.check();
  await told(page, "Finn is active again");
  await logIn(his, finn);
  await his.locator(".who", { hasText: "Finn" }).waitFor();
});

test("g12_an_administrator_edits_a_users_name_and_password", async () => {
  await server.person(ada, { email: "gina@example.com", name: "Gina" });
  const page = await enter(browser, server, ada, "users");
  await page.getByRole("button", { name: "Edit Gina" }).click();
  await page.getByLabel("Display name").fill("Gina Lee");
  await page.getByLabel("New password", { exact: true }).fill("Another99");
  await page.getByLabel("Confirm new password").fill("Another99");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await row(page, "gina@example.com").getByText("Gina Lee").waitFor();
  assert.equal((await server.login("gina@example.com", "Another99")).user.display_name, "Gina Lee");
});

test("g13_a_user_is_deleted_for_good_after_a_question", async () => {
  const hans = await server.person(ada, { email: "hans@example.com", name: "Hans" });
  const page = await enter(browser, server, ada, "users");
  await page.getByRole("button", { name: "Delete Hans" }).click();
  await page.getByRole("button", { name: "Cancel" }).click();
  await row(page, "hans@example.com").waitFor();
  await page.getByRole("button", { name: "Delete Hans" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await row(page, "hans@example.com").waitFor({ state: "detached" });
  await assert.rejects(server.login(hans.email, hans.password), { status: 401 });
});

test("g14_administrator_is_granted_and_revoked", async () => {
  const ines = await server.person(ada, { email: "ines@example.com", name: "Ines" });
  const page = await enter(browser, server, ada, "users");
  for (const granted of [true, false]) {
    await page.getByRole("button", { name: "Edit Ines" }).click();
    await page.getByLabel("Administrator", { exact: true }).setChecked(granted);
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await row(page, ines.email).getByText(granted ? "Administrator" : "User", { exact: true }).waitFor();
    assert.equal((await server.login(ines.email, ines.password)).user.is_admin, granted);
  }
});

test("g14_a_page_learns_that_its_owner_is_no_administrator_any_more", async () => {
  const lena = await server.person(ada, { email: "lena@example.com", name: "Lena", is_admin: true });
  const page = await enter(browser, server, lena, "queue");
  await server.call("PATCH", `/api/v1/auth/users/${lena.user.user_id}`, { token: ada.token, body: { is_admin: false } });
  await page.getByRole("button", { name: "Pause" }).click();
  await page.locator(".who .badge").waitFor({ state: "detached" });
  await page.locator('body[data-view="queue"]').waitFor();
  assert.equal(await page.getByRole("button", { name: "Pause" }).count(), 0);
});

test("g32_a_regular_user_does_not_reach_the_accounts", async () => {
  const page = await enter(browser, server, bob, "users");
  await page.getByText("Admin privileges required", { exact: true }).waitFor();
  await nowhere(page, "ada@example.com");
});

test("g33_a_regular_user_does_not_reach_the_system_configuration", async () => {
  const page = await enter(browser, server, bob, "system");
  await page.getByText("Admin privileges required", { exact: true }).waitFor();
  await nowhere(page, "schema_version");
});

test("g39_an_account_made_on_the_page_can_work", async () => {
  const page = await enter(browser, server, ada, "users");
  await page.getByRole("button", { name: "Create User" }).click();
  await page.getByLabel("E-mail address").fill("jane@example.com");
  await page.getByLabel("Display name").fill("Jane");
  await page.getByLabel("Password", { exact: true }).fill("Pass12345");
  await page.getByLabel("Confirm password").fill("Pass12345");
  await page.getByRole("button", { name: "Create", exact: true }).click();
  await row(page, "jane@example.com").waitFor();
  const hers = await openPage(browser, server.base);
  await logIn(hers, { email: "jane@example.com", password: "Pass12345" });
  await hers.getByRole("button", { name: "Invoke", exact: true }).waitFor();
  noTroubles(page, hers);
});

test("g42_an_administrator_reaches_the_system_configuration", async () => {
  const page = await enter(browser, server, ada, "system");
  await page.getByRole("rowheader", { name: "multiuser" }).waitFor();
  await page.getByLabel("Finished queue items to keep at a start").fill("50");
  await page.getByRole("button", { name: "Save the number of items to keep" }).click();
  await told(page, "The configuration is saved");
  assert.equal((await server.call("GET", "/api/v1/app/runtime_config", { token: ada.token })).config.max_queue_history, 50);
  await screenshot(page, "system");
  noTroubles(page);
});

test("g43_the_last_administrator_cannot_be_lost", async t => {
  const fresh = await startServer();
  t.after(() => fresh.stop());
  const only = await fresh.setup();
  const page = await enter(browser, fresh, only, "users");
  await page.getByRole("switch", { name: "Ada is active" }).click();
  await told(page, "Cannot remove the last administrator");
  await page.getByRole("button", { name: "Edit Ada" }).click();
  await page.getByLabel("Administrator", { exact: true }).uncheck();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("dialog").getByText("Cannot remove the last administrator").waitFor();
  assert.equal((await fresh.login(only.email, only.password)).user.is_admin, true);
});

test("g66_what_is_for_administrators_says_admin_privileges_required", async () => {
  const page = await enter(browser, server, bob, "users");
  await page.getByText("Admin privileges required", { exact: true }).waitFor();
  await go(page, "models");
  await page.getByText(/Admin privileges required/).waitFor();
});

test("g71_an_administrator_resets_a_forgotten_password", async () => {
  const kurt = await server.person(ada, { email: "kurt@example.com", name: "Kurt" });
  const page = await enter(browser, server, ada, "users");
  await page.getByRole("button", { name: "Edit Kurt" }).click();
  await page.getByRole("button", { name: "Generate a password" }).click();
  const password = await page.locator(".made code").innerText();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await told(page, "has to log in anew");
  const his = await openPage(browser, server.base);
  await logIn(his, { email: kurt.email, password });
  await his.locator(".who", { hasText: "Kurt" }).waitFor();
});

test("g74_a_badge_stands_beside_an_administrators_name", async () => {
  const admin = await enter(browser, server, ada);
  await admin.locator(".who .badge", { hasText: "Admin" }).waitFor();
  const box = await admin.locator(".who .badge").boundingBox();
  assert.ok(box.x > 1000 && box.y < 60, "it stands at the top right");
  const user = await enter(browser, server, bob);
  await user.locator(".who", { hasText: "Bob" }).waitFor();
  assert.equal(await user.locator(".who .badge").count(), 0);
  await processor(server, ada, "resume");
});
