// The built-in page: the first start and logging in.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launchBrowser, noTroubles, openPage, startServer } from "./lib.mjs";

let browser;
before(async () => { browser = await launchBrowser(); });
after(() => browser?.close());

test("g07_setup_is_shown_once", async t => {
  const server = await startServer();
  t.after(() => server.stop());
  const page = await openPage(browser, server.base);
  await page.getByRole("heading", { name: "administrator" }).waitFor();
  await server.setup();
  await page.reload();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  assert.equal(await page.getByRole("heading", { name: "administrator" }).count(), 0);
  noTroubles(page);
});
