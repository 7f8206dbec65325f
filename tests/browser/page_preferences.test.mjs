// The built-in page: what a person likes, and the switch between one person and many.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noTroubles, openPage, screenshot, startServer, until } from "./lib.mjs";
import { board, enter, house, makeBoard, pictures, showBoard } from "./page.mjs";

const { browser, server, ada, bob, cleo } = await house("Bob", "Cleo");

const open = page => page.getByRole("button", { name: "Preferences" }).click();
const theme = page => page.evaluate(() => document.documentElement.dataset.theme);
const kept = async (person, test2) => await until("the preferences in the account", async () => {
  const text = await server.call("GET", "/api/v1/client_state/default/get_by_key?key=page_preferences", { token: person.token });
  return text !== null && test2(JSON.parse(text));
});

test("g26_theme_and_hotkeys_are_customised", async () => {
  const page = await enter(browser, server, bob);
  await open(page);
  await page.getByLabel("Theme").selectOption("dark");
  assert.equal(await theme(page), "dark");
  await page.getByText("Hotkeys", { exact: true }).click();
  await page.getByLabel("Keys for: Queue tab", { exact: true }).click();
  await page.keyboard.press("Shift+Q");
  assert.equal(await page.getByLabel("Keys for: Queue tab", { exact: true }).inputValue(), "Shift+Q");
  await screenshot(page, "preferences");
  await page.getByRole("button", { name: "Done" }).click();
  await page.keyboard.press("Shift+Q");
  await page.locator('body[data-view="queue"]').waitFor();
  await page.keyboard.press("1");
  await page.locator('body[data-view="generate"]').waitFor();
  await screenshot(page, "dark");
  noTroubles(page);
});

test("g62_preferences_are_kept_in_the_account_and_touch_nobody_else", async () => {
  const page = await enter(browser, server, cleo);
  await open(page);
  await page.getByLabel("Theme").selectOption("dark");
  await page.getByText("Generation defaults", { exact: true }).click();
  await page.getByLabel("Default steps").fill("33");
  await page.getByLabel("Default steps").blur();
  await page.getByText("Canvas", { exact: true }).last().click();
  await page.getByLabel("Show the grid").check();
  await page.getByText("Hotkeys", { exact: true }).click();
  await page.getByLabel("Keys for: Gallery tab", { exact: true }).click();
  await page.keyboard.press("Shift+G");
  await page.getByRole("button", { name: "Done" }).click();
  await kept(cleo, preferences => preferences.theme === "dark" && preferences.defaults.steps === 33 && preferences.canvas.grid && preferences.hotkeys["tab-gallery"] === "Shift+G");
  // Another browser has them; another account has not.
  const other = await enter(browser, server, cleo);
  assert.equal(await theme(other), "dark");
  await other.getByRole("button", { name: "Reset to defaults" }).click();
  assert.equal(await other.getByLabel("Steps").inputValue(), "33");
  await other.keyboard.press("Shift+G");
  await other.locator('body[data-view="gallery"]').waitFor();
  const admins = await enter(browser, server, ada);
  assert.equal(await theme(admins), "light");
  noTroubles(page, other, admins);
});

test("g62_what_was_typed_comes_back", async () => {
  const page = await enter(browser, server, cleo);
  await page.getByLabel("Prompt", { exact: true }).fill("half a thought");
  await until("the values in the account", async () => (await server.call("GET", "/api/v1/client_state/default/get_by_key?key=page_generation", { token: cleo.token }))?.includes("half a thought"));
  const other = await enter(browser, server, cleo);
  assert.equal(await other.getByLabel("Prompt", { exact: true }).inputValue(), "half a thought");
});

test("g50_one_person_alone_sees_everything_in_one_place", async t => {
  const own = await startServer();
  t.after(() => own.stop());
  const admin = await own.setup();
  const first = await own.person(admin, { email: "first@example.com", name: "First" });
  const second = await own.person(admin, { email: "second@example.com", name: "Second" });
  for (const person of [first, second]) {
    await own.picture({ token: person.token });
    await own.picture({ token: person.token, board: await makeBoard(own, person, `Board of ${person.user.display_name}`) });
  }
  await own.restart({ multiuser: false });
  const page = await openPage(browser, own.base);
  await pictures(page, 2);
  for (const name of ["First", "Second"]) {
    await showBoard(page, `Board of ${name}`);
    await pictures(page, 1);
  }
  assert.equal(await page.locator(".visibility").count(), 0);
  noTroubles(page);
});

test("g51_back_in_multi_user_mode_everything_is_with_its_owner", async t => {
  const own = await startServer();
  t.after(() => own.stop());
  const admin = await own.setup();
  const first = await own.person(admin, { email: "first@example.com", name: "First" });
  const second = await own.person(admin, { email: "second@example.com", name: "Second" });
  await own.picture({ token: first.token, board: await makeBoard(own, first, "Board of First") });
  await own.picture({ token: second.token });
  await own.restart({ multiuser: false });
  await own.restart({ multiuser: true });
  const his = await enter(browser, own, first);
  await board(his, "Board of First").waitFor();
  await pictures(his, 0);
  const hers = await enter(browser, own, second);
  await pictures(hers, 1);
  assert.equal(await board(hers, "Board of First").count(), 0);
});

test("the_page_works_at_the_width_of_a_phone", async () => {
  const page = await enter(browser, server, bob, "generate", { width: 390, height: 800, isMobile: true, hasTouch: true });
  for (const view of ["Generate", "Canvas", "Upscale", "Workflows", "Gallery", "Models", "Queue"]) {
    await page.getByRole("navigation").getByRole("link", { name: view }).click();
    await page.locator(`body[data-view="${view.toLowerCase()}"]`).waitFor();
    await screenshot(page, `phone-${view.toLowerCase()}`);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${view} is wider than the phone`);
  }
  noTroubles(page);
});

test("every_control_has_a_name", async () => {
  const page = await enter(browser, server, ada);
  await server.picture({ token: ada.token });
  for (const view of ["generate", "canvas", "upscale", "workflows", "gallery", "models", "queue", "users", "system"]) {
    await page.goto(`${server.base}/#/${view}`);
    await page.locator(`body[data-view="${view}"]`).waitFor();
    const nameless = await page.evaluate(() => [...document.querySelectorAll("button, a, input, select, textarea, img, [role]")].filter(element => {
      if (!element.checkVisibility() || element.getAttribute("aria-hidden") === "true") return false;
      if (element.localName === "img") return !element.hasAttribute("alt");
      const named = element.getAttribute("aria-label") || element.getAttribute("aria-labelledby") || element.labels?.length || element.textContent.trim() || element.title;
      return !named && !["status", "alert", "presentation"].includes(element.getAttribute("role"));
    }).map(element => element.outerHTML.slice(0, 120)));
    assert.deepEqual(nameless, [], view);
  }
});

test("texts_can_be_told_from_their_ground_in_both_themes", async () => {
  const page = await enter(browser, server, bob);
  for (const wanted of ["dark", "light"]) {
    await page.evaluate(name => { document.documentElement.dataset.theme = name; }, wanted);
    const ratios = await page.evaluate(() => {
      const style = getComputedStyle(document.documentElement);
      const light = name => {
        const [red, green, blue] = style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi).map(part => parseInt(part, 16) / 255).map(part => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const ratio = (one, other) => { const [low, high] = [light(one), light(other)].sort((a, b) => a - b); return (high + 0.05) / (low + 0.05); };
      const grounds = ["--ground", "--surface", "--raised"];
      const pairs = grounds.flatMap(ground => ["--text", "--dim", "--bad", "--good", "--warn"].map(text => [text, ground])).concat([["--accent-text", "--accent"], ["--accent", "--surface"], ["--accent", "--soft"], ["--bad", "--bad-soft"]]);
      return pairs.map(([text, ground]) => [`${text} on ${ground}`, ratio(text, ground)]);
    });
    for (const [pair, ratio] of ratios) assert.ok(ratio >= 4.5, `${wanted}: ${pair} has a contrast of ${ratio.toFixed(2)}`);
  }
});

test("one_person_alone_needs_no_login_and_makes_a_picture", async t => {
  const own = await startServer({ settings: {} });
  t.after(() => own.stop());
  const page = await openPage(browser, own.base);
  await page.getByLabel("Prompt", { exact: true }).fill("a red circle on a blue background");
  await page.getByLabel("Steps").fill("4");
  await page.locator(".offline:empty").waitFor({ state: "attached" });
  await page.keyboard.press("Control+Enter");
  await pictures(page, 1);
  await page.locator('.cell[aria-selected="true"]').waitFor();
  await page.getByRole("button", { name: "Account" }).click();
  await page.getByRole("menuitem", { name: "System" }).waitFor();
  assert.equal(await page.getByRole("menuitem", { name: "Log out" }).count(), 0);
  noTroubles(page);
});
