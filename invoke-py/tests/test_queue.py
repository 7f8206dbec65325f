"""The queue, everybody's jobs in it, and what is told of them."""

import threading

from conftest import adding, drawn, failing, refused
from invoke_py import InvalidRequest, NotFound, PermissionDenied


def ended(session, enqueued):
    return [session.queue.wait(item, timeout=60)["status"] for item in enqueued["item_ids"]]


def g23_users_generate(house):
    picture = drawn(house.alice)
    assert picture.png == house.alice.images.read(picture.image_name)
    assert ended(house.alice, house.alice.queue.enqueue(adding(2, 3))) == ["completed"]


def g25_users_see_their_own_jobs(house):
    made = house.alice.queue.enqueue(adding(2, 3, runs=2))
    ended(house.alice, made)
    items = [item for item in house.alice.queue.list() if item["batch_id"] == made["batch"]["batch_id"]]
    assert len(items) == 2 and all(item["session"]["graph"]["nodes"]["a"]["b"] == 3 for item in items)


def g34_jobs_of_others_are_closed(house):
    house.root.queue.pause()
    item = house.alice.queue.enqueue(adding(2, 40))["item_ids"][0]
    shell = house.bob.queue.item(item)
    assert shell["session"]["graph"]["nodes"] == {} and shell["user_id"] == "redacted"
    refused(PermissionDenied, house.bob.queue.cancel, item)
    refused(PermissionDenied, house.bob.queue.delete, item)
    assert house.bob.queue.cancel_waiting()["canceled"] == 0
    assert house.alice.queue.item(item)["status"] == "pending"


def g35_first_come_first_served(house):
    house.root.queue.pause()
    expected = []
    for turn in range(3):
        for session in (house.alice, house.bob):
            expected += session.queue.enqueue(adding(turn, 1))["item_ids"]
    done = house.root.events()
    house.root.queue.resume()
    finished = []
    while len(finished) < len(expected):
        event = done.next(timeout=60)
        if event["event"] == "queue_item_status_changed" and event["status"] == "completed":
            finished.append(event["item_id"])
    assert finished == expected


def g40_administrators_see_and_manage_the_whole_queue(house):
    assert house.root.queue.pause()["is_started"] is False
    refused(PermissionDenied, house.alice.queue.resume)
    item = house.alice.queue.enqueue(adding(2, 40))["item_ids"][0]
    assert house.root.queue.item(item)["session"]["graph"]["nodes"]["a"]["b"] == 40
    assert house.root.queue.cancel(item)["status"] == "canceled"
    assert house.root.queue.resume()["is_started"] is True
    assert house.alice.queue.item(item)["status"] == "canceled"


def g56_present_and_past_jobs_are_seen(house):
    past = house.alice.queue.enqueue(adding(1, 2))
    ended(house.alice, past)
    house.root.queue.pause()
    waiting = house.alice.queue.enqueue(adding(3, 4))
    statuses = {item["item_id"]: item["status"] for item in house.alice.queue.list()}
    assert statuses == {past["item_ids"][0]: "completed", waiting["item_ids"][0]: "pending"}
    status = house.alice.queue.status()["queue"]
    assert (status["completed"], status["pending"], status["user_pending"]) == (1, 1, 1)


def g57_waiting_jobs_are_canceled(house):
    house.root.queue.pause()
    made = house.alice.queue.enqueue(adding(1, 2, runs=3))
    assert house.alice.queue.cancel(made["item_ids"][0])["status"] == "canceled"
    assert house.alice.queue.cancel_batches([made["batch"]["batch_id"]])["canceled"] == 2
    assert ended(house.alice, made) == ["canceled"] * 3


def g58_jobs_run_again(house):
    made = house.alice.queue.enqueue(failing())
    assert ended(house.alice, made) == ["failed"]
    again = house.alice.queue.retry(made["item_ids"])
    assert again["retried_item_ids"] == made["item_ids"]
    newest = house.alice.queue.item_ids()["item_ids"][0]
    assert newest not in made["item_ids"] and house.alice.queue.wait(newest, timeout=60)["retried_from_item_id"] == made["item_ids"][0]


def g59_progress_is_followed(house):
    shares, events = [], house.alice.events(timeout=5)
    picture = drawn(house.alice, steps=3, progress=lambda share, doing: shares.append((share, doing)))
    told = [share for share, _ in shares if share is not None]
    assert told and told == sorted(told) and 0 <= told[0] <= told[-1] <= 1 and all(doing for _, doing in shares)
    seen = []
    for event in events:
        seen.append(event["event"])
        if event["event"] == "queue_item_status_changed" and event["status"] == "completed":
            break
    assert "invocation_progress" in seen and seen.index("invocation_started") < seen.index("invocation_complete")
    assert house.alice.images.get(picture.image_name)["width"] == 64


def g60_parameters_of_others_are_hidden(house):
    house.root.queue.pause()
    events = house.bob.events()
    item = house.alice.queue.enqueue(adding(2, 40))["item_ids"][0]
    told = events.next(timeout=10)
    assert told["event"] == "batch_enqueued" and told["user_id"] == told["batch_id"] == "redacted"
    others, own, all_of_it = (session.queue.list()[0] for session in (house.bob, house.alice, house.root))
    assert others["item_id"] == item and others["session"]["graph"]["nodes"] == {} and others["user_email"] is None
    assert own["session"]["graph"]["nodes"]["a"]["b"] == all_of_it["session"]["graph"]["nodes"]["a"]["b"] == 40


def g61_generations_do_not_mix(house):
    made = {}
    sessions = {"alice": (house.alice, "a red circle on a blue background"), "bob": (house.bob, "a green square on a white background")}
    alone = {name: drawn(session, prompt, seed=5).png for name, (session, prompt) in sessions.items()}

    def draw(name, session, prompt):
        made[name] = drawn(session, prompt, seed=5)

    threads = [threading.Thread(target=draw, args=(name, *of)) for name, of in sessions.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, (session, _) in sessions.items():
        assert made[name].png == alone[name] and made[name].image_name in session.images.names()
        assert session.images.get(made[name].image_name)["image_name"] == made[name].image_name
    assert not set(house.alice.images.names()) & set(house.bob.images.names())


def test_waiting_has_an_end(house):
    house.root.queue.pause()
    item = house.alice.queue.enqueue(adding(1, 2))["item_ids"][0]
    assert house.alice.queue.wait(item, timeout=0.2) is None
    assert house.alice.events().next(timeout=0.2) is None
    assert list(house.alice.events(timeout=0.2)) == []
    refused(NotFound, house.alice.queue.wait, 4711)
    assert refused(InvalidRequest, house.alice.queue.wait, item, timeout=-1).field == "timeout"


def test_waiting_ends_with_the_item(house):
    house.root.queue.pause()
    item = house.alice.queue.enqueue(adding(1, 2))["item_ids"][0]
    canceling = threading.Timer(0.3, house.alice.queue.cancel, (item,))
    canceling.start()
    assert house.alice.queue.wait(item, timeout=30)["status"] == "canceled"
    canceling.join()


def test_what_is_wrong_with_a_batch_is_named(house):
    error = refused(InvalidRequest, house.alice.queue.enqueue, {"graph": {"nodes": {"a": {"id": "a", "type": "no_such_node"}}}})
    assert error.field.startswith("batch.graph") and error.expected and error.issues
    assert refused(InvalidRequest, house.alice.queue.enqueue, {"graph": float("nan")}).field == "batch"
