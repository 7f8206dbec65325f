// The picture that is looked at, or the preview of the one that is being made.
import { pictureUrl } from "./api.js";
import { emit, on } from "./app.js";
import { openMenu } from "./dialogs.js";
import { attempt, button, h } from "./dom.js";
import { loadToCanvas } from "./canvas.js";
import { download, known, menuFor, recordsOf, remove, reuse, showInformation, toggleStar, useForImage, useForUpscale } from "./pictures.js";
import { go } from "./shell.js";

/** Builds the viewer. */
export function makeViewer() {
  let name = null;
  let live = null;
  let followLive = true;
  const picture = h("img", { class: "picture", alt: "", hidden: true });
  const nothing = h("p", { class: "empty" }, "Pictures appear here.");
  const caption = h("p", { class: "hint caption" });
  const tool = (icon, label, work) => button("", { icon, label, onclick: () => name && attempt(() => work(name)) });
  const star = tool("star", "Star", one => toggleStar([one]));
  const tools = h("div", { class: "row tools", role: "toolbar", "aria-label": "Picture" },
    tool("reuse", "Use these settings", reuse), tool("image", "Use for image to image", useForImage),
    tool("canvas", "Edit on the canvas", async one => { await loadToCanvas((await recordsOf([one]))[0]); go("canvas"); }),
    tool("upscale", "Upscale", useForUpscale), star, tool("info", "Information", showInformation), tool("download", "Download", one => download([one])),
    tool("trash", "Delete", one => remove([one])),
    button("", { icon: "more", label: "More", "aria-haspopup": "menu", onclick: event => name && openMenu(event.currentTarget, menuFor([name]), "Picture") }));
  const frame = h("div", { class: "frame" }, picture, nothing);
  const viewer = h("section", { class: "viewer", "aria-label": "Picture" }, tools, frame, caption);

  async function paint() {
    const preview = followLive ? live?.image : null;
    picture.hidden = !preview && !name;
    nothing.hidden = Boolean(preview || name);
    tools.classList.toggle("off", !name || Boolean(preview));
    picture.classList.toggle("preview", Boolean(preview));
    if (preview) {
      picture.src = preview.dataURL;
      picture.width = preview.width;
      picture.height = preview.height;
      picture.alt = "Preview of the picture that is being made";
      caption.textContent = "Preview";
      return;
    }
    caption.textContent = "";
    if (!name) return;
    const address = pictureUrl(name);
    if (picture.getAttribute("src") !== address) picture.src = address;
    picture.removeAttribute("width");
    picture.removeAttribute("height");
    picture.alt = "The selected picture";
    const shownName = name;
    const [record] = await recordsOf([name]).catch(() => []);
    if (name !== shownName || !record) return;
    caption.textContent = `${record.width} × ${record.height}`;
    star.setAttribute("aria-pressed", String(record.starred));
  }

  picture.addEventListener("error", () => { if (name && !picture.classList.contains("preview") && !known(name)) { name = null; paint(); } });
  picture.addEventListener("contextmenu", event => { if (name) { event.preventDefault(); openMenu(event, menuFor([name]), "Picture"); } });
  on("picture-shown", shown => {
    name = shown.name;
    if (!shown.auto) followLive = false;
    paint();
  });
  on("picture-made", made => { name = made.name; live = null; paint(); });
  on("progress", running => {
    if (running && running.item !== live?.item) followLive = true;
    live = running;
    paint();
  });
  on("gallery-changed", () => { if (name) setTimeout(paint, 50); });
  on("pictures-deleted", names => { if (names.includes(name)) { name = null; paint(); emit("gallery-refresh"); } });
  paint();
  return viewer;
}
