// The built-in page: boards, their visibility, and pictures on them.
import assert from "node:assert/strict";
import { test } from "node:test";
import { noTroubles, png, screenshot } from "./lib.mjs";
import { board, boardMenu, enter, house, makeBoard, nowhere, pictures, showBoard, told } from "./page.mjs";

const { browser, server, ada, bob, cleo } = await house("Bob", "Cleo");

const names = async menu => (await menu.getByRole("menuitem").allInnerTexts()).concat(await menu.getByRole("menuitemradio").allInnerTexts());
const pictureMenu = async (page, item) => {
  await page.locator(".cell").first().click({ button: "right" });
  await page.getByRole("menuitem", { name: item }).click();
};

test("g01_each_has_own_pictures_and_boards_unseen_by_the_others", async () => {
  await server.picture({ token: bob.token, board: await makeBoard(server, bob, "Bob's own") });
  await server.picture({ token: bob.token });
  const his = await enter(browser, server, bob);
  await board(his, "Bob's own").waitFor();
  await pictures(his, 1);
  const hers = await enter(browser, server, cleo);
  await pictures(hers, 0);
  await nowhere(hers, "Bob's own");
  noTroubles(his, hers);
});

test("g22_a_user_creates_renames_archives_and_deletes_a_board", async () => {
  const page = await enter(browser, server, bob);
  await page.getByRole("button", { name: "New board" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("First name");
  await page.getByRole("button", { name: "Create" }).click();
  await (await boardMenu(page, "First name")).getByRole("menuitem", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("Second name");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await (await boardMenu(page, "Second name")).getByRole("menuitem", { name: "Delete" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await board(page, "Second name").waitFor({ state: "detached" });
  noTroubles(page);
});

test("g28_others_shared_and_public_boards_are_viewed", async () => {
  for (const visibility of ["shared", "public"]) await server.picture({ token: ada.token, board: await makeBoard(server, ada, `Seen ${visibility}`, visibility) });
  const page = await enter(browser, server, bob);
  for (const visibility of ["shared", "public"]) {
    await showBoard(page, `Seen ${visibility}`);
    await pictures(page, 1);
    await page.waitForFunction(() => document.querySelector(".cell img")?.naturalWidth > 0);
  }
  noTroubles(page);
});

test("g31_others_private_boards_and_pictures_are_not_reached", async () => {
  const id = await makeBoard(server, ada, "Secret board");
  const picture = await server.picture({ token: ada.token, board: id });
  const page = await enter(browser, server, bob);
  await nowhere(page, "Secret board");
  const statuses = await page.evaluate(async ({ name, board: hidden }) => {
    const headers = { authorization: `Bearer ${localStorage.getItem("auth_token")}` };
    const asked = [`/api/v1/images/i/${name}/full`, `/api/v1/images/i/${name}`, `/api/v1/boards/${hidden}`];
    return await Promise.all(asked.map(path => fetch(path, { headers }).then(reply => reply.status)));
  }, { name: picture.image_name, board: id });
  assert.deepEqual(statuses, [403, 403, 403]);
});

test("g41_an_administrator_sees_and_manages_everybodys_boards", async () => {
  await server.picture({ token: bob.token, board: await makeBoard(server, bob, "Bob's secrets") });
  const page = await enter(browser, server, ada);
  await board(page, "Bob's secrets").getByText("of Bob").waitFor();
  await showBoard(page, "Bob's secrets");
  await pictures(page, 1);
  await (await boardMenu(page, "Bob's secrets")).getByRole("menuitem", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("Tidied up");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await board(page, "Tidied up").waitFor();
  noTroubles(page);
});

test("g44_many_boards_hold_images_and_assets", async () => {
  const id = await makeBoard(server, cleo, "Both kinds");
  for (let number = 0; number < 30; number++) await makeBoard(server, cleo, `Board ${number}`);
  await server.picture({ token: cleo.token, board: id });
  await server.picture({ token: cleo.token, board: id, category: "user" });
  await server.picture({ token: cleo.token, board: id, category: "mask" });
  const page = await enter(browser, server, cleo);
  await showBoard(page, "Both kinds");
  await pictures(page, 1);
  await page.getByRole("tab", { name: "Assets" }).click();
  await pictures(page, 2);
  assert.ok(await page.locator("li[data-board]").count() >= 31);
  noTroubles(page);
});

test("g45_a_new_board_is_private_and_seen_by_owner_and_administrators_only", async () => {
  const page = await enter(browser, server, bob);
  await page.getByRole("button", { name: "New board" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("Just made");
  await page.getByRole("button", { name: "Create" }).click();
  await board(page, "Just made").getByRole("img", { name: "Private" }).waitFor();
  const [hers, admins] = [await enter(browser, server, cleo), await enter(browser, server, ada)];
  await board(admins, "Just made").waitFor();
  await nowhere(hers, "Just made");
});

test("g46_a_shared_board_is_read_only_for_others", async () => {
  const id = await makeBoard(server, bob, "Shared by Bob", "shared");
  await server.picture({ token: bob.token, board: id });
  await server.picture({ token: cleo.token });
  const page = await enter(browser, server, cleo);
  const offered = await names(await boardMenu(page, "Shared by Bob"));
  assert.deepEqual(offered, ["Download all pictures"]);
  await page.getByRole("menu").getByText("Shared: read-only").waitFor();
  await page.keyboard.press("Escape");
  // It is not offered as a place for pictures either.
  await page.locator(".cell").first().click({ button: "right" });
  await page.getByRole("menuitem", { name: "Move to a board" }).click();
  assert.equal(await page.getByRole("option", { name: "Shared by Bob" }).count(), 0);
});

test("g47_others_put_pictures_onto_a_public_board_and_take_them_off", async () => {
  const id = await makeBoard(server, bob, "Open to all", "public");
  const dave = await server.person(ada, { email: "dave@example.com", name: "Dave" });
  const own = await server.picture({ token: dave.token, colour: [10, 200, 10] });
  const page = await enter(browser, server, dave);
  await pictures(page, 1);
  const on = async () => (await server.call("GET", `/api/v1/boards/${id}/image_names`, { token: bob.token })).length;
  await pictureMenu(page, "Move to a board");
  await page.getByLabel("Board", { exact: true }).selectOption({ label: "Open to all" });
  await page.getByRole("button", { name: "Move", exact: true }).click();
  await pictures(page, 0);
  assert.equal(await on(), 1);
  await showBoard(page, "Open to all");
  await pictures(page, 1);
  const offered = await names(await boardMenu(page, "Open to all"));
  assert.deepEqual(offered, ["Download all pictures"]);
  await page.keyboard.press("Escape");
  await pictureMenu(page, "Take off the board");
  await pictures(page, 0);
  assert.equal(await on(), 0);
  assert.ok(own.image_name);
  noTroubles(page);
});

test("g48_a_right_click_changes_the_visibility_of_a_board", async () => {
  const id = await makeBoard(server, bob, "Changing");
  const page = await enter(browser, server, bob);
  for (const [label, value] of [["Shared", "shared"], ["Public", "public"], ["Private", "private"]]) {
    await (await boardMenu(page, "Changing")).getByRole("menuitemradio", { name: label }).click();
    await board(page, "Changing").getByRole("img", { name: label }).waitFor();
    assert.equal((await server.call("GET", `/api/v1/boards/${id}`, { token: bob.token })).board_visibility, value);
  }
  const menu = await boardMenu(page, "Changing");
  assert.equal(await menu.getByRole("menuitemradio", { name: "Private" }).getAttribute("aria-checked"), "true");
  await screenshot(page, "board-menu");
  noTroubles(page);
});

test("g49_an_administrator_manages_boards_whatever_their_visibility", async () => {
  for (const visibility of ["private", "shared", "public"]) await makeBoard(server, cleo, `Cleo ${visibility}`, visibility);
  const page = await enter(browser, server, ada);
  for (const visibility of ["private", "shared", "public"]) {
    const menu = await boardMenu(page, `Cleo ${visibility}`);
    for (const item of ["Rename", "Archive", "Delete"]) await menu.getByRole("menuitem", { name: item }).waitFor();
    await page.keyboard.press("Escape");
  }
});

test("g67_archived_boards_are_hidden_until_show_archived", async () => {
  await makeBoard(server, bob, "Put away");
  const page = await enter(browser, server, bob);
  await (await boardMenu(page, "Put away")).getByRole("menuitem", { name: "Archive", exact: true }).click();
  await board(page, "Put away").waitFor({ state: "detached" });
  await page.getByLabel("Show Archived").check();
  await board(page, "Put away").waitFor();
  await (await boardMenu(page, "Put away")).getByRole("menuitem", { name: "Unarchive" }).click();
  await page.getByLabel("Show Archived").uncheck();
  await board(page, "Put away").waitFor();
  noTroubles(page);
});

test("g69_nobody_sees_anothers_pictures_unless_their_board_is_shared_or_public", async () => {
  const id = await makeBoard(server, ada, "Maybe");
  await server.picture({ token: ada.token, board: id });
  const page = await enter(browser, server, bob);
  await nowhere(page, "Maybe");
  const admins = await enter(browser, server, ada);
  await (await boardMenu(admins, "Maybe")).getByRole("menuitemradio", { name: "Public" }).click();
  await board(admins, "Maybe").getByRole("img", { name: "Public" }).waitFor();
  await page.reload();
  await showBoard(page, "Maybe");
  await pictures(page, 1);
  await (await boardMenu(admins, "Maybe")).getByRole("menuitemradio", { name: "Private" }).click();
  await board(admins, "Maybe").getByRole("img", { name: "Private" }).waitFor();
  await page.reload();
  await page.locator("#app").waitFor();
  await nowhere(page, "Maybe");
});

test("pictures_are_starred_found_uploaded_and_deleted", async () => {
  const erin = await server.person(ada, { email: "erin@example.com", name: "Erin" });
  for (const colour of [[255, 0, 0], [0, 255, 0], [0, 0, 255]]) await server.picture({ token: erin.token, colour });
  const page = await enter(browser, server, erin, "gallery");
  await pictures(page, 3);
  await page.locator(".cell").last().click();
  await page.keyboard.press(".");
  await page.getByRole("option", { name: /starred/ }).waitFor();
  await page.getByLabel("Files to upload").setInputFiles({ name: "new.png", mimeType: "image/png", buffer: png(40, 30, [9, 9, 9]) });
  await told(page, "uploaded");
  await pictures(page, 4);
  await page.locator(".caption", { hasText: "40 × 30" }).waitFor();
  await page.locator(".cell").first().click();
  await page.locator(".cell").last().click({ modifiers: ["Shift"] });
  await page.keyboard.press("Delete");
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await pictures(page, 0);
  noTroubles(page);
});

test("pictures_are_dragged_onto_a_board_and_into_the_form", async () => {
  const gus = await server.person(ada, { email: "gus@example.com", name: "Gus" });
  await makeBoard(server, gus, "Target");
  for (const colour of [[1, 2, 3], [200, 2, 3]]) await server.picture({ token: gus.token, colour });
  const page = await enter(browser, server, gus);
  await pictures(page, 2);
  await page.locator(".cell").first().dragTo(page.locator("summary", { hasText: "Image" }).first());
  await page.locator(".only-upscale .chosen").waitFor();
  await page.locator(".cell").first().dragTo(board(page, "Target").locator(".board"));
  await pictures(page, 1);
  await showBoard(page, "Target");
  await pictures(page, 1);
  await page.locator(".cell").first().dragTo(page.locator(".board", { hasText: "Uncategorized" }));
  await pictures(page, 0);
  noTroubles(page);
});

test("a_large_gallery_shows_only_what_is_in_sight", async () => {
  const fay = await server.person(ada, { email: "fay@example.com", name: "Fay" });
  for (let start = 0; start < 300; start += 20) await Promise.all(Array.from({ length: 20 }, (_, index) => server.picture({ token: fay.token, width: 16, height: 16, colour: [index, start % 256, 90] })));
  const page = await enter(browser, server, fay, "gallery");
  await pictures(page, 300);
  assert.ok(await page.locator(".cell").count() < 120);
  await page.locator(".grid").focus();
  await page.keyboard.press("End");
  await page.getByRole("option", { name: "Picture 300 of 300" }).waitFor();
  await page.keyboard.press("Home");
  await page.getByRole("option", { name: "Picture 1 of 300" }).waitFor();
  await screenshot(page, "large-gallery");
  noTroubles(page);
});
