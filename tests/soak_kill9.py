"""Kills a working server again and again, and looks at what it left.

    soak_kill9.py --server target/debug/invoke-server [--kills 20] [--port 9294] [--seed 1] [--coalesce 4]

Three users enqueue, cancel, retry, delete and prune without pause; the server is killed at random moments. After each start: every item is in exactly one
state and only ever went the ways that lead there, the counts that are kept agree with counting, what was acknowledged is there, nothing completed twice, and
every picture's record has its file and every file its record. With `--coalesce`, most items are pictures of the shipped model, so many of which denoise
together.
"""
import argparse, json, os, random, shutil, signal, sqlite3, subprocess, sys, tempfile, threading, time, urllib.error, urllib.request

STATES = ("pending", "in_progress", "waiting", "completed", "failed", "canceled")
PASSWORD = "Passw0rd-soak"


def call(base, method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    request = urllib.request.Request(base + path, data=None if body is None else json.dumps(body).encode(), method=method, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        return json.loads(reply.read() or b"null")


def edge(source, field, to, target):
    return {"source": {"node_id": source, "field": field}, "destination": {"node_id": to, "field": target}}


def denoised(rng, model, size=64, steps=3, samplers=("ddim",), **more):
    """A picture from a prompt, alike in all that has to be equal for items to denoise together, unless there is a choice of samplers."""
    nodes = {
        "model": {"type": "main_model_loader", "model": {key: model[key] for key in ("key", "hash", "name", "base", "type")}},
        "positive": {"type": "compel", "prompt": rng.choice(["a red circle", "a blue square on yellow"])},
        "negative": {"type": "compel", "prompt": ""},
        "noise": {"type": "noise", "seed": rng.randrange(1 << 30), "width": size, "height": size},
        "denoise": {"type": "denoise_latents", "steps": steps, "cfg_scale": 5, "scheduler": rng.choice(samplers)},
        "picture": {"type": "l2i"},
    }
    edges = [edge("model", "clip", "positive", "clip"), edge("model", "clip", "negative", "clip"), edge("model", "unet", "denoise", "unet"),
             edge("model", "vae", "picture", "vae"), edge("positive", "conditioning", "denoise", "positive_conditioning"),
             edge("negative", "conditioning", "denoise", "negative_conditioning"), edge("noise", "noise", "denoise", "noise"),
             edge("denoise", "latents", "picture", "latents")]
    return {"id": "g", "nodes": {name: {"id": name, "use_cache": False, **more, **node} for name, node in nodes.items()}, "edges": edges}


# A workflow that returns the sum of its exposed input and 2.
CALLED = {
    "name": "called", "author": "", "description": "", "version": "", "contact": "", "tags": "", "notes": "", "meta": {"category": "user", "version": "3.0.0"},
    "nodes": [{"id": name, "type": "invocation", "data": {"id": name, "type": kind, "inputs": inputs}} for name, kind, inputs in (
        ("s", "add", {"a": {"value": 1}, "b": {"value": 2}}), ("v", "workflow_return_value", {"key": {"value": "sum"}}), ("r", "workflow_return", {}))],
    "edges": [{"type": "default", "source": source, "sourceHandle": field, "target": target, "targetHandle": into}
              for source, field, target, into in (("s", "value", "v", "value"), ("v", "value", "r", "values"))],
    "exposedFields": [{"nodeId": "s", "fieldName": "a"}],
}


def graph(rng, model, workflow):
    if model and rng.random() < 0.8:
        return denoised(rng, model)
    kind = rng.randrange(5)
    if kind == 4:
        nodes = {"c": {"type": "call_saved_workflow", "workflow_id": workflow, "workflow_inputs": {"saved_workflow_input::s::a": rng.randrange(9)}},
                 "g": {"type": "workflow_return_get", "key": "sum"}}
        nodes = {name: {"id": name, "use_cache": False, **node} for name, node in nodes.items()}
        return {"id": "g", "nodes": nodes, "edges": [edge("c", "values", "g", "values")]}
    if kind == 0:
        return {"id": "g", "nodes": {"n": {"id": "n", "type": "add", "a": 1, "b": 2, "use_cache": False}}, "edges": []}
    if kind == 1:
        return {"id": "g", "nodes": {"n": {"id": "n", "type": "div", "a": 1, "b": 0, "use_cache": False}}, "edges": []}
    nodes = {f"p{n}": {"id": f"p{n}", "type": "blank_image", "width": 64, "height": 64, "use_cache": False} for n in range(rng.randrange(1, 5))}
    return {"id": "g", "nodes": nodes, "edges": []}


class User(threading.Thread):
    """Works the queue as fast as it answers, and remembers what it was promised."""

    def __init__(self, base, token, seed, model, workflow):
        super().__init__(daemon=True)
        self.base, self.token, self.rng, self.model, self.workflow = base, token, random.Random(seed), model, workflow
        self.promised, self.given_up, self.batches, self.stop = set(), set(), [], False

    def ask(self, method, path, body=None):
        return call(self.base, method, "/api/v1/queue/default/" + path, body, self.token)

    def run(self):
        while not self.stop:
            try:
                self.act()
            except urllib.error.HTTPError as error:
                if error.code not in (403, 404):
                    print(f"{error.code}: {error.read()[:300]!r}", flush=True)
                    os._exit(1)
            except (OSError, ValueError, ConnectionError):
                time.sleep(0.01)

    def act(self):
        kind = self.rng.randrange(12)
        mine = list(self.promised)
        if kind < 6 or not mine:
            batch = {"graph": graph(self.rng, self.model, self.workflow), "runs": self.rng.randrange(1, 6), "origin": "soak", "destination": self.rng.choice(["a", "b"])}
            done = self.ask("POST", "enqueue_batch", {"batch": batch, "prepend": self.rng.random() < 0.2})
            self.promised.update(done["item_ids"])
            self.batches.append(done["batch"]["batch_id"])
        elif kind == 6:
            self.ask("PUT", f"i/{self.rng.choice(mine)}/cancel")
        elif kind == 7:
            self.ask("PUT", "cancel_by_batch_ids", {"batch_ids": self.rng.sample(self.batches, min(2, len(self.batches)))})
        elif kind == 8:
            self.ask("PUT", "retry_items_by_id", self.rng.sample(mine, min(5, len(mine))))
        elif kind == 9:
            item = self.rng.choice(mine)
            self.given_up.add(item)
            self.promised.discard(item)
            self.ask("DELETE", f"i/{item}")
        elif kind == 10 and self.rng.random() < 0.1:
            # Whatever has ended goes.
            self.given_up.update(mine)
            self.promised.clear()
            self.ask("PUT", "prune")
        elif kind == 11:
            # A picture goes, with its file.
            names = call(self.base, "GET", "/api/v1/images/?limit=5", None, self.token)["items"]
            if names:
                call(self.base, "DELETE", f"/api/v1/images/i/{names[0]['image_name']}", None, self.token)


class Server:
    def __init__(self, program, root, port, *more):
        self.base = f"http://127.0.0.1:{port}"
        self.log = open(os.path.join(root, "log"), "ab")
        self.process = subprocess.Popen([program, "--root", root, "--port", str(port), *more], stdout=self.log, stderr=self.log)
        end = time.monotonic() + 60
        while True:
            try:
                call(self.base, "GET", "/api/v1/app/version")
                return
            except (OSError, urllib.error.URLError):
                if time.monotonic() > end or self.process.poll() is not None:
                    sys.exit("the server does not start: " + open(self.log.name, errors="replace").read()[-3000:])
                time.sleep(0.02)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.log.close()


def running_in_copy(root):
    """What ran when the server died, read from a copy, so that the next server finds the files as they were left."""
    with tempfile.TemporaryDirectory() as copy:
        for end in ("", "-wal"):
            if os.path.exists(f"{root}/databases/invokeai.db{end}"):
                shutil.copy(f"{root}/databases/invokeai.db{end}", copy)
        db = sqlite3.connect(f"{copy}/invokeai.db")
        running = {row[0] for row in db.execute("SELECT item_id FROM session_queue WHERE status = 'in_progress'")}
        db.close()
    return running


def files(folder):
    found = {}
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            found[os.path.relpath(os.path.join(place, name), folder)] = os.path.getsize(os.path.join(place, name))
    return found


def wrong(root, promised):
    """Everything that is wrong with a root whose server stands still."""
    db = sqlite3.connect(f"file:{root}/databases/invokeai.db?mode=ro", uri=True)
    faults = []
    rows = db.execute("SELECT item_id, status, status_sequence, started_at, completed_at, queue_id, user_id FROM session_queue").fetchall()
    # Whoever calls a workflow stops for it and goes on.
    callers = {row[0] for row in db.execute("SELECT DISTINCT parent_item_id FROM session_queue WHERE parent_item_id IS NOT NULL")}
    callers |= {row[0] for row in rows if row[1] == "waiting"}
    callers |= {row[0] for row in db.execute("SELECT item_id FROM session_queue WHERE session LIKE '%workflow_call%'")}
    counted, everybody = {}, dict.fromkeys(STATES, 0)
    for item, status, changes, started, completed, queue, user in rows:
        ended = status in ("completed", "failed", "canceled")
        if status not in STATES or ended != (completed is not None):
            faults.append(f"item {item} is {status}, completed at {completed}")
        # Nothing is put back here, so an item that completed went to work once and ended once.
        if status in ("completed", "failed") and (started is None or changes != 2 and item not in callers):
            faults.append(f"item {item} {status} after {changes} changes, started at {started}")
        if status == "in_progress":
            faults.append(f"item {item} counts as running while nothing runs")
        if status == "pending" and item not in callers and (changes != 0 or started is not None):
            faults.append(f"item {item} waits after {changes} changes, started at {started}")
        if status in STATES:
            counted.setdefault((queue, user), dict.fromkeys(STATES, 0))[status] += 1
            everybody[status] += 1
    kept = {(row[0], row[1]): dict(zip(STATES, row[2:])) for row in db.execute(f"SELECT queue_id, user_id, {', '.join(STATES)} FROM queue_counts")}
    for key, counts in counted.items():
        if kept.get(key) != counts:
            faults.append(f"counts of {key} are kept as {kept.get(key)} and are {counts}")
    if any(sum(counts.values()) and key[1] and key not in counted for key, counts in kept.items()):
        faults.append("counts are kept of items that are not there")
    if kept.get(("default", ""), dict.fromkeys(STATES, 0)) != everybody:
        faults.append(f"everybody's counts are kept as {kept.get(('default', ''))} and are {everybody}")
    stuck = db.execute("SELECT item_id FROM session_queue q WHERE status = 'waiting' AND NOT EXISTS (SELECT 1 FROM session_queue c WHERE "
                       "c.parent_item_id = q.item_id AND c.status IN ('pending', 'in_progress', 'waiting'))").fetchall()
    if stuck:
        faults.append(f"items wait for a call that nobody answers: {stuck[:5]}")
    columns = ", ".join(f"SUM(q.status = '{state}')" for state in STATES)
    off = db.execute(f"SELECT b.batch_row FROM queue_batches b JOIN session_queue q ON q.batch_row = b.batch_row GROUP BY b.batch_row "
                     f"HAVING ({', '.join('b.' + state for state in STATES)}) IS NOT ({columns})").fetchall()
    if off:
        faults.append(f"the counts of batches {off[:5]} are not those of their items")
    empty = db.execute("SELECT batch_row FROM queue_batches WHERE batch_row NOT IN (SELECT batch_row FROM session_queue)").fetchall()
    if empty:
        faults.append(f"batches without items are left: {empty[:5]}")
    turns = db.execute("SELECT user_id, batch_row, (SELECT batch_row FROM queue_batches b WHERE b.user_id = t.user_id AND b.pending > 0 "
                       "ORDER BY priority DESC, batch_row LIMIT 1) AS due FROM queue_turns t WHERE batch_row IS NOT due").fetchall()
    if turns:
        faults.append(f"turns do not stand at what is due: {turns[:5]}")
    lost = promised - {row[0] for row in rows}
    if lost:
        faults.append(f"items that were acknowledged are gone: {sorted(lost)[:10]}")
    pictures = {os.path.join(folder, name) for name, folder in db.execute("SELECT image_name, image_subfolder FROM images")}
    folder = os.path.join(root, "outputs", "images")
    stored = files(folder)
    whole = {path for path in stored if not path.startswith("thumbnails")}
    small = {os.path.relpath(path, "thumbnails") for path in stored if path.startswith("thumbnails")}
    if pictures - whole:
        faults.append(f"records without a file: {sorted(pictures - whole)[:5]}")
    if whole - pictures:
        faults.append(f"files without a record: {sorted(whole - pictures)[:5]}")
    if small - {os.path.splitext(path)[0] + ".webp" for path in pictures}:
        faults.append("thumbnails without a record")
    if any(size == 0 for path, size in stored.items() if path in whole):
        faults.append("a picture's file is empty")
    if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        faults.append("the database is damaged")
    db.close()
    return faults, len(rows), len(pictures), everybody


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--server", required=True)
    arguments.add_argument("--kills", type=int, default=20)
    arguments.add_argument("--port", type=int, default=9294)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--coalesce", type=int)
    options = arguments.parse_args()
    more = ["--coalesce", str(options.coalesce)] if options.coalesce else []
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as root:
        with open(os.path.join(root, "invokeai.yaml"), "w") as settings:
            settings.write("schema_version: 4.0.3\nmultiuser: true\nmax_queue_size: 100000\nsession_queue_mode: fair\n")
        server = Server(options.server, root, options.port, *more)
        admin = {"email": "root@example.com", "display_name": "Root", "password": PASSWORD}
        call(server.base, "POST", "/api/v1/auth/setup", admin)
        login = lambda email: call(server.base, "POST", "/api/v1/auth/login", {"email": email, "password": PASSWORD, "remember_me": True})["token"]
        root_token = login("root@example.com")
        tokens = []
        for name in ("ann", "ben", "cid"):
            account = {"email": f"{name}@example.com", "display_name": name, "password": PASSWORD, "is_admin": False}
            call(server.base, "POST", "/api/v1/auth/users", account, root_token)
            tokens.append(login(account["email"]))
        saved = lambda token: call(server.base, "POST", "/api/v1/workflows/", {"workflow": CALLED}, token)["workflow_id"]
        workflows = [saved(token) for token in tokens]
        models = call(server.base, "GET", "/api/v2/models/?model_type=main", None, root_token)["models"]
        model = models[0] if options.coalesce else None
        promised = [set() for _ in tokens]
        ended, cut_off, together = 0, 0, 0
        for number in range(1, options.kills + 1):
            users = [User(server.base, token, rng.random(), model, workflow) for token, workflow in zip(tokens, workflows)]
            for user, kept in zip(users, promised):
                user.promised = kept
                user.start()
            time.sleep(rng.uniform(0.05, 0.8))
            server.kill()
            for user in users:
                user.stop = True
            for user in users:
                user.join()
            running = running_in_copy(root)
            server = Server(options.server, root, options.port, *more)
            call(server.base, "PUT", "/api/v1/queue/default/processor/pause", None, root_token)
            still = 0
            while still < 3:
                status = call(server.base, "GET", "/api/v1/queue/default/status", None, root_token)
                still = 0 if status["processor"]["is_processing"] or status["queue"]["in_progress"] else still + 1
                time.sleep(0.01)
            faults, items, pictures, counts = wrong(root, set().union(*promised))
            for item in running:
                status = call(server.base, "GET", f"/api/v1/queue/default/i/{item}", None, root_token)["status"]
                if status != "canceled":
                    faults.append(f"item {item} ran when the server was killed and is {status} now")
            cut_off += len(running)
            together += len(running) > 1
            if faults:
                sys.exit(f"after kill {number} (seed {options.seed}):\n  " + "\n  ".join(faults))
            ended = counts["completed"] + counts["failed"] + counts["canceled"]
            if counts["pending"] > 2000:
                call(server.base, "PUT", "/api/v1/queue/default/clear", None, root_token)
                promised = [set() for _ in tokens]
            call(server.base, "PUT", "/api/v1/queue/default/processor/resume", None, root_token)
        server.kill()
        print(f"{options.kills} kills that cut off {cut_off} running items, {together} times several at once: {items} items ({ended} ended) and {pictures} pictures in order")


if __name__ == "__main__":
    main()
