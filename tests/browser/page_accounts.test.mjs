// The built-in page: the first start, logging in, sessions, the own profile.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noTroubles, openPage, screenshot, startServer } from "./lib.mjs";
import { choose, enter, house, logIn, nowhere, told } from "./page.mjs";

const { browser, server, ada, bob } = await house("Bob");

test("g07_setup_is_shown_once", async t => {
  const fresh = await startServer();
  t.after(() => fresh.stop());
  const page = await openPage(browser, fresh.base);
  await page.getByRole("heading", { name: "Administrator Setup" }).waitFor();
  await page.getByLabel("E-mail address").fill("root@example.com");
  await page.getByLabel("Display name").fill("Root");
  await page.getByLabel("Password", { exact: true }).fill("Secret123");
  await page.getByLabel("Confirm password").fill("Secret124");
  await page.getByRole("button", { name: "Create Administrator Account" }).click();
  await page.getByText("The two passwords are not the same.").waitFor();
  await page.getByLabel("Confirm password").fill("Secret123");
  await screenshot(page, "setup");
  await page.getByRole("button", { name: "Create Administrator Account" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await nowhere(page, "Administrator Setup");
  noTroubles(page);
});

test("g08_each_unmet_rule_of_passwords_is_named", async t => {
  const fresh = await startServer();
  t.after(() => fresh.stop());
  const page = await openPage(browser, fresh.base);
  await page.getByLabel("E-mail address").fill("root@example.com");
  const rule = name => page.getByRole("listitem", { name: `${name}: met` });
  for (const [password, unmet] of [["", /cannot be empty/], ["abc", /needs at least 8 characters, an upper-case letter, a digit/], ["abcdefgh1", /needs an upper-case letter\./], ["ABCDEFGH1", /needs a lower-case letter\./], ["Abcdefgh", /needs a digit\./]]) {
    await page.getByLabel("Password", { exact: true }).fill(password);
    await page.getByLabel("Confirm password").fill(password);
    await page.getByRole("button", { name: "Create Administrator Account" }).click();
    await page.getByRole("alert").filter({ hasText: unmet }).waitFor();
  }
  await rule("an upper-case letter").waitFor();
  assert.equal(await rule("a digit").count(), 0);
  assert.equal((await fresh.call("GET", "/api/v1/auth/status")).setup_required, true);
});

test("g09_the_new_credentials_work_at_the_login_that_follows", async t => {
  const fresh = await startServer();
  t.after(() => fresh.stop());
  const page = await openPage(browser, fresh.base);
  await page.getByLabel("E-mail address").fill("root@example.com");
  await page.getByLabel("Display name").fill("Root");
  await page.getByLabel("Password", { exact: true }).fill("Secret123");
  await page.getByLabel("Confirm password").fill("Secret123");
  await page.getByRole("button", { name: "Create Administrator Account" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await screenshot(page, "login");
  await logIn(page, { email: "root@example.com", password: "Secret123" });
  await page.locator(".who", { hasText: "Root" }).waitFor();
  noTroubles(page);
});

test("g19_a_user_logs_in_with_email_and_password", async () => {
  const page = await openPage(browser, server.base);
  await logIn(page, bob);
  await page.locator(".who", { hasText: "Bob" }).waitFor();
  await choose(page, "Log out");
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  assert.equal(await page.evaluate(() => localStorage.getItem("auth_token")), null);
  noTroubles(page);
});

test("g21_my_profile_changes_name_and_password_but_not_the_login_name", async () => {
  const carl = await server.person(ada, { email: "carl@example.com", name: "Carl" });
  const page = await enter(browser, server, carl);
  await choose(page, "My Profile");
  assert.equal(await page.getByLabel("E-mail address").getAttribute("readonly"), "");
  await page.getByLabel("Display name").fill("Carla");
  await screenshot(page, "profile");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.locator(".who", { hasText: "Carla" }).waitFor();
  await choose(page, "My Profile");
  await page.getByLabel("Current password").fill("wrong");
  await page.getByLabel("New password", { exact: true }).fill("Better456");
  await page.getByLabel("Confirm new password").fill("Better456");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Current password is incorrect").waitFor();
  await page.getByLabel("Current password").fill(carl.password);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await told(page, "The profile is saved");
  assert.equal((await server.login("carl@example.com", "Better456")).user.display_name, "Carla");
  // The session that changed the password goes on.
  await page.reload();
  await page.locator(".who", { hasText: "Carla" }).waitFor();
  noTroubles(page);
});

test("g63_wrong_credentials_are_answered_with_the_known_words", async () => {
  const page = await openPage(browser, server.base);
  await logIn(page, { email: "bob@example.com", password: "Wrong1234" });
  await page.getByText("Incorrect email or password", { exact: true }).waitFor();
});

test("g64_a_disabled_account_is_told_so", async () => {
  const dora = await server.person(ada, { email: "dora@example.com", name: "Dora" });
  await server.call("PATCH", `/api/v1/auth/users/${dora.user.user_id}`, { token: ada.token, body: { is_active: false } });
  const page = await openPage(browser, server.base);
  await logIn(page, dora);
  await page.getByText("Account is disabled", { exact: true }).waitFor();
});

test("g65_a_session_that_ended_says_so_and_remember_me_makes_it_a_week", async () => {
  const eve = await server.person(ada, { email: "eve@example.com", name: "Eve" });
  const page = await openPage(browser, server.base);
  const hours = async () => page.evaluate(() => (JSON.parse(atob(localStorage.getItem("auth_token").split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).exp * 1000 - Date.now()) / 3_600_000);
  await logIn(page, eve);
  await page.locator("#app").waitFor();
  assert.ok(Math.abs(await hours() - 24) < 0.1);
  await choose(page, "Log out");
  await logIn(page, eve, { remember: true });
  await page.locator("#app").waitFor();
  assert.ok(Math.abs(await hours() - 7 * 24) < 0.1);
  // The server no longer honours the token.
  await server.call("PATCH", `/api/v1/auth/users/${eve.user.user_id}`, { token: ada.token, body: { password: "Changed789" } });
  await page.getByText("Session expired", { exact: true }).waitFor();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  await nowhere(page, "Session expired");
});

test("g72_two_devices_are_logged_in_at_once_and_see_the_same", async () => {
  const first = await openPage(browser, server.base);
  const second = await openPage(browser, server.base);
  for (const page of [first, second]) {
    await logIn(page, bob);
    await page.locator("#app").waitFor();
  }
  await first.getByRole("button", { name: "New board" }).click();
  await first.getByRole("textbox", { name: "Name" }).fill("From the first device");
  await first.getByRole("button", { name: "Create" }).click();
  await first.locator(".name", { hasText: "From the first device" }).waitFor();
  await second.reload();
  await second.locator(".name", { hasText: "From the first device" }).waitFor();
  noTroubles(first, second);
});
