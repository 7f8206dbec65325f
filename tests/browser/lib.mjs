// What the tests of this folder share: servers on fresh roots, the browser of the system, requests, screenshots.
//
// tests/browser/run.sh sets INVOKE_TEST_SERVER (the program), INVOKE_TEST_CHROMIUM (the browser) and INVOKE_TEST_SHOTS (where screenshots go).
// INVOKE_TEST_WEB_DIR, if set, has every server serve the page of that folder in place of the one that is built in: no build is needed to work on the page.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile, readFile, open } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateSync } from "node:zlib";
import { chromium } from "playwright-core";

const program = process.env.INVOKE_TEST_SERVER;
const shots = process.env.INVOKE_TEST_SHOTS ?? "target/browser";

/** Waits until `condition` gives something else than undefined, null or false, and returns that. */
export async function until(what, condition, limitMs = 60_000) {
  const end = Date.now() + limitMs;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== null && found !== false) return found;
    if (Date.now() > end) throw new Error(`${what}: not within ${limitMs} ms`);
    await new Promise(done => setTimeout(done, 50));
  }
}

/** A port that nobody listens on. */
async function freePort() {
  return await new Promise((done, failed) => {
    const probe = createServer();
    probe.once("error", failed);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });
}

/** One server on its own root, which is removed at the end. */
class Server {
  /** Root directory, address without a slash at the end. */
  root;
  base;
  #child;
  #webDir;

  constructor(root, webDir) {
    this.root = root;
    this.#webDir = webDir;
  }

  /** Writes invokeai.yaml. Takes effect at the next start. */
  async configure(settings) {
    const lines = Object.entries({ schema_version: "4.0.3", ...settings }).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
    await writeFile(join(this.root, "invokeai.yaml"), lines.join("\n") + "\n");
  }

  /** Starts the program and waits for its first answer. */
  async start() {
    const port = this.base ? new URL(this.base).port : await freePort();
    this.base = `http://127.0.0.1:${port}`;
    const log = await open(join(this.root, "server.log"), "a");
    const args = ["--root", this.root, "--port", String(port)];
    if (this.#webDir) args.push("--web-dir", this.#webDir);
    const child = spawn(program, args, { stdio: ["ignore", log.fd, log.fd] });
    this.#child = child;
    await log.close();
    let ended = null;
    child.once("error", error => { ended = error.message; });
    child.once("exit", code => { ended ??= `it ended with ${code}`; });
    await until("the server's first answer", async () => {
      if (ended) throw new Error(`${program}: ${ended}\n${await readFile(join(this.root, "server.log"), "utf8")}`);
      return await fetch(`${this.base}/api/v1/app/version`).then(reply => reply.ok, () => false);
    });
  }

  /** Ends the program; the root stays. */
  async halt() {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null) return;
    const gone = new Promise(done => child.once("exit", done));
    child.kill("SIGTERM");
    const hard = setTimeout(() => child.kill("SIGKILL"), 15_000);
    await gone;
    clearTimeout(hard);
  }

  /** Ends the program and starts it again with other settings. */
  async restart(settings) {
    await this.halt();
    await this.configure(settings);
    await this.start();
  }

  /** Ends the program and removes the root. */
  async stop() {
    await this.halt();
    await rm(this.root, { recursive: true, force: true });
  }

  /** One request; the answer's JSON. An answer that is no success is an error with the status and the body. */
  async call(method, path, { token, body } = {}) {
    const headers = {};
    if (token) headers.authorization = `Bearer ${token}`;
    if (body !== undefined) headers["content-type"] = "application/json";
    const reply = await fetch(this.base + path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await reply.text();
    if (!reply.ok) throw Object.assign(new Error(`${method} ${path}: ${reply.status} ${text}`), { status: reply.status });
    return text === "" ? null : JSON.parse(text);
  }

  /** Makes the first administrator and returns what `login` returns. */
  async setup({ email = "ada@example.com", name = "Ada", password = "Secret123" } = {}) {
    await this.call("POST", "/api/v1/auth/setup", { body: { email, display_name: name, password } });
    return await this.login(email, password);
  }

  /** Makes an account and returns what `login` returns. */
  async person(admin, { email, name, password = "Secret123", is_admin = false }) {
    await this.call("POST", "/api/v1/auth/users", { token: admin.token, body: { email, display_name: name, password, is_admin } });
    return await this.login(email, password);
  }

  /** Logs in: `{token, email, password, user}`. */
  async login(email, password) {
    const { token, user } = await this.call("POST", "/api/v1/auth/login", { body: { email, password } });
    return { token, email, password, user };
  }

  /** Puts a picture of one colour into the gallery; its record. */
  async picture({ token, board, colour = [200, 60, 60], width = 64, height = 64, category = "general" } = {}) {
    const form = new FormData();
    form.append("file", new Blob([png(width, height, colour)], { type: "image/png" }), "picture.png");
    const query = new URLSearchParams({ image_category: category, is_intermediate: "false", ...(board ? { board_id: board } : {}) });
    const reply = await fetch(`${this.base}/api/v1/images/upload?${query}`, { method: "POST", headers: token ? { authorization: `Bearer ${token}` } : {}, body: form });
    if (!reply.ok) throw new Error(`upload: ${reply.status} ${await reply.text()}`);
    return await reply.json();
  }
}

/**
 * Starts a server on a fresh root. `settings` go into its invokeai.yaml; `webDir` is a folder of a built web client.
 * Every server needs `stop()` at the end: `after(() => server.stop())`.
 */
export async function startServer({ settings = { multiuser: true }, webDir = process.env.INVOKE_TEST_WEB_DIR } = {}) {
  const server = new Server(await mkdtemp(join(tmpdir(), "invoke-browser-")), webDir);
  await server.configure(settings);
  await server.start();
  return server;
}

/** Starts the system's browser without a window. Ends with `close()`. */
export async function launchBrowser() {
  return await chromium.launch({
    executablePath: process.env.INVOKE_TEST_CHROMIUM,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}

/**
 * A page of its own browser context, as if somebody sat at another computer. Errors of scripts and refusals of the content policy are collected
 * in `page.troubles`, which `noTroubles` looks at.
 */
export async function openPage(browser, address, { width = 1200, height = 800, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, ...options });
  const page = await context.newPage();
  // Long enough for a machine that is busy with a build besides.
  page.setDefaultTimeout(60_000);
  page.troubles = [];
  page.on("pageerror", error => page.troubles.push(String(error)));
  page.on("console", message => { if (message.type() === "error" && !/status of (4|5)\d\d/.test(message.text())) page.troubles.push(message.text()); });
  await page.goto(address);
  return page;
}

/** Fails if a page had an error of a script, or the browser refused something that it asked for. */
export function noTroubles(...pages) {
  const troubles = pages.flatMap(page => page.troubles);
  if (troubles.length) throw new Error(`errors on the page:\n${troubles.join("\n")}`);
}

/** Keeps a picture of a page in target/browser/. */
export async function screenshot(page, name) {
  await mkdir(shots, { recursive: true });
  await page.screenshot({ path: join(shots, `${name}.png`) });
}

/** A PNG file of one colour, 8-bit RGB. */
export function png(width, height, [red, green, blue]) {
  const rows = Buffer.alloc(height * (1 + width * 3));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows.set([red, green, blue], y * (1 + width * 3) + 1 + x * 3);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(name, data) {
  const named = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const framed = Buffer.alloc(named.length + 8);
  framed.writeUInt32BE(data.length, 0);
  named.copy(framed, 4);
  framed.writeUInt32BE(crc32(named), named.length + 4);
  return framed;
}

function crc32(bytes) {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
  }
  return (sum ^ 0xffffffff) >>> 0;
}
