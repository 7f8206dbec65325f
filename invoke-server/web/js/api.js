// Requests to the server, and the token of the login.

const PLACE = "auth_token";

/** The prefix under which the server is reached, without a slash at the end. */
export const base = new URL(document.baseURI).pathname.replace(/\/$/, "");

/** An answer that is no success. */
class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

let token = localStorage.getItem(PLACE);
let onExpired = () => {};
let onDenied = () => {};
let cookieAt = 0;

/** The token of the login, or null. */
export function currentToken() {
  return token;
}

/** Keeps a token, or forgets it. */
export function keepToken(value) {
  token = value;
  if (value) localStorage.setItem(PLACE, value);
  else localStorage.removeItem(PLACE);
}

/** What the token says of itself; null if there is none that can be read. */
export function tokenClaims() {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(part));
  } catch {
    return null;
  }
}

/** Says who is to be told when the server no longer honours the token. */
export function whenExpired(listener) {
  onExpired = listener;
}

// Another tab logged in, out, or got a newer token.
addEventListener("storage", event => {
  if (event.key !== PLACE && event.key !== null) return;
  const before = tokenClaims()?.user_id;
  token = localStorage.getItem(PLACE);
  if (tokenClaims()?.user_id !== before) location.reload();
});

/** Says who is to be told when the server refuses something to the account. */
export function whenDenied(listener) {
  onDenied = listener;
}

function reason(data, status) {
  const detail = data?.detail;
  if (Array.isArray(detail)) return detail.map(one => `${(one.loc ?? []).slice(1).join(".")}: ${one.msg}`.replace(/^: /, "")).join("; ");
  if (detail && typeof detail === "object") return detail.message ?? JSON.stringify(detail);
  return detail || `The server answered with status ${status}.`;
}

/**
 * One request; the JSON of the answer, or null if it has none. `body` is sent as JSON, as a form if it is FormData. `as: "blob"` gives the bytes.
 * An answer that is no success is a `Failure`.
 */
export async function call(method, path, body, { signal, as = "json", anonymous = false } = {}) {
  const headers = {};
  const sent = anonymous ? null : token;
  if (sent) headers.authorization = `Bearer ${sent}`;
  const form = body instanceof FormData;
  if (body !== undefined && !form) headers["content-type"] = "application/json";
  let reply;
  try {
    reply = await fetch(base + path, { method, headers, signal, body: body === undefined || form ? body : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server cannot be reached.", 0);
  }
  const fresh = reply.headers.get("x-refreshed-token");
  if (fresh && sent && sent === token) adopt(fresh);
  if (!reply.ok) {
    const data = await reply.json().catch(() => null);
    const failure = new Failure(reason(data, reply.status), reply.status);
    if (reply.status === 401 && sent && sent === token) {
      failure.told = true;
      onExpired();
    }
    if (reply.status === 403 && sent) onDenied();
    throw failure;
  }
  if (as === "blob") return await reply.blob();
  if (reply.status === 204) return null;
  return await reply.json();
}

/** Pictures are asked for with a cookie, which has to live as long as the token. */
function adopt(fresh) {
  keepToken(fresh);
  if (Date.now() - cookieAt > 60_000) mediaCookie().catch(() => {});
}

/** Has the browser send the token with requests for pictures. */
export async function mediaCookie() {
  cookieAt = Date.now();
  await call("POST", "/api/v1/auth/media-cookie");
}

/** The address of a picture: `kind` is "full" or "thumbnail". */
export function pictureUrl(name, kind = "full") {
  return `${base}/api/v1/images/i/${encodeURIComponent(name)}/${kind}`;
}

/** A query from what is not null; lists repeat their key. */
export function query(values) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) {
    if (value === null || value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) search.append(key, one);
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}

/** Offers bytes to be saved as a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
