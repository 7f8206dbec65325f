// The built-in page: models.
import assert from "node:assert/strict";
import { mkdir, cp } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { noTroubles, screenshot } from "./lib.mjs";
import { enter, house } from "./page.mjs";

const { browser, server, ada, bob } = await house("Bob");

const LORA = new URL("../contract/pictures/addons/tiny-lora.safetensors", import.meta.url);

test("g27_a_regular_user_views_the_models", async () => {
  const page = await enter(browser, server, bob, "models");
  await page.getByRole("button", { name: "invoke-tiny" }).click();
  await page.getByRole("dialog").getByText("diffusers", { exact: true }).waitFor();
  assert.equal(await page.getByRole("dialog").getByRole("button", { name: "Edit" }).count(), 0);
  noTroubles(page);
});

test("g30_a_regular_user_cannot_add_change_or_delete_models", async () => {
  const page = await enter(browser, server, bob, "models");
  await page.getByRole("button", { name: "invoke-tiny" }).waitFor();
  for (const name of [/^Edit/, /^Delete/, /^Install/]) assert.equal(await page.getByRole("button", { name }).count(), 0);
  const statuses = await page.evaluate(async () => {
    const headers = { authorization: `Bearer ${localStorage.getItem("auth_token")}`, "content-type": "application/json" };
    const { models: [{ key }] } = await (await fetch("/api/v2/models/", { headers })).json();
    const asked = [["POST", "/api/v2/models/install?source=/x", "{}"], ["PATCH", `/api/v2/models/i/${key}`, "{}"], ["DELETE", `/api/v2/models/i/${key}`]];
    return await Promise.all(asked.map(([method, path, body]) => fetch(path, { method, headers, body }).then(reply => reply.status)));
  });
  assert.deepEqual(statuses, [403, 403, 403]);
});

test("g38_an_administrator_adds_changes_and_deletes_a_model", async () => {
  const folder = join(server.root, "more-models");
  await mkdir(folder);
  await cp(LORA, join(folder, "tiny-lora.safetensors"));
  const page = await enter(browser, server, ada, "models");
  await page.getByRole("tab", { name: "Add Models" }).click();
  await page.getByLabel("Folder on the server").fill(folder);
  await page.getByRole("button", { name: "Scan" }).click();
  await page.getByRole("button", { name: /^Install .*tiny-lora/ }).click();
  await page.locator('.jobs li[data-status="completed"]').waitFor();
  await screenshot(page, "add-models");
  await page.getByRole("tab", { name: "Installed" }).click();
  await page.getByRole("button", { name: "Edit tiny-lora" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("Tiny style");
  await page.getByLabel("Default weight").fill("0.5");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("button", { name: "Tiny style", exact: true }).waitFor();
  await screenshot(page, "models");
  const { models } = await server.call("GET", "/api/v2/models/?model_type=lora", { token: ada.token });
  assert.deepEqual([models[0].name, models[0].default_settings.weight], ["Tiny style", 0.5]);
  await page.getByRole("button", { name: "Delete Tiny style" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await page.getByRole("button", { name: "Tiny style", exact: true }).waitFor({ state: "detached" });
  noTroubles(page);
});

test("a_source_that_is_none_is_told", async () => {
  const page = await enter(browser, server, ada, "models");
  await page.getByRole("tab", { name: "Add Models" }).click();
  await page.getByLabel("Path, URL or repository").fill("no such thing");
  await page.getByRole("button", { name: "Install", exact: true }).click();
  await page.locator(".toast.error").waitFor();
});

test("g73_a_regular_user_sees_the_models_tab_without_add_models", async () => {
  const page = await enter(browser, server, bob, "models");
  await page.getByRole("button", { name: "invoke-tiny" }).waitFor();
  assert.equal(await page.getByRole("tab", { name: "Add Models" }).count(), 0);
  await page.getByText("Admin privileges required").waitFor();
  const admins = await enter(browser, server, ada, "models");
  await admins.getByRole("tab", { name: "Add Models" }).waitFor();
});
