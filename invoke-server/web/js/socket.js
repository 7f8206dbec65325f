// The least of Socket.IO that is needed: events over a WebSocket, each a JSON list behind the digits 42.
import { base, call, currentToken } from "./api.js";
import { emit } from "./app.js";
import { later } from "./dom.js";

let socket = null;
let wait = 1000;
const SILENCE_MS = 60_000;

/** Connects, and stays connected. Tells every event of the server as "socket:NAME", and "connected" with true or false. */
export function connect() {
  const own = new WebSocket(`${location.origin.replace(/^http/, "ws")}${base}/ws/socket.io/?EIO=4&transport=websocket`);
  socket = own;
  // The server is heard at least so often; a line that is silent for longer is dead, though nobody says so.
  const silence = later(() => own.close(), SILENCE_MS);
  own.onmessage = ({ data }) => {
    if (typeof data !== "string") return;
    silence();
    if (data[0] === "0") own.send(`40${JSON.stringify(currentToken() ? { token: currentToken() } : {})}`);
    else if (data === "2") own.send("3");
    else if (data.startsWith("40")) joined(own);
    else if (data.startsWith("41")) own.close();
    else if (data.startsWith("44")) refused();
    else if (data.startsWith("42")) {
      const [name, payload] = JSON.parse(data.slice(2));
      emit(`socket:${name}`, payload);
    }
  };
  own.onclose = () => {
    if (socket !== own) return;
    emit("connected", false);
    setTimeout(() => { if (socket === own) connect(); }, wait);
    wait = Math.min(wait * 2, 15_000);
  };
}

function joined(own) {
  wait = 1000;
  own.send('42["subscribe_queue",{"queue_id":"default"}]');
  own.send('42["subscribe_bulk_download",{"bulk_download_id":"default"}]');
  emit("connected", true);
}

/** The token may have been revoked: the answer to this request tells, and logs out if so. */
function refused() {
  socket?.close();
  if (currentToken()) call("GET", "/api/v1/auth/me").catch(() => {});
}
