// The built-in page: making pictures with every tool, and following them.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { noTroubles, screenshot, until } from "./lib.mjs";
import { clearQueue, enter, go, house, idle, item, makeBoard, pictures, showBoard, told } from "./page.mjs";

const { browser, server, ada, bob } = await house("Bob");

async function newest(person) {
  const { item_ids: [id] } = await server.call("GET", "/api/v1/queue/default/item_ids?order_dir=DESC", { token: person.token });
  return await server.call("GET", `/api/v1/queue/default/i/${id}`, { token: person.token });
}

const nodesOf = (session, type) => Object.values(session.graph.nodes).filter(node => node.type === type);

async function someone(name) {
  return await server.person(ada, { email: `${name.toLowerCase()}@example.com`, name });
}

async function fill(page, { prompt = "a red circle on a blue background", steps = 4 } = {}) {
  await page.getByLabel("Prompt", { exact: true }).fill(prompt);
  await page.getByLabel("Steps").fill(String(steps));
}

/** Presses Invoke and waits until the server has taken it. */
async function invoke(page) {
  const taken = page.waitForResponse(reply => reply.url().endsWith("/enqueue_batch"));
  await page.getByRole("button", { name: "Invoke", exact: true }).click();
  assert.equal((await taken).status(), 200);
}

test("g20_a_regular_user_generates_with_all_the_settings", async () => {
  const page = await enter(browser, server, bob);
  await fill(page, { prompt: "a house with a red roof" });
  await page.getByLabel("Negative prompt").fill("a boat");
  await page.getByLabel("Guidance", { exact: true }).fill("6.5");
  await page.getByLabel("Scheduler").selectOption("dpmpp_2m");
  await page.getByLabel("Random").uncheck();
  await page.getByLabel("Seed").fill("42");
  await page.getByLabel("How many pictures").fill("2");
  await page.getByLabel("How many pictures").blur();
  assert.equal(await page.getByLabel("Width", { exact: true }).inputValue(), "256", "the model's own size");
  await invoke(page);
  await told(page, "2 items added");
  await pictures(page, 2);
  const { session } = await newest(bob);
  const [denoise] = nodesOf(session, "denoise_latents");
  assert.deepEqual([denoise.steps, denoise.cfg_scale, denoise.scheduler], [4, 6.5, "dpmpp_2m"]);
  assert.deepEqual(nodesOf(session, "string").map(node => node.value).sort(), ["a boat", "a house with a red roof"]);
  await screenshot(page, "generate");
  // The settings of the picture can be taken again.
  await page.getByLabel("Prompt", { exact: true }).fill("something else");
  await page.locator(".cell").last().click({ button: "right" });
  await page.getByRole("menuitem", { name: "Use these settings" }).click();
  await page.waitForFunction(() => document.querySelector("#prompt").value === "a house with a red roof");
  assert.equal(await page.getByLabel("Seed").inputValue(), "42");
  noTroubles(page);
});

/** Installs a model of this repository, in place; its record. */
async function install(path) {
  const source = fileURLToPath(new URL(path, import.meta.url)).replace(/\/$/, "");
  const { id } = await server.call("POST", `/api/v2/models/install?inplace=true&source=${encodeURIComponent(source)}`, { token: ada.token, body: {} });
  const job = await until(path, async () => {
    const now = await server.call("GET", `/api/v2/models/install/${id}`, { token: ada.token });
    return ["completed", "error"].includes(now.status) && now;
  });
  assert.equal(job.status, "completed", job.error);
  return job.config_out;
}

test("a_chosen_model_brings_its_size_and_settings", async () => {
  const second = await install("../models/invoke-tiny/");
  await server.call("PATCH", `/api/v2/models/i/${second.key}`, { token: ada.token, body: { name: "second", default_settings: { width: 128, height: 192, steps: 7 } } });
  const user = await someone("Chooser");
  const page = await enter(browser, server, user);
  await page.getByLabel("Guidance", { exact: true }).fill("9");
  await page.getByLabel("Model", { exact: true }).selectOption(second.key);
  const value = async name => page.getByLabel(name, { exact: true }).inputValue();
  assert.deepEqual([await value("Width"), await value("Height"), await value("Steps"), await value("Guidance")], ["128", "192", "7", "9"]);
  await server.call("DELETE", `/api/v2/models/i/${second.key}`, { token: ada.token });
});

test("g20_loras_are_used", async () => {
  const lora = await install("../contract/pictures/addons/tiny-lora.safetensors");
  const user = await someone("Lora");
  const page = await enter(browser, server, user);
  await fill(page);
  await page.getByText("LoRA", { exact: true }).click();
  await page.getByLabel("Add a LoRA").selectOption(lora.key);
  await page.getByLabel(`Weight of ${lora.name}`).fill("0.4");
  await page.getByLabel(`Weight of ${lora.name}`).blur();
  await invoke(page);
  await pictures(page, 1);
  const { session, status, error_message: problem } = await newest(user);
  assert.equal(status, "completed", problem);
  assert.equal(nodesOf(session, "lora_selector")[0].weight, 0.4);
  noTroubles(page);
});

test("g20_a_picture_guides_the_next_through_controlnet", async () => {
  const control = await install("../contract/pictures/addons/tiny-control");
  const user = await someone("Guided");
  const source = await server.picture({ token: user.token, width: 256, height: 256 });
  const page = await enter(browser, server, user);
  await page.locator(".cell").first().click();
  await fill(page);
  await page.getByText("Guidance by pictures", { exact: true }).click();
  await page.getByLabel("Add a guide").selectOption(control.key);
  await page.getByRole("group", { name: "Picture" }).getByRole("button").click();
  await page.getByLabel("Prepared as").selectOption("canny_edge_detection");
  await page.getByLabel("Weight", { exact: true }).fill("0.7");
  await screenshot(page, "guide");
  await invoke(page);
  await pictures(page, 2);
  const { session, status, error_message: problem } = await newest(user);
  assert.equal(status, "completed", problem);
  assert.equal(nodesOf(session, "controlnet")[0].control_weight, 0.7);
  assert.equal(nodesOf(session, "canny_edge_detection")[0].image.image_name, source.image_name);
  noTroubles(page);
});

test("g23_linear_from_text_and_from_a_picture", async () => {
  const user = await someone("Linear");
  const page = await enter(browser, server, user);
  await fill(page);
  await invoke(page);
  await pictures(page, 1);
  await page.locator(".cell").first().click({ button: "right" });
  await page.getByRole("menuitem", { name: "Use for image to image" }).click();
  await page.getByLabel("Strength").filter({ visible: true }).fill("0.5");
  await invoke(page);
  await pictures(page, 2);
  const { session, status, origin } = await newest(user);
  assert.deepEqual([status, origin], ["completed", "generate"]);
  assert.equal(nodesOf(session, "i2l").length, 1);
  assert.equal(nodesOf(session, "denoise_latents")[0].denoising_start, 0.5);
  noTroubles(page);
});

test("g23_canvas_changes_the_painted_area_only", async () => {
  const user = await someone("Canvas");
  await server.picture({ token: user.token, width: 256, height: 256, colour: [250, 250, 250] });
  const page = await enter(browser, server, user);
  await page.locator(".cell").first().click();
  await go(page, "canvas");
  await fill(page);
  await page.getByRole("button", { name: "Take the selected picture" }).click();
  await page.locator(".sheet").waitFor();
  const box = await page.locator(".sheet").boundingBox();
  await page.getByLabel("Size of the brush").fill("60");
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 10, box.y + box.height / 2, { steps: 3 });
  await page.mouse.up();
  await screenshot(page, "canvas");
  await invoke(page);
  await idle(server, ada);
  const made = await newest(user);
  assert.equal(made.status, "completed", made.error_message);
  assert.equal(made.origin, "canvas");
  await pictures(page, 2);
  // Far from the brush nothing changed; under it something did.
  const name = Object.values(made.session.results).map(result => result.image?.image_name).filter(Boolean).at(-1);
  const [far, near] = await page.evaluate(async address => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return [[4, 4], [128, 128]].map(([x, y]) => [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3));
  }, `/api/v1/images/i/${name}/full`);
  assert.deepEqual(far, [250, 250, 250]);
  assert.ok(near.some(value => Math.abs(value - 250) > 20), `under the brush it is ${near}`);
  noTroubles(page);
});

test("g23_upscale_makes_a_larger_picture", async () => {
  const user = await someone("Upscale");
  await server.picture({ token: user.token, width: 128, height: 96, colour: [30, 90, 200] });
  const page = await enter(browser, server, user);
  await page.locator(".cell").first().click({ button: "right" });
  await page.getByRole("menuitem", { name: "Upscale" }).click();
  await page.locator('body[data-view="upscale"]').waitFor();
  await fill(page);
  for (const creativity of ["0", "0.3"]) {
    await page.getByLabel("Creativity").fill(creativity);
    await invoke(page);
    await idle(server, ada);
    const made = await newest(user);
    assert.equal(made.status, "completed", made.error_message);
    const result = Object.values(made.session.results).filter(one => one.image).at(-1);
    assert.deepEqual([result.width, result.height], [256, 192]);
  }
  await pictures(page, 3);
  await screenshot(page, "upscale");
  noTroubles(page);
});

test("g56_current_and_finished_generations_are_seen", async () => {
  const page = await enter(browser, server, bob);
  await fill(page);
  await invoke(page);
  await idle(server, ada);
  await fill(page, { steps: 900 });
  await invoke(page);
  await go(page, "queue");
  await page.locator('tr.own[data-status="in_progress"]').waitFor();
  await page.getByRole("button", { name: /^Cancel item/ }).first().click();
  await page.locator('tr.own[data-status="canceled"]').first().waitFor();
  await page.locator('tr.own[data-status="completed"]').first().waitFor();
  await clearQueue(server, ada);
});

test("g59_progress_and_previews_are_followed_live", async () => {
  const page = await enter(browser, server, bob);
  await fill(page, { steps: 900 });
  await invoke(page);
  await page.locator(".top .progress .doing", { hasText: "Denoising" }).waitFor();
  await page.locator(".viewer .picture.preview").waitFor();
  const part = () => page.locator(".top progress").evaluate(bar => bar.value);
  const first = await until("some progress", async () => (await part()) || null);
  await until("more progress", async () => (await part()) > first || null);
  assert.equal(await page.locator(".viewer .picture").evaluate(image => image.width), 256);
  await screenshot(page, "progress");
  await page.getByRole("button", { name: "Cancel the running item" }).click();
  await page.locator(".top .progress").waitFor({ state: "hidden" });
  noTroubles(page);
});

test("a_prompt_with_variants_makes_one_picture_of_each", async () => {
  const user = await someone("Variants");
  const page = await enter(browser, server, user);
  await fill(page, { prompt: "a {red|green} circle on a blue background" });
  await invoke(page);
  await told(page, "2 items added");
  await pictures(page, 2);
  noTroubles(page);
});

test("g20_prompt_templates_are_made_shared_and_used", async () => {
  const user = await someone("Templater");
  const page = await enter(browser, server, user);
  await page.getByRole("button", { name: "Prompt templates" }).click();
  await page.getByRole("button", { name: "New template" }).click();
  await page.getByRole("textbox", { name: "Name" }).fill("House style");
  await page.getByLabel("Template of the prompt").fill("{prompt} on a green background");
  await page.getByLabel("Shared with everybody").check();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("button", { name: "Edit House style" }).waitFor();
  await page.getByRole("button", { name: "Done" }).click();
  await page.getByLabel("Prompt template", { exact: true }).selectOption({ label: "House style" });
  await fill(page, { prompt: "a red circle" });
  await invoke(page);
  await pictures(page, 1);
  assert.ok(nodesOf((await newest(user)).session, "string").some(node => node.value === "a red circle on a green background"));
  const other = await enter(browser, server, bob);
  assert.equal(await other.getByLabel("Prompt template", { exact: true }).getByRole("option", { name: "House style" }).count(), 1);
  await other.getByRole("button", { name: "Prompt templates" }).click();
  await other.getByText("House style").last().waitFor();
  assert.equal(await other.getByRole("button", { name: "Edit House style" }).count(), 0);
  noTroubles(page, other);
});

test("results_go_to_the_chosen_board", async () => {
  const user = await someone("Boarder");
  await makeBoard(server, user, "Results");
  const page = await enter(browser, server, user);
  await page.getByLabel("Board for results").selectOption({ label: "Results" });
  await fill(page);
  await invoke(page);
  await idle(server, ada);
  await pictures(page, 0);
  await showBoard(page, "Results");
  await pictures(page, 1);
  noTroubles(page);
});

test("a_failure_is_told", async () => {
  const page = await enter(browser, server, bob);
  const nodes = { load: { id: "load", type: "img_resize", image: { image_name: "00000000-0000-0000-0000-000000000000.png" } } };
  const batch = { graph: { id: "g", nodes, edges: [] }, runs: 1 };
  const { item_ids: [id] } = await server.call("POST", "/api/v1/queue/default/enqueue_batch", { token: bob.token, body: { batch } });
  await told(page, "Failed");
  await go(page, "queue");
  await item(page, id).locator(".status.failed").waitFor();
});

test("the_page_goes_on_after_the_server_was_restarted", async () => {
  const user = await someone("Patient");
  const page = await enter(browser, server, user);
  await fill(page);
  await server.halt();
  await page.getByText("Connecting …").waitFor();
  await server.start();
  await page.locator(".offline:empty").waitFor({ state: "attached" });
  await invoke(page);
  await pictures(page, 1);
});
