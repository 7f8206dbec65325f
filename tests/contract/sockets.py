"""What Socket.IO clients hear of a running queue, by the stock Python client, over both transports.

    sockets.py --server target/debug/invoke-server [--port 9293]

Two users share a server. Alice generates; her sockets hear everything in InvokeAI's order, Bob's hear that items moved and nothing of what is in them, a
stranger is refused, and a job canceled while it denoises ends within a step.
"""
import argparse, json, os, subprocess, sys, tempfile, threading, time, urllib.error, urllib.request

import engineio, socketio

HERE = os.path.dirname(os.path.abspath(__file__))
SECRETS = ("a red circle", "alice@example.com", "secret-origin", "secret-destination")


def call(base, method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(base + path, data=None if body is None else json.dumps(body).encode(), method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read() or b"null")


def wait(condition, what, limit_s=60):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if found := condition():
                return found
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.02)
    sys.exit(f"{what}: not within {limit_s} s")


class Engine(engineio.Client):
    """Hands on one message after another: as it comes, each is handed on by a thread of its own, and these overtake each other."""

    def _trigger_event(self, event, *args, run_async=False, **more):
        return super()._trigger_event(event, *args, run_async=False, **more)


class Client(socketio.Client):
    def _engineio_client_class(self):
        return Engine


class Listener:
    """A client that keeps what it hears, in order."""

    def __init__(self, base, token, transport):
        self.heard, self.lock, self.subscribed = [], threading.Lock(), threading.Event()
        self.client = Client(reconnection=False)
        self.client.on("*", self.keep)
        self.client.connect(base, auth={"token": token}, socketio_path="/ws/socket.io", transports=[transport], wait_timeout=20)
        self.client.emit("subscribe_queue", {"queue_id": "default"}, callback=lambda *_: self.subscribed.set())
        if not self.subscribed.wait(60):
            sys.exit("no answer to a subscription within 60 s")

    def keep(self, event, data=None):
        with self.lock:
            self.heard.append((event, data))

    def of(self, *names):
        with self.lock:
            return [(event, data) for event, data in self.heard if event in names]


def graph(model, steps):
    identifier = {key: model[key] for key in ("key", "hash", "name", "base", "type")}
    edge = lambda a, out, b, into: {"source": {"node_id": a, "field": out}, "destination": {"node_id": b, "field": into}}
    nodes = {
        "m": {"type": "main_model_loader", "model": identifier},
        "p": {"type": "compel", "prompt": "a red circle on a blue background"},
        "n": {"type": "compel", "prompt": ""},
        "z": {"type": "noise", "seed": int(time.time() * 1000) % 2**32, "width": 256, "height": 256},
        "d": {"type": "denoise_latents", "steps": steps, "cfg_scale": 5.0, "scheduler": "ddim"},
        "i": {"type": "l2i", "use_cache": False},
    }
    edges = [edge("m", "clip", "p", "clip"), edge("m", "clip", "n", "clip"), edge("m", "unet", "d", "unet"), edge("m", "vae", "i", "vae"),
             edge("p", "conditioning", "d", "positive_conditioning"), edge("n", "conditioning", "d", "negative_conditioning"),
             edge("z", "noise", "d", "noise"), edge("d", "latents", "i", "latents")]
    return {"nodes": {key: {"id": key, **node} for key, node in nodes.items()}, "edges": edges}


def enqueue(base, token, model, steps):
    batch = {"graph": graph(model, steps), "origin": "secret-origin", "destination": "secret-destination"}
    return call(base, "POST", "/api/v1/queue/default/enqueue_batch", {"batch": batch}, token)["item_ids"][0]


def check(condition, text):
    if not condition:
        sys.exit(f"FAILED: {text}")
    print(f"passed  {text}")


def play(base, transport, tokens, model):
    alice, bob = (Listener(base, tokens[name], transport) for name in ("alice", "bob"))
    item = enqueue(base, tokens["alice"], model, 8)
    ended = lambda: [d for _, d in alice.of("queue_item_status_changed") if d["item_id"] == item and d["status"] == "completed"]
    wait(ended, "the end of alice's job")
    wait(lambda: [d for _, d in bob.of("queue_item_status_changed") if d["item_id"] == item and d["status"] == "completed"], "what bob hears of it")
    order = [(e, d.get("status") or d.get("invocation_source_id")) for e, d in alice.heard if e not in ("invocation_progress", "model_load_started", "model_load_complete")]
    check(order[0][0] == "batch_enqueued" and order[1] == ("queue_item_status_changed", "in_progress"), f"{transport}: enqueued, then in progress")
    check(order[-1] == ("queue_item_status_changed", "completed"), f"{transport}: completed comes last")
    starts = [name for e, name in order if e == "invocation_started"]
    check(starts == [name for e, name in order if e == "invocation_complete"] and set(starts) == set("mpnzdi"), f"{transport}: each node starts and completes")
    steps = [d for _, d in alice.of("invocation_progress") if d["message"] == "Denoising"]
    check(len(steps) == 9 and all(d["image"]["dataURL"].startswith("data:image/jpeg;base64,") for d in steps), f"{transport}: a preview for every step")
    check([d["percentage"] for d in steps] == sorted(d["percentage"] for d in steps) and steps[-1]["percentage"] == 1.0, f"{transport}: progress rises to 1")
    check(alice.of("invocation_complete")[-1][1]["result"]["image"]["image_name"].endswith(".png"), f"{transport}: the result names the picture")
    told = bob.of("queue_item_status_changed", "batch_enqueued")
    check(len(told) >= 3 and all(d["user_id"] == "redacted" and d["batch_id"] == "redacted" for _, d in told), f"{transport}: others hear that items moved")
    text = json.dumps(bob.heard)
    check(not any(secret in text for secret in SECRETS), f"{transport}: and nothing of what is in them")
    check(not bob.of("invocation_started", "invocation_progress", "invocation_complete"), f"{transport}: nor of the nodes")

    item = enqueue(base, tokens["alice"], model, 900)
    wait(lambda: [d for _, d in alice.of("invocation_progress") if d["item_id"] == item and (d["percentage"] or 0) > 0], "the first step")
    begun = time.monotonic()
    call(base, "PUT", f"/api/v1/queue/default/i/{item}/cancel", None, tokens["alice"])
    wait(lambda: not call(base, "GET", "/api/v1/queue/default/status", None, tokens["alice"])["processor"]["is_processing"], "the end of the canceled job", 60)
    print(f"        canceled and idle after {(time.monotonic() - begun) * 1000:.0f} ms")
    check(not [d for _, d in alice.of("invocation_error") if d["item_id"] == item], f"{transport}: a canceled node is no error")
    for listener in (alice, bob):
        listener.client.disconnect()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", required=True)
    parser.add_argument("--port", type=int, default=9293)
    args = parser.parse_args()
    base = f"http://127.0.0.1:{args.port}"
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "invokeai.yaml"), "w") as file:
            file.write("schema_version: 4.0.3\nmultiuser: true\n")
        log = open(os.path.join(root, "server.log"), "wb")
        server = subprocess.Popen([args.server, "--root", root, "--port", str(args.port)], stdout=log, stderr=log)
        try:
            wait(lambda: call(base, "GET", "/api/v1/app/version"), "the server's first answer")
            tokens = {}
            account = lambda name: {"email": f"{name}@example.com", "password": f"Passw0rd-{name}", "display_name": name}
            call(base, "POST", "/api/v1/auth/setup", account("admin"))
            for name in ("admin", "alice", "bob"):
                if name != "admin":
                    call(base, "POST", "/api/v1/auth/users", account(name), tokens["admin"])
                login = {key: account(name)[key] for key in ("email", "password")}
                tokens[name] = call(base, "POST", "/api/v1/auth/login", login)["token"]
            model = call(base, "GET", "/api/v2/models/", None, tokens["alice"])["models"][0]
            try:
                Listener(base, "no token", "websocket")
                sys.exit("FAILED: a stranger was let in")
            except socketio.exceptions.ConnectionError:
                print("passed  a stranger is refused")
            for transport in ("websocket", "polling"):
                play(base, transport, tokens, model)
        finally:
            server.terminate()
            code = server.wait(30)
    check(code == 0, "the server ends in order when it is asked to")


if __name__ == "__main__":
    main()
