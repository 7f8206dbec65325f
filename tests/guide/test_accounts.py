"""Accounts: set-up, logging in, roles."""

import base64
import hashlib
import hmac
import json
import sqlite3
import time

import pytest

from conftest import administrator, newcomer
from kit import QUEUE, TEXT_TO_IMAGE, Person, Server, adding, drawing, graph, png, text_to_image, until

USERS = "/api/v1/auth/users"
ME = "/api/v1/auth/me"
ADMINS_ONLY = "Admin privileges required"
TINY = "tests/models/invoke-tiny"


def refused(answer, status, text=""):
    assert answer.status == status and text in str(answer.detail), f"{answer.status}: {answer.body[:300]!r}"


def g01_each_user_has_their_own_things_unseen_by_others(people):
    alice, bob = people.alice, people.bob
    alice.image(category="general")
    alice.image(category="user")
    alice.board()
    alice.workflow()
    alice.post("/api/v1/client_state/default/set_by_key", "dark", key="theme").ok()
    for person, count in ((alice, 1), (bob, 0)):
        assert len(person.images(categories="general")) == len(person.images(categories="user")) == count
        assert len(person.boards()) == len(person.workflows()) == count
        assert (person.get("/api/v1/client_state/default/get_by_key", key="theme").json == "dark") is (count == 1)


def g02_an_administrator_manages_users_models_and_the_queue(paused):
    root, alice = paused.root, paused.alice
    carol = newcomer(root, "carol")
    assert root.patch(f"{USERS}/{carol.user_id}", {"display_name": "Caro"}).ok()["display_name"] == "Caro"
    assert root.delete(f"{USERS}/{carol.user_id}").status == 204
    assert root.get("/api/v2/models/install").status == 200
    item = alice.enqueue(adding(2, 40))[0]
    assert root.item(item)["session"]["graph"]["nodes"]["a"]["b"] == 40
    assert root.status()["processor"]["is_started"] is False
    assert root.put(f"{QUEUE}/i/{item}/cancel").ok()["status"] == "canceled"


def g03_a_user_changes_the_own_profile_and_no_model(people):
    alice, bob = people.alice, people.bob
    assert alice.patch(ME, {"display_name": "Ally"}).ok()["display_name"] == "Ally"
    refused(alice.patch(f"{USERS}/{bob.user_id}", {"display_name": "Bobby"}), 403, ADMINS_ONLY)
    refused(alice.post("/api/v2/models/install", {}, source=TINY, inplace="true"), 403, ADMINS_ONLY)
    refused(alice.patch(f"/api/v2/models/i/{alice.model()['key']}", {"description": "mine"}), 403, ADMINS_ONLY)


def g04_several_administrators_at_once(people):
    second = newcomer(people.root, "dora", is_admin=True)
    for administrator in (people.root, second):
        assert administrator.get(USERS).status == administrator.get("/api/v1/app/runtime_config").status == 200


def g07_setup_is_asked_for_once(tmp_path):
    with Server(tmp_path / "root") as server:
        first = Person(server, "first")
        status = first.get("/api/v1/auth/status").ok()
        assert status["setup_required"] is True and status["multiuser_enabled"] is True
        given = {"email": first.email, "display_name": "The First", "password": first.password}
        made = first.post("/api/v1/auth/setup", given).ok()["user"]
        assert (made["email"], made["display_name"], made["is_admin"]) == (first.email, "The First", True)
        assert first.get("/api/v1/auth/status").ok()["setup_required"] is False
        refused(first.post("/api/v1/auth/setup", {**given, "email": "second@example.com"}), 400, "already configured")


@pytest.mark.parametrize(
    ("weak", "rule"),
    [("Sh0rt", "at least 8 characters"), ("alllower1", "uppercase"), ("ALLUPPER1", "lowercase"), ("NoDigitsHere", "numbers")],
)
def g08_each_unmet_rule_of_a_password_is_named(people, weak, rule):
    refused(people.root.post(USERS, {"email": "weak@example.com", "password": weak, "display_name": "W"}), 400, rule)
    refused(people.alice.patch(ME, {"current_password": people.alice.password, "new_password": weak}), 400, rule)
    assert people.alice.log_in().status == 200


def g09_after_setup_the_credentials_work(tmp_path):
    with Server(tmp_path / "root") as server:
        root = administrator(server)
        assert root.get(ME).ok()["email"] == root.email and root.get(ME).ok()["is_admin"] is True


def g10_user_management_is_for_administrators(people):
    made = newcomer(people.root, "carol")
    assert made.email in [user["email"] for user in people.root.get(USERS).ok()]
    refused(people.alice.get(USERS), 403, ADMINS_ONLY)
    refused(people.alice.post(USERS, {"email": "x@example.com", "password": "Passw0rd-x", "display_name": "X"}), 403, ADMINS_ONLY)
    assert people.nobody.get(USERS).status == 401


def g11_an_inactive_account_is_out_at_once(people):
    root, alice = people.root, people.alice
    running, waiting = alice.enqueue(drawing(alice.model(), steps=900, size=256))[0], alice.enqueue(adding(1, 2))[0]
    until(lambda: root.item(running)["status"] == "in_progress", "the start of the job")
    root.patch(f"{USERS}/{alice.user_id}", {"is_active": False}).ok()
    refused(alice.get(ME), 401)
    refused(alice.log_in(), 403, "disabled")
    assert root.ended(running)["status"] == "canceled"
    assert root.ended(waiting)["status"] in ("canceled", "failed")
    root.patch(f"{USERS}/{alice.user_id}", {"is_active": True}).ok()
    assert alice.log_in().status == 200 and alice.get(ME).status == 200


def g12_name_and_password_of_others_are_edited(people):
    change = {"display_name": "Alicia", "password": "Br4nd-new"}
    assert people.root.patch(f"{USERS}/{people.alice.user_id}", change).ok()["display_name"] == "Alicia"
    refused(people.alice.log_in(), 401, "Incorrect email or password")
    assert people.alice.log_in("Br4nd-new").ok()["user"]["display_name"] == "Alicia"


def g13_a_deleted_account_is_gone(people):
    assert people.root.delete(f"{USERS}/{people.bob.user_id}").status == 204
    assert people.root.get(f"{USERS}/{people.bob.user_id}").status == 404
    refused(people.bob.get(ME), 401)
    refused(people.bob.log_in(), 401, "Incorrect email or password")


def g14_administrator_is_granted_and_revoked(people):
    refused(people.alice.get(USERS), 403, ADMINS_ONLY)
    people.root.patch(f"{USERS}/{people.alice.user_id}", {"is_admin": True}).ok()
    assert people.alice.get(USERS).status == 200
    people.root.patch(f"{USERS}/{people.alice.user_id}", {"is_admin": False}).ok()
    refused(people.alice.get(USERS), 403, ADMINS_ONLY)


def g14_a_job_that_runs_has_its_owners_rights_as_they_are_now(people):
    """An administrator's job may use anybody's picture; once they are none, the job that runs already may not."""
    alice, hers = people.alice, people.bob.image()

    def pasting(steps):
        nodes = text_to_image(alice.model(), "a red circle on a blue background", steps, 1, 64)
        nodes["b"] = {"type": "img_paste", "image": {"image_name": hers}, "use_cache": False}
        return {"graph": graph(nodes, *TEXT_TO_IMAGE, "i.image > b.base_image")}

    def demoted_while_it_runs(batch):
        people.root.patch(f"{USERS}/{alice.user_id}", {"is_admin": True}).ok()
        (item,) = alice.enqueue(batch)
        until(lambda: people.root.item(item)["status"] == "in_progress", "it runs")
        people.root.patch(f"{USERS}/{alice.user_id}", {"is_admin": False}).ok()
        return people.root.ended(item)

    people.root.patch(f"{USERS}/{alice.user_id}", {"is_admin": True}).ok()
    (item,) = alice.enqueue(pasting(2))
    assert people.root.ended(item)["status"] == "completed"
    # A job that ended before the demotion says nothing: a longer one does, on whatever machine.
    for steps in (300, 1000):
        over = demoted_while_it_runs(pasting(steps))
        if over["status"] != "completed":
            break
    assert (over["status"], over["error_type"]) == ("failed", "PermissionError") and hers not in over["error_message"]
    # What is the account's own goes on: losing a right ends nothing that does not need it.
    assert demoted_while_it_runs(drawing(alice.model(), steps=300, seed=2))["status"] == "completed"


def g19_email_and_password_log_in(people):
    begun = people.alice.log_in().ok()
    assert begun["user"]["email"] == people.alice.email and begun["token"] and begun["expires_in"] > 0
    refused(people.alice.log_in("Wr0ng-password"), 401, "Incorrect email or password")


def g20_a_user_does_all_but_administer(people):
    alice = people.alice
    board, item = alice.board(), alice.enqueue(drawing(alice.model()))[0]
    assert alice.ended(item)["status"] == "completed"
    picture = alice.images()[0]
    alice.post("/api/v1/board_images/", {"board_id": board, "image_name": picture}).ok()
    alice.workflow()
    assert alice.get(f"/api/v1/boards/{board}").ok()["image_count"] == 1 and alice.get("/api/v2/models/").ok()["models"]
    for method, path in (("GET", "/api/v1/app/runtime_config"), ("GET", USERS), ("PUT", f"{QUEUE}/processor/pause")):
        refused(alice.ask(method, path), 403, ADMINS_ONLY)


def g21_the_own_profile_is_changed_and_the_login_name_stays(people):
    alice = people.alice
    changed = alice.patch(ME, {"display_name": "Ally", "email": "other@example.com"})
    assert changed.status in (200, 422) and alice.get(ME).ok()["email"] == alice.email
    assert alice.patch(ME, {"display_name": "Ally"}).ok()["display_name"] == "Ally"
    refused(alice.patch(ME, {"current_password": "Wr0ng-password", "new_password": "Br4nd-new"}), 400, "incorrect")
    alice.patch(ME, {"current_password": alice.password, "new_password": "Br4nd-new"}).ok()
    assert alice.log_in().status == 401 and alice.log_in("Br4nd-new").status == 200


def g26_settings_of_the_page_are_kept(people):
    state = "/api/v1/client_state/default"
    for key, value in (("theme", "dark"), ("hotkeys", json.dumps({"invoke": "ctrl+enter"}))):
        people.alice.post(f"{state}/set_by_key", value, key=key).ok()
        assert people.alice.get(f"{state}/get_by_key", key=key).ok() == value
    people.alice.post(f"{state}/delete_by_key", key="theme").ok()
    assert people.alice.get(f"{state}/get_by_key", key="theme").ok() is None


def g32_accounts_are_managed_by_administrators_alone(people):
    other = f"{USERS}/{people.bob.user_id}"
    account = {"email": "m@example.com", "password": "Passw0rd-m", "display_name": "M"}
    for method, path, body in (
        ("GET", USERS, None), ("POST", USERS, account), ("GET", other, None), ("PATCH", other, {"display_name": "x"}),
        ("PATCH", f"{USERS}/{people.alice.user_id}", {"is_admin": True}), ("DELETE", other, None),
    ):
        refused(people.alice.ask(method, path, body), 403, ADMINS_ONLY)
    assert people.bob.get(ME).ok()["display_name"] == "Bob"


def g33_the_configuration_is_closed_to_users(people):
    app = "/api/v1/app"
    for method, path, body in (
        ("GET", "/runtime_config", None), ("PATCH", "/runtime_config", {"log_level": "debug"}), ("GET", "/logging", None),
        ("POST", "/logging", 10), ("DELETE", "/invocation_cache", None), ("GET", "/external_providers/config", None),
    ):
        refused(people.alice.ask(method, app + path, body), 403, ADMINS_ONLY)


def g39_administrators_make_and_keep_accounts(people):
    carol = newcomer(people.root, "carol", is_admin=True)
    seen = people.root.get(f"{USERS}/{carol.user_id}").ok()
    assert seen["is_admin"] is True and seen["is_active"] is True and "password" not in str(seen)
    refused(people.root.post(USERS, {"email": carol.email, "password": "Passw0rd-2", "display_name": "C"}), 400, "already exists")
    people.root.patch(f"{USERS}/{carol.user_id}", {"is_admin": False, "is_active": False}).ok()
    refused(carol.log_in(), 403)
    assert people.root.delete(f"{USERS}/{carol.user_id}").status == 204


def g42_administrators_reach_the_configuration(people):
    config = "/api/v1/app/runtime_config"
    before = people.root.get(config).ok()["config"]
    assert before["multiuser"] is True
    people.root.patch(config, {"max_queue_history": 77}).ok()
    assert people.root.get(config).ok()["config"]["max_queue_history"] == 77
    people.root.patch(config, {"max_queue_history": before["max_queue_history"]}).ok()


def g43_the_last_active_administrator_cannot_be_lost(tmp_path):
    with Server(tmp_path / "root") as server:
        root = administrator(server)
        alice = newcomer(root, "alice")
        own, other = f"{USERS}/{root.user_id}", f"{USERS}/{alice.user_id}"
        for change in ({"is_admin": False}, {"is_active": False}):
            refused(root.patch(own, change), 400, "last administrator")
        refused(root.delete(own), 400, "last administrator")
        root.patch(other, {"is_admin": True}).ok()
        alice.patch(own, {"is_admin": False}).ok()
        refused(alice.delete(other), 400, "last administrator")


def g62_preferences_belong_to_the_account(people):
    state = "/api/v1/client_state/default"
    people.alice.post(f"{state}/set_by_key", "dark", key="theme").ok()
    people.bob.post(f"{state}/set_by_key", "light", key="theme").ok()
    assert people.alice.elsewhere().get(f"{state}/get_by_key", key="theme").ok() == "dark"
    people.bob.post(f"{state}/delete").ok()
    assert people.alice.get(f"{state}/get_by_key", key="theme").ok() == "dark"
    assert people.bob.get(f"{state}/get_by_key", key="theme").ok() is None


def g63_wrong_credentials_are_told_in_one_way(people):
    stranger = Person(people.root.server, "stranger")
    for answer in (people.alice.log_in("Wr0ng-password"), stranger.log_in()):
        refused(answer, 401)
        assert answer.detail == "Incorrect email or password"


def g64_a_disabled_account_is_told_so(people):
    people.root.patch(f"{USERS}/{people.alice.user_id}", {"is_active": False}).ok()
    refused(people.alice.log_in(), 403, "account is disabled")
    refused(people.alice.log_in("Wr0ng-password"), 401, "Incorrect email or password")


def claims(token):
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def signed(server, token, **changes):
    """The same token with other claims, signed with the server's own key."""
    with sqlite3.connect(server.root / "databases/invokeai.db") as database:
        (key,) = database.execute("SELECT value FROM app_settings WHERE key = 'jwt_secret'").fetchone()
    plain = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    text = token.split(".")[0] + "." + plain(json.dumps({**claims(token), **changes}).encode())
    return text + "." + plain(hmac.new(key.encode(), text.encode(), hashlib.sha256).digest())


def g65_sessions_end_after_a_day_or_a_week(people):
    for remember_me, lasts in ((False, 24 * 3600), (True, 7 * 24 * 3600)):
        begun = people.alice.log_in(remember_me=remember_me).ok()
        assert begun["expires_in"] == lasts
        assert abs(claims(begun["token"])["exp"] - (time.time() + lasts)) < 60
    later, token = Person(people.root.server), people.alice.token
    later.token = signed(people.root.server, token, exp=int(time.time()) + 60)
    assert later.get(ME).status == 200
    later.token = signed(people.root.server, token, exp=int(time.time()) - 60)
    refused(later.get(ME), 401, "expired")


def g66_what_needs_an_administrator_says_so(people):
    for answer in (people.alice.get(USERS), people.alice.get("/api/v1/app/runtime_config"), people.alice.get("/api/v2/models/install")):
        refused(answer, 403)
        assert answer.detail == ADMINS_ONLY


def g70_the_api_works_with_a_token(people):
    program = Person(people.root.server)
    refused(program.get("/api/v1/boards/", all="true"), 401)
    program.token = people.alice.token
    assert program.upload(png()).status in (200, 201) and program.get("/api/v1/boards/", all="true").status == 200
    program.token = people.alice.token[:-2] + "xx"
    refused(program.get("/api/v1/boards/", all="true"), 401)


def g71_an_administrator_resets_a_forgotten_password(people):
    elsewhere = people.alice.elsewhere()
    people.root.patch(f"{USERS}/{people.alice.user_id}", {"password": "Br4nd-new"}).ok()
    refused(elsewhere.get(ME), 401)
    assert people.alice.log_in("Br4nd-new").status == 200


def g72_several_devices_see_the_same(people):
    phone, desk = people.alice.elsewhere(), people.alice.elsewhere()
    image, board = phone.image(), desk.board()
    assert desk.images() == phone.images() == [image] and desk.boards() == phone.boards() == [board]
    desk.post("/api/v1/auth/logout").ok()
    assert phone.get(ME).status == 200
