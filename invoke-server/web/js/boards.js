// Boards: the list, their menu, who may do what with them.
import { call, pictureUrl, query } from "./api.js";
import { app, emit, isAdmin, myId, on } from "./app.js";
import { askText, openDialog, openMenu } from "./dialogs.js";
import { attempt, button, h, icon, later, takesPictures, tick } from "./dom.js";
import { archive, move } from "./pictures.js";

const VISIBILITIES = [["private", "Private", "lock", "Only you and administrators"], ["shared", "Shared", "eye", "Everybody sees it"], ["public", "Public", "globe", "Everybody sees it and may add and remove pictures"]];

let all = [];
let read = false;
let selected = "none";
let showArchived = false;

/** The boards that the account sees. */
export function boards() {
  return all;
}

/** Whether they were read already. */
export function boardsRead() {
  return read;
}

/** The board whose pictures are shown: an identifier, or "none" for what is on no board. */
export function selectedBoard() {
  return selected;
}

/** The record of a board. */
export function boardOf(id) {
  return all.find(board => board.board_id === id) ?? null;
}

/** Whether its name, visibility and existence may be changed. */
export function mayManage(board) {
  return isAdmin() || board.user_id === myId();
}

/** Whether pictures may be put onto it. */
export function mayAddTo(board) {
  return mayManage(board) || board.board_visibility === "public";
}

/** Reads the boards anew and tells "boards". */
export async function loadBoards() {
  all = await call("GET", `/api/v1/boards/${query({ all: true, order_by: "board_name", direction: "ASC", include_archived: true })}`);
  read = true;
  if (selected !== "none" && !boardOf(selected)) choose("none");
  emit("boards");
}

/** Reads them soon. */
export const refreshBoards = later(() => attempt(loadBoards), 300);

function choose(id) {
  selected = id;
  emit("board-selected", id);
  emit("boards");
}

async function changeBoard(board, changes) {
  await call("PATCH", `/api/v1/boards/${board.board_id}`, changes);
  await loadBoards();
}

/** Makes a board after asking for its name. */
async function create() {
  const name = await askText("New board", "Name", "", "Create");
  if (name === null) return;
  const made = await call("POST", `/api/v1/boards/${query({ board_name: name })}`);
  await loadBoards();
  choose(made.board_id);
}

function removeBoard(board) {
  const count = board.image_count + board.asset_count;
  const too = tick("Delete its pictures too");
  openDialog({
    title: `Delete the board “${board.board_name}”?`,
    body: [h("p", {}, count ? "Its pictures stay, uncategorized, unless they are deleted too." : "It holds no pictures."), count > 0 && too],
    actions: [{ label: "Cancel" }, {
      label: "Delete", kind: "danger", run: async () => {
        await call("DELETE", `/api/v1/boards/${board.board_id}${query({ include_images: too.input.checked })}`);
        await loadBoards();
        emit("gallery-changed");
      },
    }],
  });
}

function menuOf(board) {
  const run = work => () => attempt(work);
  const manage = mayManage(board);
  const items = [];
  if (manage) {
    items.push({ label: "Rename", run: run(async () => {
      const name = await askText("Rename the board", "Name", board.board_name);
      if (name !== null) await changeBoard(board, { board_name: name });
    }) });
    if (app.multiuser) {
      items.push(null, { heading: "Visibility" });
      for (const [value, label] of VISIBILITIES) items.push({ label, checked: board.board_visibility === value, run: run(() => changeBoard(board, { board_visibility: value })) });
      items.push(null);
    }
    items.push({ label: board.archived ? "Unarchive" : "Archive", run: run(() => changeBoard(board, { archived: !board.archived })) });
  }
  items.push({ label: "Download all pictures", run: run(() => archive({ board_id: board.board_id })) });
  if (manage) items.push(null, { label: "Delete", danger: true, run: () => removeBoard(board) });
  else items.push(null, { heading: board.board_visibility === "public" ? "Public: you may add and remove pictures" : "Shared: read-only" });
  return items;
}

function row(board) {
  const visibility = VISIBILITIES.find(([value]) => value === board.board_visibility);
  const count = board.image_count + board.asset_count + (board.video_count ?? 0);
  const foreign = app.multiuser && board.user_id !== myId();
  const open = at => openMenu(at, menuOf(board), `Board ${board.board_name}`);
  const cover = board.cover_image_name ? h("img", { src: pictureUrl(board.cover_image_name, "thumbnail"), alt: "", loading: "lazy" }) : icon("folder");
  const main = h("button", {
    type: "button", class: "board", "aria-pressed": String(selected === board.board_id), onclick: () => choose(board.board_id),
    oncontextmenu: event => { event.preventDefault(); open(event); },
  }, cover, h("span", { class: "grow name" }, board.board_name, board.archived && h("span", { class: "hint" }, " (archived)"),
    foreign && h("span", { class: "hint owner" }, board.owner_username ? ` of ${board.owner_username}` : " of somebody else")),
  app.multiuser && visibility && h("span", { class: "visibility", title: `${visibility[1]}: ${visibility[3]}`, role: "img", "aria-label": visibility[1] }, icon(visibility[2])), h("span", { class: "count" }, count));
  if (mayAddTo(board)) takesPictures(main, names => move(names, board.board_id));
  return h("li", { data: { board: board.board_id } }, main, button("", { icon: "more", label: `Menu of the board ${board.board_name}`, "aria-haspopup": "menu", onclick: event => open(event.currentTarget) }));
}

/** The list of boards. */
export function boardList() {
  const list = h("ul", { class: "boards", "aria-label": "Boards" });
  const archivedTick = tick("Show Archived", { onchange: event => { showArchived = event.target.checked; show(); } });
  const title = h("span", { class: "grow" });
  const box = h("details", { class: "fold board-fold", open: true }, h("summary", {}, "Boards: ", title),
    h("div", { class: "row" }, button("New board", { icon: "plus", onclick: () => attempt(create) }), archivedTick), list);
  const show = () => {
    const name = selected === "none" ? "Uncategorized" : boardOf(selected)?.board_name ?? "";
    title.textContent = name;
    const own = board => !app.multiuser || board.user_id === myId();
    const visible = all.filter(board => showArchived || !board.archived || board.board_id === selected);
    const loose = h("button", { type: "button", class: "board", "aria-pressed": String(selected === "none"), onclick: () => choose("none") }, icon("image"), h("span", { class: "grow name" }, "Uncategorized"));
    list.replaceChildren(h("li", {}, takesPictures(loose, names => move(names, "none"))),
      ...visible.filter(own).map(row), ...visible.filter(board => !own(board)).map(row));
  };
  on("boards", show);
  on("gallery-changed", refreshBoards);
  on("picture-made", refreshBoards);
  show();
  return box;
}
