"""The module itself: opening, errors, pictures, Python's lock."""

import threading
import time
from pathlib import Path

import pytest

import invoke_py
from conftest import drawn, email, password, png, refused
from invoke_py import ConflictError, InvalidRequest, InvokeError, NotFound, OpenError


def test_single_user_mode_needs_no_login(tmp_path):
    with invoke_py.open_root(tmp_path) as core:
        assert core.status()["multiuser_enabled"] is False
        session = core.session()
        assert session.token is None
        picture = drawn(session)
        picture.save(tmp_path / "circle.png")
        assert Path(tmp_path, "circle.png").read_bytes() == picture.png
        assert session.images.metadata(picture.image_name)["positive_prompt"] == "a red circle on a blue background"


def test_the_same_seed_makes_the_same_picture(house):
    one, two, other = drawn(house.alice, seed=7), drawn(house.bob, seed=7), drawn(house.alice, seed=8)
    assert one.png == two.png != other.png


def test_set_up_is_done_once(path):
    with invoke_py.open_root(path) as core:
        assert core.status()["setup_required"] is True
        assert refused(InvalidRequest, core.setup, "no address", password("root")).field == "email"
        assert core.setup(email("root"), password("root"))["is_admin"] is True
        assert core.status()["setup_required"] is False
        refused(InvalidRequest, core.setup, email("other"), password("other"))


def test_a_root_that_cannot_be_opened_says_why(tmp_path):
    Path(tmp_path, "invokeai.yaml").write_text("schema_version: 4.0.3\nmultiuser: perhaps\n", encoding="utf-8")
    assert "multiuser" in str(refused(OpenError, invoke_py.open_root, tmp_path))


def test_what_was_made_is_there_after_the_next_opening(path):
    with invoke_py.open_root(path) as core:
        core.setup(email("root"), password("root"))
        name = core.login(email("root"), password("root")).images.upload(png())["image_name"]
    with invoke_py.open_root(path) as core:
        assert core.login(email("root"), password("root")).images.names() == [name]


def test_errors_are_of_one_family(house):
    for kind in (OpenError, NotFound, InvalidRequest, ConflictError, invoke_py.PermissionDenied, invoke_py.Throttled):
        assert issubclass(kind, InvokeError)
    error = refused(NotFound, house.alice.boards.get, "nowhere")
    assert (error.field, error.expected, error.issues, error.retry_after) == (None, None, [], None)
    assert "model" in str(refused(NotFound, drawn, house.alice, model="no such model"))
    refused(InvokeError, drawn, house.alice, width=63)


def test_many_wrong_passwords_have_to_wait(house):
    with pytest.raises(invoke_py.Throttled) as raised:
        for _ in range(50):
            with pytest.raises(invoke_py.AuthenticationError):
                house.core.login(email("alice"), "Wr0ng-word")
    assert raised.value.retry_after > 0


def test_an_error_of_the_callback_cancels_the_job(house):
    class Enough(Exception):
        pass

    def progress(share, doing):
        raise Enough

    refused(Enough, drawn, house.alice, steps=900, width=256, height=256, progress=progress)
    assert house.alice.queue.status()["queue"]["canceled"] == 1


def test_other_threads_run_meanwhile(house):
    house.root.queue.pause()
    item = house.alice.queue.enqueue({"graph": {"id": "g", "nodes": {}, "edges": []}})["item_ids"][0]
    waiting = threading.Thread(target=house.alice.queue.wait, args=(item, 300.0))
    waiting.start()
    for _ in range(100):
        time.sleep(0.001)
    # It waits, and this thread ran.
    assert waiting.is_alive()
    house.alice.queue.cancel(item)
    waiting.join(300)
    assert not waiting.is_alive()
