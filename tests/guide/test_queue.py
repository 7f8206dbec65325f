"""The queue that all share."""

import sys
import time

import pytest

from conftest import administrator, newcomer
from kit import PROJECT, QUEUE, Server, adding, drawing, failing, graph, png, text_to_image, until, workflow
from test_accounts import refused

sys.path.insert(0, str(PROJECT / "tests/contract"))
from sockets import Client

LONG = 900


def g23_users_generate_from_a_prompt(people):
    picture = drawn(people.alice, drawing(people.alice.model()))
    assert people.alice.get(f"/api/v1/images/i/{picture}").ok()["width"] == 64


def drawn(person, batch):
    """Runs a batch that makes one picture, and gives its name."""
    before = set(person.images(is_intermediate="false"))
    item = person.ended(person.enqueue(batch)[0])
    assert item["status"] == "completed", item["error_message"]
    (made,) = set(person.images(is_intermediate="false")) - before
    return made


def g23_users_generate_on_the_canvas(people):
    alice = people.alice
    picture = alice.image(data=png(64, 64), category="general")
    nodes = text_to_image(alice.model(), "a red circle", 2, 1, 64)
    nodes["o"] = {"type": "i2l", "image": {"image_name": picture}}
    nodes["d"]["denoising_start"] = 0.4
    made = graph(
        nodes, "m.clip > p.clip", "m.clip > n.clip", "m.unet > d.unet", "m.vae > i.vae", "m.vae > o.vae", "o.latents > d.latents",
        "p.conditioning > d.positive_conditioning", "n.conditioning > d.negative_conditioning", "z.noise > d.noise", "d.latents > i.latents",
    )
    assert drawn(alice, {"graph": made, "origin": "canvas", "destination": "canvas"}) != picture


def g23_users_upscale(people):
    alice = people.alice
    picture = alice.image(data=png(64, 64), category="general")
    nodes = text_to_image(alice.model(), "a red circle", 2, 1, 128)
    nodes["s"] = {"type": "img_resize", "image": {"image_name": picture}, "width": 128, "height": 128, "is_intermediate": True}
    nodes["o"] = {"type": "i2l"}
    nodes["d"] = {"type": "tiled_multi_diffusion_denoise_latents", "tile_width": 64, "tile_height": 64, "tile_overlap": 32,
                  "steps": 3, "cfg_scale": 5.0, "scheduler": "ddim", "denoising_start": 0.3}
    made = graph(
        nodes, "m.clip > p.clip", "m.clip > n.clip", "m.unet > d.unet", "m.vae > i.vae", "m.vae > o.vae", "s.image > o.image",
        "o.latents > d.latents", "p.conditioning > d.positive_conditioning", "n.conditioning > d.negative_conditioning",
        "z.noise > d.noise", "d.latents > i.latents",
    )
    upscaled = drawn(alice, {"graph": made, "origin": "upscaling", "destination": "gallery"})
    assert alice.get(f"/api/v1/images/i/{upscaled}").ok()["width"] == 128


def g23_users_run_workflows(people):
    alice = people.alice
    batch = drawing(alice.model())
    made = drawn(alice, {**batch, "workflow": workflow("own"), "origin": "workflows"})
    assert alice.get(f"/api/v1/images/i/{made}/workflow").ok()["workflow"]


def g25_users_see_their_own_items(people):
    item = people.alice.enqueue(adding(2, 40, destination="gallery"))[0]
    people.alice.ended(item)
    seen = people.alice.get(f"{QUEUE}/list_all").ok()
    assert [row["item_id"] for row in seen] == [item] and seen[0]["session"]["graph"]["nodes"]["a"]["b"] == 40


def g34_items_of_others_are_closed(paused):
    item = paused.alice.enqueue(adding(2, 40, destination="secret"))[0]
    shell = paused.bob.item(item)
    assert shell["session"]["graph"]["nodes"] == {} and "secret" not in str(shell) and shell["user_id"] == "redacted"
    refused(paused.bob.put(f"{QUEUE}/i/{item}/cancel"), 403)
    refused(paused.bob.delete(f"{QUEUE}/i/{item}"), 403)
    assert paused.bob.put(f"{QUEUE}/cancel_by_destination", destination="secret").ok()["canceled"] == 0
    paused.bob.put(f"{QUEUE}/clear").ok()
    assert paused.alice.item(item)["status"] == "pending"


def g35_first_come_first_served(tmp_path):
    with Server(tmp_path / "root", None) as running:
        running.stop()
        # What the server wrote at its first start, and the line that the guide adds.
        with open(running.root / "invokeai.yaml", "a", encoding="utf-8") as file:
            file.write("multiuser: true\n")
        running.start()
        root = administrator(running)
        alice, bob = newcomer(root, "alice"), newcomer(root, "bob")
        root.put(f"{QUEUE}/processor/pause").ok()
        expected = []
        for person in (alice, alice, alice, bob, bob, root, alice):
            expected += person.enqueue(adding(1, 2))
        root.put(f"{QUEUE}/processor/resume").ok()
        started = [root.ended(item)["started_at"] for item in expected]
        assert started == sorted(started) and len(set(started)) > 1


def g36_one_sees_that_anothers_job_runs_and_counts(people):
    alice, bob = people.alice, people.bob
    running = alice.enqueue(drawing(alice.model(), steps=LONG, size=256))[0]
    until(lambda: alice.item(running)["status"] == "in_progress", "the start of the job")
    bob.enqueue(adding(1, 2))
    alice.enqueue(adding(3, 4))
    current = bob.get(f"{QUEUE}/current").ok()
    assert (current["item_id"], current["status"], current["user_id"]) == (running, "in_progress", "redacted")
    queue = bob.status()["queue"]
    own, everybodys = queue["user_pending"] + queue["user_in_progress"], queue["pending"] + queue["in_progress"]
    assert (own, everybodys) == (1, 3)
    until(lambda: bob.status()["processor"]["is_processing"], "that it is told")
    alice.put(f"{QUEUE}/i/{running}/cancel").ok()


def g37_one_sees_where_ones_job_stands(paused):
    ahead = [*paused.alice.enqueue(adding(1, 2)), *paused.root.enqueue(adding(3, 4))]
    own = paused.bob.enqueue(adding(5, 6))
    after = paused.alice.enqueue(adding(7, 8))
    rows = paused.bob.get(f"{QUEUE}/list_all").ok()
    assert [row["item_id"] for row in rows] == [*ahead, *own, *after]
    assert [row["user_id"] == paused.bob.user_id for row in rows] == [False, False, True, False]


def g40_administrators_see_and_manage_everybodys_queue(people):
    root, alice = people.root, people.alice
    assert root.put(f"{QUEUE}/processor/pause").ok()["is_started"] is False
    refused(alice.put(f"{QUEUE}/processor/resume"), 403, "Admin privileges required")
    item, other = alice.enqueue(adding(2, 40))[0], alice.enqueue(adding(1, 2))[0]
    assert root.item(item)["session"]["graph"]["nodes"]["a"]["b"] == 40 and root.item(item)["user_email"] == alice.email
    assert root.put(f"{QUEUE}/i/{item}/cancel").ok()["status"] == "canceled"
    assert root.put(f"{QUEUE}/cancel_all_except_current").ok()["canceled"] == 1
    assert alice.item(other)["status"] == "canceled"
    assert root.put(f"{QUEUE}/processor/resume").ok()["is_started"] is True


def g56_present_and_past_items_are_seen(people):
    past = people.alice.enqueue(adding(1, 2))[0]
    people.alice.ended(past)
    people.root.put(f"{QUEUE}/processor/pause").ok()
    waiting = people.alice.enqueue(adding(3, 4))[0]
    rows = {row["item_id"]: row for row in people.alice.get(f"{QUEUE}/list_all").ok()}
    assert (rows[past]["status"], rows[waiting]["status"]) == ("completed", "pending")
    assert rows[past]["completed_at"] and not rows[waiting]["started_at"]


def g57_waiting_items_are_canceled(paused):
    items = paused.alice.enqueue(adding(1, 2, runs=3))
    assert paused.alice.put(f"{QUEUE}/i/{items[0]}/cancel").ok()["status"] == "canceled"
    assert paused.alice.put(f"{QUEUE}/cancel_all_except_current").ok()["canceled"] == 2
    assert {paused.alice.item(item)["status"] for item in items} == {"canceled"}


def g58_earlier_items_run_again(people):
    item = people.alice.enqueue(failing())[0]
    assert people.alice.ended(item)["status"] == "failed"
    assert people.alice.put(f"{QUEUE}/retry_items_by_id", [item]).ok()["retried_item_ids"] == [item]
    again = max(people.alice.get(f"{QUEUE}/item_ids").ok()["item_ids"])
    assert again != item and people.alice.ended(again)["retried_from_item_id"] == item


class Listener:
    """Somebody's Socket.IO client, which keeps what it hears."""

    def __init__(self, person):
        self.heard = []
        self.client = Client(reconnection=False)
        self.client.on("*", lambda name, data=None: self.heard.append((name, data)))
        auth = {"token": person.token}
        self.client.connect(person.server.base, auth=auth, socketio_path="/ws/socket.io", transports=["websocket"], wait_timeout=20)
        self.client.call("subscribe_queue", {"queue_id": "default"}, timeout=60)

    def of(self, name):
        return [data for heard, data in list(self.heard) if heard == name]


@pytest.fixture
def listener():
    listeners = []

    def of(person):
        listeners.append(Listener(person))
        return listeners[-1]

    yield of
    for each in listeners:
        each.client.disconnect()


def g59_progress_is_followed_live(people, listener):
    alice = people.alice
    hearing = listener(alice)
    item = alice.enqueue(drawing(alice.model(), steps=5, seed=59))[0]
    ended = lambda: [e for e in hearing.of("queue_item_status_changed") if e["status"] == "completed"]
    until(ended, "the news that the job is done")
    shares = [e["percentage"] for e in hearing.of("invocation_progress") if e["message"] == "Denoising"]
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(set(shares)) >= 5
    assert all(e["item_id"] == item for e in hearing.of("invocation_progress"))


def g60_parameters_of_others_are_hidden(people, listener):
    alice, bob, root = people.alice, people.bob, people.root
    hearing = listener(bob)
    item = alice.enqueue({**drawing(alice.model(), prompt="a secret heron"), "destination": "hidden"})[0]
    alice.ended(item)
    until(lambda: [e for e in hearing.of("queue_item_status_changed") if e["status"] == "completed"], "the news of the end")
    lists = [bob.get(f"{QUEUE}/list_all").ok(), bob.post(f"{QUEUE}/item_summaries_by_ids", {"item_ids": [item]}).ok(), hearing.heard]
    for told in lists:
        assert told and "heron" not in str(told) and "hidden" not in str(told) and alice.email not in str(told)
    assert bob.item(item)["status"] == "completed"
    assert root.item(item)["session"]["graph"]["nodes"]["p"]["prompt"] == "a secret heron"


def g61_generations_do_not_interfere(people):
    alice, bob, model = people.alice, people.bob, people.alice.model()
    batch = drawing(model, prompt="a green square on a white background", seed=61)
    alone = alice.get(f"/api/v1/images/i/{drawn(alice, batch)}/full").body
    before = {person.name: set(person.images()) for person in (alice, bob)}
    other = bob.enqueue(drawing(model, seed=62)) + bob.enqueue(failing())
    own = alice.enqueue(batch)[0]
    canceled = bob.enqueue(adding(1, 2))[0]
    bob.put(f"{QUEUE}/i/{canceled}/cancel").ok()
    assert alice.ended(own)["status"] == "completed" and [bob.ended(item)["status"] for item in other] == ["completed", "failed"]
    (made,) = set(alice.images()) - before[alice.name]
    (bobs,) = set(bob.images()) - before[bob.name]
    assert alice.get(f"/api/v1/images/i/{made}/full").body == alone != bob.get(f"/api/v1/images/i/{bobs}/full").body
    refused(alice.get(f"/api/v1/images/i/{bobs}/full"), 403)


def g68_waiting_paused_and_stuck_are_told_apart(people):
    root, alice, bob = people.root, people.alice, people.bob
    running = alice.enqueue(drawing(alice.model(), steps=LONG, size=256))[0]
    until(lambda: alice.item(running)["status"] == "in_progress", "the start of the job")
    bob.enqueue(adding(1, 2))
    until(lambda: bob.status()["processor"]["is_processing"], "that it is told")
    others = bob.status()
    assert others["processor"] == {"is_started": True, "is_processing": True}
    assert (others["queue"]["in_progress"], others["queue"]["user_in_progress"], others["queue"]["user_pending"]) == (1, 0, 1)
    root.put(f"{QUEUE}/processor/pause").ok()
    alice.put(f"{QUEUE}/i/{running}/cancel").ok()
    until(lambda: not bob.status()["processor"]["is_processing"], "the end of the job")
    paused = bob.status()
    assert paused["processor"]["is_started"] is False and (paused["queue"]["in_progress"], paused["queue"]["user_pending"]) == (0, 1)
