// The picture that is selected in the gallery, and a field that takes it.
import { pictureUrl } from "./api.js";
import { on } from "./app.js";
import { button, h, takesPictures, tell } from "./dom.js";
import { recordsOf } from "./pictures.js";

let selected = null;
on("picture-shown", ({ name }) => { selected = name; });
on("picture-made", ({ name }) => { selected = name; });

/** The record of the selected picture; says what to do and gives null if there is none. */
export async function selectedPicture() {
  const [record] = selected ? await recordsOf([selected]) : [];
  if (!record) tell("Select a picture in the gallery first.");
  return record ?? null;
}

/** A field that holds a picture; `set` is called with the record of each that is taken. */
export function pictureField(label, name, set) {
  const image = h("img", { class: "chosen", alt: "The chosen picture" });
  const show = chosen => { image.hidden = !chosen; if (chosen) image.src = pictureUrl(chosen, "thumbnail"); };
  show(name);
  const use = record => {
    if (!record) return;
    set(record);
    show(record.image_name);
  };
  const take = button("Take the selected picture", { icon: "image", onclick: async () => use(await selectedPicture()) });
  return takesPictures(h("div", { class: "field", role: "group", "aria-label": label }, h("span", { class: "label" }, label), h("div", { class: "row" }, image, take)), async ([dropped]) => use((await recordsOf([dropped]))[0]));
}
