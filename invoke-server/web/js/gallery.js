// The gallery: boards, pictures or assets, search, upload.
import { call, query } from "./api.js";
import { emit, on } from "./app.js";
import { boardList, boardOf, loadBoards, mayAddTo, refreshBoards, selectedBoard } from "./boards.js";
import { openMenu } from "./dialogs.js";
import { attempt, button, h, icon, later, plural, tell } from "./dom.js";
import { makeGrid } from "./grid.js";
import { act } from "./keys.js";
import { forget, menuFor, remove, reuse, toggleStar, upload } from "./pictures.js";
import { preferences } from "./preferences.js";
import { go, shown } from "./shell.js";

const CATEGORIES = { pictures: ["general"], assets: ["control", "mask", "user", "other"] };

/** Builds the gallery. */
export function makeGallery() {
  let kind = "pictures";
  let search = "";
  let turn = 0;
  let names = [];
  let starred = 0;
  const count = h("span", { class: "hint", role: "status" });
  const empty = h("p", { class: "empty" }, "No pictures here yet.");
  const grid = makeGrid({
    onSelect: (chosen, name, auto) => emit("picture-shown", { name, names: chosen, auto }),
    onMenu: (at, chosen) => openMenu(at, menuFor(chosen), "Picture"),
    onOpen: name => { emit("picture-shown", { name, names: [name] }); if (matchMedia("(max-width: 760px)").matches && shown() !== "gallery") go("gallery"); },
  });

  function show(select) {
    grid.show(names);
    count.textContent = plural(names.length, kind === "pictures" ? "picture" : "asset");
    empty.hidden = names.length > 0;
    if (select) grid.select(select);
  }

  async function load({ select = null } = {}) {
    const mine = ++turn;
    await attempt(async () => {
      const found = await call("GET", `/api/v1/gallery/item_names${query({
        categories: CATEGORIES[kind], is_intermediate: false, board_id: selectedBoard(), search_term: search || null, order_dir: "DESC", starred_first: true,
      })}`);
      if (mine !== turn) return;
      ({ item_names: names, starred_count: starred } = found);
      show(select);
    });
  }
  const soon = later(load, 200);

  const tab = (name, title) => h("button", {
    type: "button", role: "tab", "aria-selected": String(kind === name), tabIndex: kind === name ? 0 : -1,
    onclick: event => {
      kind = name;
      for (const other of event.currentTarget.parentElement.children) {
        other.setAttribute("aria-selected", String(other === event.currentTarget));
        other.tabIndex = other === event.currentTarget ? 0 : -1;
      }
      load();
    },
    onkeydown: event => {
      if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
      const other = event.currentTarget.nextSibling ?? event.currentTarget.previousSibling;
      other.focus();
      other.click();
    },
  }, title);
  const tabs = h("div", { class: "tabs", role: "tablist", "aria-label": "What the gallery shows" }, tab("pictures", "Images"), tab("assets", "Assets"));

  const chooser = h("input", { type: "file", accept: "image/*", multiple: true, hidden: true, "aria-label": "Files to upload", onchange: () => { take([...chooser.files]); chooser.value = ""; } });
  async function take(files) {
    const images = files.filter(file => file.type.startsWith("image/"));
    if (!images.length) return tell("Only pictures can be uploaded.", "error");
    const board = selectedBoard() !== "none" && boardOf(selectedBoard()) && mayAddTo(boardOf(selectedBoard())) ? selectedBoard() : null;
    await attempt(async () => {
      const made = await upload(images, { category: kind === "pictures" ? "general" : "user", board });
      tell(`${plural(made.length, "picture")} uploaded.`);
      emit("gallery-changed");
      await load({ select: made.at(-1).image_name });
    });
  }

  const find = h("input", { type: "search", placeholder: "Search prompts", "aria-label": "Search prompts and dates", oninput: later(() => { search = find.value.trim(); load(); }, 300) });
  const actions = button("", { icon: "more", label: "Menu of the selected pictures", "aria-haspopup": "menu", onclick: event => {
    const chosen = grid.selection();
    if (chosen.length) openMenu(event.currentTarget, menuFor(chosen), "Picture");
    else tell("Select a picture first.");
  } });
  const aside = h("aside", { class: "gallery", "aria-label": "Gallery" }, boardList(),
    h("div", { class: "row bar" }, tabs, h("span", { class: "grow" }), button("", { icon: "upload", label: "Upload pictures", onclick: () => chooser.click() }), actions, chooser),
    h("div", { class: "row bar" }, h("span", { class: "search" }, icon("search"), find), count), empty, grid.element);

  aside.addEventListener("dragover", event => { if (event.dataTransfer.types.includes("Files")) { event.preventDefault(); aside.classList.add("dropping"); } });
  aside.addEventListener("dragleave", () => aside.classList.remove("dropping"));
  aside.addEventListener("drop", event => {
    event.preventDefault();
    aside.classList.remove("dropping");
    take([...event.dataTransfer.files]);
  });

  on("board-selected", () => load());
  on("gallery-changed", soon);
  on("gallery-refresh", soon);
  on("view", () => soon());
  on("pictures-deleted", forget);
  on("picture-made", ({ name, board }) => {
    const here = (board ?? "none") === selectedBoard() && kind === "pictures" && !search;
    if (!here) return;
    // The newest stands behind those with a star; nothing has to be read anew for that.
    if (!names.includes(name)) names = [...names.slice(0, starred), name, ...names.slice(starred)];
    show(preferences.showNewest ? name : null);
  });
  on("connected", yes => { if (yes) soon(); });
  // Another device of the same account may have changed something that nobody tells.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    soon();
    refreshBoards();
  });
  const selection = work => () => { const chosen = grid.selection(); if (chosen.length) attempt(() => work(chosen)); };
  act("star", selection(toggleStar));
  act("delete", selection(remove));
  act("reuse", selection(([name]) => reuse(name)));
  act("next", () => grid.step(1));
  act("previous", () => grid.step(-1));
  attempt(loadBoards).then(() => load()).then(() => { if (grid.first()) grid.select(grid.first()); });
  return aside;
}
