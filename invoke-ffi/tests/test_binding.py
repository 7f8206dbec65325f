"""What other languages get, through the Python binding that uniffi writes."""

import json

import pytest

import invoke
from conftest import email, password
from invoke import InvokeError, Listing, Request


class Report(invoke.Progress):
    """Keeps what it is told, and goes on so many times."""

    def __init__(self, times=10_000):
        self.told, self.times = [], times

    def report(self, share, doing):
        self.told.append((share, doing))
        return len(self.told) < self.times


def drawing(seed=1, **more):
    return Request(prompt="a red circle on a blue background", seed=seed, **{"width": 64, "height": 64, "steps": 2, **more})


def adding(a, b):
    return json.dumps({"graph": {"id": "g", "nodes": {"a": {"id": "a", "type": "add", "a": a, "b": b}}, "edges": []}})


def g08_weak_passwords_are_refused(house):
    with pytest.raises(InvokeError.Invalid) as raised:
        house.root.create_account("weak@example.com", "Sh0rt")
    assert "8 characters" in raised.value.reason
    assert len(house.root.accounts()) == 3


def g19_email_and_password_let_in(house):
    assert house.core.login(email("alice"), password("alice")).me().email == email("alice")
    for refused in (lambda: house.core.login(email("alice"), "Wr0ng-word"), house.core.session, lambda: house.core.session("junk")):
        with pytest.raises(InvokeError.Unauthenticated):
            refused()
    assert house.core.session(house.alice.token()).me() == house.alice.me()


def g21_the_own_profile_is_changed(house):
    assert house.alice.update_me(display_name="Ally").display_name == "Ally"
    house.alice.update_me(current_password=password("alice"), new_password="Br4nd-new")
    assert house.alice.me().display_name == "Ally"
    house.core.login(email("alice"), "Br4nd-new")


def g32_accounts_are_for_administrators(house):
    for refused in (house.alice.accounts, lambda: house.alice.create_account("m@example.com", password("m"))):
        with pytest.raises(InvokeError.Forbidden):
            refused()


def g23_users_generate(house):
    report = Report()
    drawn = house.alice.text_to_image(drawing(), report)
    assert drawn.png == house.alice.pictures().read(drawn.image_name)
    shares = [share for share, _ in report.told if share is not None]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert json.loads(house.alice.pictures().metadata(drawn.image_name))["seed"] == 1
    assert house.alice.pictures().get(drawn.image_name).width == 64


def g45_a_new_board_is_private(house):
    board = house.alice.boards().create("own")
    assert board.board_visibility == "private" and house.bob.boards().list() == []
    with pytest.raises(InvokeError.Forbidden):
        house.bob.boards().get(board.board_id)
    assert [b.board_id for b in house.root.boards().list()] == [board.board_id]


def g46_a_shared_board_is_seen_and_kept(house):
    board = house.alice.boards().create("shown").board_id
    house.alice.boards().update(board, visibility="shared")
    png = house.alice.text_to_image(drawing()).png
    picture = house.alice.pictures().upload(png, board_id=board)
    assert house.bob.pictures().names(Listing(board_id=board)) == [picture.image_name]
    assert house.bob.pictures().list(Listing(board_id=board)).total == 1
    with pytest.raises(InvokeError.Forbidden):
        house.bob.boards().update(board, name="taken")
    assert house.bob.boards().remove_pictures([picture.image_name]) == []
    assert house.alice.pictures().star([picture.image_name]) == [picture.image_name]
    assert house.alice.pictures().delete([picture.image_name]) == [picture.image_name]


def g60_parameters_of_others_are_hidden(house):
    events = house.bob.events()
    (item,) = json.loads(house.alice.queue().enqueue(adding(2, 40)))["item_ids"]
    assert json.loads(house.alice.queue().wait_for(item, 60_000))["status"] == "completed"
    told = json.loads(events.next_within(10_000))
    assert told["event"] == "batch_enqueued" and told["user_id"] == "redacted"
    (shell,) = json.loads(house.bob.queue().list())
    assert shell["session"]["graph"]["nodes"] == {}
    assert json.loads(house.root.queue().item(item))["session"]["graph"]["nodes"]["a"]["b"] == 40


def g57_waiting_jobs_are_canceled(house):
    house.root.queue().pause()
    (item,) = json.loads(house.alice.queue().enqueue(adding(1, 2)))["item_ids"]
    assert house.alice.queue().wait_for(item, 100) is None
    with pytest.raises(InvokeError.Forbidden):
        house.bob.queue().cancel(item)
    assert json.loads(house.alice.queue().cancel(item))["status"] == "canceled"
    house.root.queue().resume()
    assert json.loads(house.alice.queue().status())["queue"]["canceled"] == 1


def test_a_report_that_says_no_cancels_the_job(house):
    with pytest.raises(InvokeError.Conflict):
        house.alice.text_to_image(drawing(steps=900, width=256, height=256), Report(times=2))


def test_errors_name_the_field(house):
    board = house.alice.boards().create("own").board_id
    with pytest.raises(InvokeError.Invalid) as raised:
        house.alice.boards().update(board, visibility="secret")
    assert raised.value.field == "visibility" and "private, shared, public" in raised.value.expected
    with pytest.raises(InvokeError.Invalid) as raised:
        house.alice.queue().enqueue("no JSON")
    assert raised.value.field == "batch"
    with pytest.raises(InvokeError.NotFound):
        house.alice.pictures().get("nowhere.png")
    with pytest.raises(InvokeError.Throttled) as raised:
        for _ in range(50):
            with pytest.raises(InvokeError.Unauthenticated):
                house.core.login(email("bob"), "Wr0ng-word")
    assert raised.value.retry_after_s > 0


def test_what_is_known_before_anybody_logs_in(house):
    status = house.core.status()
    assert status.multiuser_enabled and not status.setup_required and status.strict_password_checking
    assert json.loads(house.alice.models())
    house.alice.logout()
    with pytest.raises(InvokeError.Unauthenticated):
        house.alice.me()
