"""A running server, people who use it over HTTP, and what they send."""

import json
import os
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("INVOKE_SERVER", str(PROJECT / "target/debug/invoke-server"))
QUEUE = "/api/v1/queue/default"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def until(condition, what, limit_s=60):
    """Waits for something, and gives it."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {limit_s} s")


class Answer:
    """What came back."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body or b"null")

    @property
    def detail(self):
        return self.json["detail"]

    def ok(self):
        """The JSON of an answer that must not be a refusal."""
        assert self.status in (200, 201, 204), f"{self.status}: {self.body[:400]!r}"
        return self.json


def send(base, method, path, body=None, headers=None, query=None):
    """Sends a request; `body` is bytes, or JSON."""
    headers = dict(headers or {})
    if body is not None and not isinstance(body, bytes):
        headers["Content-Type"], body = "application/json", json.dumps(body).encode()
    if query:
        path += "?" + urllib.parse.urlencode(query, doseq=True)
    request = urllib.request.Request(base + path, data=body, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.headers, refusal.read())


class Server:
    """A server process on a root directory, started with a configuration file of these lines."""

    def __init__(self, root, lines=("multiuser: true",), host="127.0.0.1", arguments=(), environment=None):
        self.root, self.host, self.port = Path(root), host, free_port()
        self.arguments, self.environment = list(arguments), environment
        self.process = None
        if lines is not None:
            self.configure(*lines)

    def configure(self, *lines):
        self.root.mkdir(exist_ok=True, parents=True)
        (self.root / "invokeai.yaml").write_text("\n".join(["schema_version: 4.0.3", *lines, ""]), encoding="utf-8")

    @property
    def base(self):
        return f"http://{self.host}:{self.port}"

    @property
    def log(self):
        return self.root.parent / f"server-{self.port}.log"

    def start(self):
        command = [BINARY, "--port", str(self.port), *(self.arguments or ["--root", str(self.root)])]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        until(self.answers, f"an answer of {' '.join(command)}")
        return self

    def answers(self):
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        try:
            return send(self.base, "GET", "/api/v1/app/version").status == 200
        except OSError:
            return False

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(30)
        self.process = None

    def restart(self):
        self.stop()
        return self.start()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_raised):
        self.stop()


class Person:
    """Somebody who uses the server; without an account nobody in particular."""

    def __init__(self, server, name=None):
        self.server, self.name, self.token, self.user_id = server, name, None, None
        self.email, self.password = f"{name}@example.com", f"Passw0rd-{name}"

    def ask(self, method, path, body=None, headers=None, **query):
        headers = dict(headers or {})
        if self.token:
            headers.setdefault("Authorization", f"Bearer {self.token}")
        return send(self.server.base, method, path, body, headers, query)

    def get(self, path, **query):
        return self.ask("GET", path, **query)

    def post(self, path, body=None, **query):
        return self.ask("POST", path, body, **query)

    def put(self, path, body=None, **query):
        return self.ask("PUT", path, body, **query)

    def patch(self, path, body=None, **query):
        return self.ask("PATCH", path, body, **query)

    def delete(self, path, body=None, **query):
        return self.ask("DELETE", path, body, **query)

    def log_in(self, password=None, remember_me=False):
        """Tries to log in; with success the person goes on with the new token."""
        given = {"email": self.email, "password": password or self.password, "remember_me": remember_me}
        answer = send(self.server.base, "POST", "/api/v1/auth/login", given)
        if answer.status == 200:
            self.token, self.user_id = answer.json["token"], answer.json["user"]["user_id"]
        return answer

    def elsewhere(self):
        """The same person at another device."""
        other = Person(self.server, self.name)
        other.password = self.password
        other.log_in().ok()
        return other

    # Pictures and boards.

    def upload(self, data=None, board_id=None, category="user"):
        """Uploads a picture; gives the answer."""
        boundary = b"a-boundary-that-is-in-no-picture"
        head = b'Content-Disposition: form-data; name="file"; filename="p.png"\r\nContent-Type: image/png\r\n\r\n'
        form = b"--" + boundary + b"\r\n" + head + (data or png()) + b"\r\n--" + boundary + b"--\r\n"
        query = {"image_category": category, "is_intermediate": "false", **({"board_id": board_id} if board_id else {})}
        kind = {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
        return self.ask("POST", "/api/v1/images/upload", form, kind, **query)

    def preset(self, name):
        """A style preset of one's own; gives its identifier."""
        data = json.dumps({"name": name, "positive_prompt": name, "negative_prompt": "", "type": "user", "is_public": False}).encode()
        form = b'--b\r\nContent-Disposition: form-data; name="data"\r\n\r\n' + data + b"\r\n--b--\r\n"
        return self.ask("POST", "/api/v1/style_presets/", form, {"Content-Type": "multipart/form-data; boundary=b"}).ok()["id"]

    def image(self, **more):
        return self.upload(**more).ok()["image_name"]

    def images(self, **query):
        return self.get("/api/v1/images/names", **query).ok()["image_names"]

    def board(self, visibility="private", name="board"):
        board = self.post("/api/v1/boards/", board_name=name).ok()["board_id"]
        if visibility != "private":
            self.patch(f"/api/v1/boards/{board}", {"board_visibility": visibility}).ok()
        return board

    def boards(self, **query):
        return [board["board_id"] for board in self.get("/api/v1/boards/", all="true", **query).ok()]

    # Workflows.

    def workflow(self, name="workflow"):
        return self.post("/api/v1/workflows/", {"workflow": workflow(name)}).ok()["workflow_id"]

    def workflows(self, **query):
        items = self.get("/api/v1/workflows/", categories="user", **query).ok()["items"]
        return [item["workflow_id"] for item in items]

    # The queue.

    def enqueue(self, batch, **more):
        """Enqueues a batch; gives its items, oldest first."""
        answer = self.post(f"{QUEUE}/enqueue_batch", {"batch": batch, **more}).ok()
        return sorted(answer["item_ids"])

    def item(self, item):
        return self.get(f"{QUEUE}/i/{item}").ok()

    def ended(self, item):
        """Waits for the end of an item."""
        return until(lambda: self.over(item), f"the end of item {item}")

    def over(self, item):
        found = self.item(item)
        return found if found["status"] in ("completed", "failed", "canceled") else None

    def status(self):
        return self.get(f"{QUEUE}/status").ok()

    def model(self):
        """The model that ships with the program."""
        return self.get("/api/v2/models/", model_type="main").ok()["models"][0]


def png(width=8, height=6, color=(200, 30, 30)):
    """A PNG file of one colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes(color) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")


def workflow(name, **more):
    """A workflow's document."""
    texts = {key: "" for key in ("author", "description", "contact", "tags", "notes")}
    lists = {key: [] for key in ("exposedFields", "nodes", "edges")}
    return {"name": name, "version": "1.0.0", "meta": {"version": "3.0.0", "category": "user"}, **texts, **lists, **more}


def graph(nodes, *edges):
    """A graph of `id: node` and edges written `a.out > b.in`."""

    def end(text):
        node, field = text.strip().split(".")
        return {"node_id": node, "field": field}

    ends = [edge.split(">") for edge in edges]
    return {
        "id": "g",
        "nodes": {key: {"id": key, **node} for key, node in nodes.items()},
        "edges": [{"source": end(source), "destination": end(destination)} for source, destination in ends],
    }


def adding(a, b, **more):
    """A batch that adds two numbers."""
    return {"graph": graph({"a": {"type": "add", "a": a, "b": b, "use_cache": False}}), **more}


def failing():
    """A batch that fails when it runs: its picture does not exist."""
    return {"graph": graph({"a": {"type": "img_blur", "image": {"image_name": "nowhere.png"}}})}


def drawing(model, prompt="a red circle on a blue background", steps=2, seed=1, size=64):
    """A batch that makes a picture, as the Linear tab does."""
    return {"graph": graph(text_to_image(model, prompt, steps, seed, size), *TEXT_TO_IMAGE), "origin": "generate", "destination": "gallery"}


TEXT_TO_IMAGE = (
    "m.clip > p.clip", "m.clip > n.clip", "m.unet > d.unet", "m.vae > i.vae", "p.conditioning > d.positive_conditioning",
    "n.conditioning > d.negative_conditioning", "z.noise > d.noise", "d.latents > i.latents",
)


def text_to_image(model, prompt, steps, seed, size):
    """The nodes of a graph from a prompt to a picture."""
    return {
        "m": {"type": "main_model_loader", "model": {key: model[key] for key in ("key", "hash", "name", "base", "type")}},
        "p": {"type": "compel", "prompt": prompt},
        "n": {"type": "compel", "prompt": ""},
        "z": {"type": "noise", "seed": seed, "width": size, "height": size},
        "d": {"type": "denoise_latents", "steps": steps, "cfg_scale": 5.0, "scheduler": "ddim"},
        "i": {"type": "l2i", "use_cache": False, "is_intermediate": False},
    }
