// InvokeAI's own web client in the browser: fetched once from its package (13 MB, the client's built files only), never part of this project.
//
// INVOKE_TEST_CLIENT, if set, names a folder of the built client and nothing is fetched.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { openPage } from "./lib.mjs";

const VERSION = "6.14.2";
const INSIDE = "invokeai/frontend/web/dist";
const project = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

/** The folder of the built client. Throws where neither the folder nor a network is there. */
export async function clientFolder() {
  const given = process.env.INVOKE_TEST_CLIENT;
  if (given) return given;
  const kept = join(project, "target", `client-${VERSION}`);
  if (existsSync(join(kept, INSIDE, "index.html"))) return join(kept, INSIDE);
  const work = `${kept}.part`;
  await rm(work, { recursive: true, force: true });
  await mkdir(work, { recursive: true });
  const pip = ["-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:", "--python-version", "3.12"];
  execFileSync("python3", [...pip, `invokeai==${VERSION}`, "-d", work], { stdio: "inherit" });
  const wheel = join(work, `invokeai-${VERSION}-py3-none-any.whl`);
  const unpack = "import sys, zipfile\nz = zipfile.ZipFile(sys.argv[1])\nz.extractall(sys.argv[2], [n for n in z.namelist() if n.startswith(sys.argv[3] + '/')])";
  execFileSync("python3", ["-c", unpack, wheel, work, INSIDE], { stdio: "inherit" });
  await rm(wheel);
  await rm(kept, { recursive: true, force: true });
  await rename(work, kept);
  return join(kept, INSIDE);
}

/** Opens the client and logs in by its own form, as somebody at a computer of their own; the announcement in the corner is closed. */
export async function enter(browser, server, { email, password }) {
  const page = await openPage(browser, `${server.base}/login`, { width: 1500, height: 950 });
  await page.fill("input[type=email]", email);
  await page.fill("input[type=password]", password);
  await page.click("button[type=submit]");
  await page.waitForSelector('[aria-label="User Menu"]');
  await closeAnnouncement(page);
  return page;
}

/** Closes what the client announces on a first visit; it covers the buttons below it. */
export async function closeAnnouncement(page) {
  // Whenever it comes: the page is asked for it before each step. Dialogs have such a button too, and stay.
  const close = page.locator("section [aria-label=Close]:not(.chakra-modal__close-btn)").first();
  await page.addLocatorHandler(close, () => close.click());
}

/** Chooses an entry of the menu below the person's icon. */
export async function fromUserMenu(page, entry) {
  await page.click('[aria-label="User Menu"]');
  await page.locator("[role=menu]:visible").getByText(entry, { exact: true }).click();
}
