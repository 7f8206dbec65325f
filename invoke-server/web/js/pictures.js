// What can be done with pictures: records, actions, the menu.
import { call, pictureUrl, query, save } from "./api.js";
import { emit, recall } from "./app.js";
import { boards, mayAddTo } from "./boards.js";
import { confirm, openDialog } from "./dialogs.js";
import { attempt, field, plural, select, tell } from "./dom.js";
import { loadToCanvas } from "./canvas.js";
import { useSettings } from "./form.js";
import { change } from "./generation.js";
import { go } from "./shell.js";
import { factsList } from "./facts.js";

const LIMIT = 1000;
const records = new Map();

/** The record of a picture if it was read already. */
export function known(name) {
  return records.get(name) ?? null;
}

/** Reads the records of pictures that are not known yet. */
export async function recordsOf(names) {
  const missing = names.filter(name => !records.has(name));
  for (let start = 0; start < missing.length; start += LIMIT) {
    const part = missing.slice(start, start + LIMIT);
    for (const record of await call("POST", "/api/v1/images/images_by_names", { image_names: part })) records.set(record.image_name, record);
  }
  return names.map(name => records.get(name)).filter(Boolean);
}

/** Forgets what was read, so that it is read anew. */
export function forget(names) {
  for (const name of names) records.delete(name);
}

async function inParts(names, work) {
  const results = [];
  for (let start = 0; start < names.length; start += LIMIT) results.push(await work(names.slice(start, start + LIMIT)));
  return results;
}

/** Marks pictures with a star, or takes it away if all have one. */
export async function toggleStar(names) {
  if (!names.length) return;
  const all = (await recordsOf(names)).every(record => record.starred);
  await inParts(names, part => call("POST", `/api/v1/images/${all ? "unstar" : "star"}`, { image_names: part }));
  forget(names);
  emit("gallery-changed");
}

/** Deletes pictures after a question. */
export async function remove(names) {
  if (!names.length) return;
  if (!(await confirm(`Delete ${plural(names.length, "picture")}?`, "This cannot be undone.", "Delete"))) return;
  const results = await inParts(names, part => call("POST", "/api/v1/images/delete", { image_names: part }));
  const deleted = results.flatMap(result => result.deleted_images);
  if (deleted.length < names.length) tell(`${deleted.length} of ${names.length} could be deleted. Others belong to somebody else.`, "error");
  forget(deleted);
  emit("pictures-deleted", deleted);
  emit("gallery-changed");
}

/** Puts pictures onto a board; `board` "none" takes them off theirs. */
export async function move(names, board) {
  const results = await inParts(names, part => board === "none"
    ? call("POST", "/api/v1/board_images/batch/delete", { image_names: part })
    : call("POST", "/api/v1/board_images/batch", { board_id: board, image_names: part }));
  const moved = results.flatMap(result => result.added_images ?? result.removed_images);
  if (moved.length < names.length) tell(`${moved.length} of ${names.length} were moved. The others belong to somebody else or were there already.`, "error");
  forget(names);
  emit("gallery-changed");
}

/** Saves pictures on this computer: one as it is, several as an archive. */
export async function download(names) {
  if (names.length === 1) return save(await call("GET", `/api/v1/images/i/${encodeURIComponent(names[0])}/full`, undefined, { as: "blob" }), names[0]);
  await archive({ image_names: names });
}

/** Saves an archive of pictures or of a board. */
export async function archive(wanted) {
  const { bulk_download_item_name: name } = await call("POST", "/api/v1/images/download", wanted);
  tell("The archive is being made; it will be saved when it is ready.");
  for (let wait = 300, spent = 0; spent < 600_000; spent += wait, wait = Math.min(wait * 1.5, 5000)) {
    await new Promise(done => setTimeout(done, wait));
    try {
      return save(await call("GET", `/api/v1/images/download/${encodeURIComponent(name)}`, undefined, { as: "blob" }), name);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
  }
  throw new Error("The archive was not ready within ten minutes.");
}

/** Uploads files as assets or pictures; gives their records. */
export async function upload(files, { category = "user", board = null, intermediate = false } = {}) {
  const made = [];
  for (const file of files) {
    const form = new FormData();
    form.append("file", file, file.name ?? "picture.png");
    made.push(await call("POST", `/api/v1/images/upload${query({ image_category: category, is_intermediate: intermediate, board_id: board && board !== "none" ? board : null })}`, form));
  }
  return made;
}

/** Takes the settings that a picture was made with. */
export async function reuse(name) {
  const facts = await call("GET", `/api/v1/images/i/${encodeURIComponent(name)}/metadata`);
  if (!facts) return tell("This picture says nothing about how it was made.", "error");
  useSettings(facts, { recall });
  go("generate");
}

async function asImage(name, view) {
  const [record] = await recordsOf([name]);
  if (!record) throw new Error("The picture is gone.");
  change({ image: { name, width: record.width, height: record.height } });
  go(view);
}

/** Uses a picture as the beginning of the next. */
export const useForImage = name => asImage(name, "generate");
/** Uses a picture to be enlarged. */
export const useForUpscale = name => asImage(name, "upscale");

/** Shows what is known of a picture. */
export async function showInformation(name) {
  const [[record], facts] = await Promise.all([recordsOf([name]), call("GET", `/api/v1/images/i/${encodeURIComponent(name)}/metadata`)]);
  openDialog({ title: "Information", wide: true, body: factsList(record, facts), actions: facts ? [{ label: "Use these settings", kind: "primary", run: () => reuse(name) }] : [] });
}

/** The menu of one picture or of all that are selected. */
export function menuFor(names) {
  const one = names.length === 1 ? names[0] : null;
  const record = one && known(one);
  const run = work => () => attempt(work);
  const own = boards().filter(board => mayAddTo(board));
  const items = [];
  if (one) {
    items.push({ label: "Use these settings", run: run(() => reuse(one)) }, { label: "Use for image to image", run: run(() => useForImage(one)) },
      { label: "Edit on the canvas", run: run(async () => { await loadToCanvas((await recordsOf([one]))[0]); go("canvas"); }) },
      { label: "Upscale", run: run(() => useForUpscale(one)) }, { label: "Information", run: run(() => showInformation(one)) },
      { label: "Open in a new tab", run: () => window.open(pictureUrl(one), "_blank", "noopener") }, null);
  }
  items.push({ label: record?.starred ? "Remove the star" : "Star", run: run(() => toggleStar(names)) },
    { label: "Download", run: run(() => download(names)) },
    { label: "Move to a board …", run: run(() => chooseBoard(names, own)) },
    { label: "Take off the board", disabled: record ? !record.board_id : false, run: run(() => move(names, "none")) }, null,
    { label: `Delete${one ? "" : ` ${names.length} pictures`}`, danger: true, run: run(() => remove(names)) });
  return items;
}

function chooseBoard(names, own) {
  if (!own.length) return tell("There is no board yet to which you may add. Make one with “+” beside “Boards”.");
  const control = select(own.map(board => [board.board_id, board.board_name]), own[0].board_id);
  openDialog({
    title: `Move ${plural(names.length, "picture")}`, body: [field("Board", control)],
    actions: [{ label: "Cancel" }, { label: "Move", kind: "primary", run: () => move(names, control.value) }],
  });
}
