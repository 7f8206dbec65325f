// What all views know: who is logged in, the models, the nodes; and the bus on which they tell each other what changed.
import { call } from "./api.js";
import { attempt } from "./dom.js";

export const app = {
  /** The account, null in single-user mode. */
  me: null,
  multiuser: false,
  strictPasswords: false,
  /** Records of all models. */
  models: [],
  /** Descriptions of nodes by type, once they are read. */
  nodes: {},
};

const bus = new EventTarget();

/** Calls `listener` with the detail of every event of a name. */
export function on(name, listener) {
  bus.addEventListener(name, event => listener(event.detail ?? undefined));
}

/** Tells an event to whom it concerns. */
export function emit(name, detail) {
  bus.dispatchEvent(new CustomEvent(name, { detail }));
}

/** Whether everything may be managed: by administrators, and by whoever is there in single-user mode. */
export function isAdmin() {
  return !app.multiuser || Boolean(app.me?.is_admin);
}

/** The identifier that marks what is one's own. */
export function myId() {
  return app.multiuser ? app.me?.user_id : "system";
}

/** Reads the models anew and tells "models". */
export async function loadModels() {
  app.models = (await call("GET", "/api/v2/models/")).models;
  emit("models");
}

/** Models of a type, by name; of a base if one is given. */
export function modelsOf(type, modelBase = null) {
  return app.models.filter(model => model.type === type && (!modelBase || model.base === modelBase)).sort((a, b) => a.name.localeCompare(b.name));
}

/** A model by its key. */
export function modelOf(key) {
  return app.models.find(model => model.key === key) ?? null;
}

/** What a graph and a picture's metadata say of a model. */
export function identifier({ key, hash, name, base, type }) {
  return { key, hash, name, base, type };
}

/** Finds the model that another server's or an older record meant: by key, by hash, by name. */
export function recall(wanted) {
  if (!wanted) return null;
  const same = app.models.filter(model => model.type === wanted.type || !wanted.type);
  return same.find(model => model.key === wanted.key) ?? same.find(model => model.hash === wanted.hash)
    ?? same.find(model => model.name === wanted.name && (!wanted.base || model.base === wanted.base)) ?? null;
}

/** Reads the descriptions of nodes and tells "nodes". */
export async function loadNodes() {
  await attempt(async () => {
    const { components: { schemas } } = await call("GET", "/openapi.json");
    for (const schema of Object.values(schemas)) {
      const type = schema.class === "invocation" ? schema.properties?.type?.default : null;
      if (type) app.nodes[type] = schema;
    }
    emit("nodes");
  });
}
