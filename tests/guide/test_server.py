"""Starting the server: its mode, its address, its root; and what becomes of things when the mode changes."""

import os
import subprocess

import pytest

from conftest import administrator, newcomer
from kit import BINARY, Person, Server, drawing, send, until, workflow
from test_accounts import refused

BOARDS = "/api/v1/boards"
WORKFLOWS = "/api/v1/workflows/i"


@pytest.mark.parametrize("lines", [("multiuser: true", "log_level: info"), ("log_level: info", "# a remark", "multiuser: true")])
def g05_a_line_of_the_configuration_switches_accounts_on(tmp_path, lines):
    with Server(tmp_path / "root", [line for line in lines if "multiuser" not in line]) as server:
        anybody = Person(server)
        assert anybody.get("/api/v1/auth/status").ok()["multiuser_enabled"] is False and anybody.boards() == []
        server.configure(*lines)
        server.restart()
        assert anybody.get("/api/v1/auth/status").ok()["multiuser_enabled"] is True
        refused(anybody.get(f"{BOARDS}/", all="true"), 401)


def reached(port, address):
    try:
        return send(f"http://{address}:{port}", "GET", "/api/v1/app/version").status == 200
    except OSError:
        return False


def g06_the_host_line_lets_other_machines_in(tmp_path):
    with Server(tmp_path / "root") as server:
        assert reached(server.port, "127.0.0.1") and not reached(server.port, "127.0.0.2")
        server.configure("multiuser: true", "host: 0.0.0.0")
        server.restart()
        assert reached(server.port, "127.0.0.1") and reached(server.port, "127.0.0.2")


def g06_the_port_is_9090_unless_another_is_asked_for(tmp_path):
    # An address that nothing can listen on: the refusal names the port.
    command = [BINARY, "--root", str(tmp_path / "root"), "--host", "192.0.2.1"]
    refusal = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refusal.returncode != 0 and "192.0.2.1:9090" in refusal.stderr


def environment(**more):
    kept = {key: value for key, value in os.environ.items() if key not in ("INVOKEAI_ROOT", "VIRTUAL_ENV", "HOME")}
    return {**kept, **{key: str(value) for key, value in more.items()}}


def g17_the_root_is_option_then_variable_then_virtual_environment_then_home(tmp_path):
    option, variable, venv, home = (tmp_path / name for name in ("option", "variable", "app/.venv", "home"))
    given = {"INVOKEAI_ROOT": variable, "VIRTUAL_ENV": venv, "HOME": home}
    home.mkdir()
    venv.mkdir(parents=True)
    cases = [
        (["--root", str(option)], given, option),
        ([], given, variable),
        ([], {key: given[key] for key in ("VIRTUAL_ENV", "HOME")}, venv.parent),
        ([], {"HOME": home}, home / "invokeai"),
    ]
    for arguments, variables, root in cases:
        assert not (root / "databases").exists()
        # The log lies beside the root that the server is not told of.
        server = Server(tmp_path / "unused", None, arguments=arguments or ["--log-level", "info"], environment=environment(**variables))
        with server:
            assert (root / "databases" / "invokeai.db").is_file(), root


@pytest.fixture
def legacy(tmp_path):
    """A server that was used without accounts, and then switched: what was made before belongs to `system`."""
    with Server(tmp_path / "root", ()) as server:
        anybody = Person(server)
        old = anybody.workflow("old"), anybody.board(name="old"), anybody.image()
        server.configure("multiuser: true")
        server.restart()
        root = administrator(server)
        yield root, newcomer(root, "alice"), old


def g41_administrators_manage_everything_that_of_system_too(legacy):
    root, alice, (old_workflow, old_board, old_image) = legacy
    board, image, own = alice.board(), alice.image(), alice.workflow()
    assert {board, old_board} <= set(root.boards())
    for workflow_id in (own, old_workflow):
        saved = root.get(f"{WORKFLOWS}/{workflow_id}").ok()["workflow"]
        root.patch(f"{WORKFLOWS}/{workflow_id}", {"workflow": {**saved, "name": "tidy"}}).ok()
        root.delete(f"{WORKFLOWS}/{workflow_id}").ok()
    for name in (image, old_image):
        root.patch(f"/api/v1/images/i/{name}", {"starred": True}).ok()
        root.delete(f"/api/v1/images/i/{name}").ok()
    for each in (board, old_board):
        root.patch(f"{BOARDS}/{each}", {"board_name": "tidy"}).ok()
        root.delete(f"{BOARDS}/{each}").ok()
    assert alice.boards() == alice.images() == alice.workflows() == []


def g55_workflows_from_before_are_shared_and_administrators_change_them(legacy):
    root, alice, (old, *_rest) = legacy
    assert old in alice.workflows(is_public="true")
    seen = alice.get(f"{WORKFLOWS}/{old}").ok()
    assert (seen["user_id"], seen["is_public"]) == ("system", True)
    refused(alice.patch(f"{WORKFLOWS}/{old}", {"workflow": seen["workflow"]}), 403)
    refused(alice.delete(f"{WORKFLOWS}/{old}"), 403)
    root.patch(f"{WORKFLOWS}/{old}", {"workflow": {**seen["workflow"], "name": "tidy"}}).ok()
    assert alice.get(f"{WORKFLOWS}/{old}").ok()["workflow"]["name"] == "tidy"
    root.delete(f"{WORKFLOWS}/{old}").ok()


@pytest.fixture
def switched(tmp_path):
    """A server that two people used with accounts; `things` are their boards and pictures on none."""
    with Server(tmp_path / "root") as server:
        root = administrator(server)
        alice, bob = newcomer(root, "alice"), newcomer(root, "bob")
        things = {person: (person.board(), person.image()) for person in (alice, bob)}
        server.configure("multiuser: false")
        server.restart()
        yield server, things


def g50_without_accounts_everything_is_in_one_place(switched):
    server, things = switched
    anybody = Person(server)
    assert set(anybody.boards()) == {board for board, _ in things.values()}
    assert set(anybody.images(board_id="none")) == {image for _, image in things.values()}
    for board, image in things.values():
        anybody.patch(f"{BOARDS}/{board}", {"board_name": "ours"}).ok()
        assert anybody.get(f"/api/v1/images/i/{image}/full").status == 200


def g51_with_accounts_again_everything_is_back_with_its_owner(switched):
    server, things = switched
    server.configure("multiuser: true")
    server.restart()
    for person, (board, image) in things.items():
        person.log_in().ok()
        assert person.boards() == [board] and person.images() == [image]
        assert person.get(f"{BOARDS}/{board}").ok()["user_id"] == person.user_id
    (alice, _), (bob, (board, image)) = things.items()
    refused(alice.get(f"{BOARDS}/{board}"), 403)
    refused(alice.get(f"/api/v1/images/i/{image}/full"), 403)
    assert bob.get(f"{BOARDS}/{board}").status == 200


def test_the_document_of_a_workflow_comes_back_as_it_was(legacy):
    root, *_rest = legacy
    made = root.post("/api/v1/workflows/", {"workflow": workflow("kept", notes="as it was")}).ok()["workflow_id"]
    assert root.get(f"{WORKFLOWS}/{made}").ok()["workflow"]["notes"] == "as it was"


def queue_items(person):
    return person.get("/api/v1/queue/default/item_ids").ok()["item_ids"]


def g51_every_kind_of_thing_finds_its_owner_again_through_three_changes_of_the_mode(tmp_path):
    def state(person, value):
        person.post("/api/v1/client_state/default/set_by_key", value, key="k").ok()

    def things(person, name):
        """One of each kind, made by whoever this is."""
        state(person, name)
        prompt = person.post("/api/v1/system_prompts/", {"name": name, "content": name}).ok()["id"]
        (item,) = person.enqueue({"graph": {"id": "g", "nodes": {"n": {"id": "n", "type": "add", "a": 1, "b": 2}}, "edges": []}})
        person.ended(item)
        return {"board": person.board(name=name), "image": person.image(), "workflow": person.workflow(name), "prompt": prompt,
                "preset": person.preset(name), "item": item}

    def seen(person):
        """What somebody sees of each kind, besides what ships with the program."""
        return {
            "board": set(person.boards()), "image": set(person.images()),
            "workflow": {*person.workflows(), *person.workflows(is_public="true")},
            "prompt": {prompt["id"] for prompt in person.get("/api/v1/system_prompts/").ok()},
            "preset": {preset["id"] for preset in person.get("/api/v1/style_presets/").ok()},
        }

    def holds(seen, things):
        return {kind: things[kind] in found for kind, found in seen.items()}

    everything = dict.fromkeys(("board", "image", "workflow", "prompt", "preset"), True)
    with Server(tmp_path / "root", ()) as server:
        before = things(Person(server), "before")
        server.configure("multiuser: true")
        server.restart()
        root = administrator(server)
        alice, bob = newcomer(root, "alice"), newcomer(root, "bob")
        # What was made by everybody is nobody's in particular: administrators see it all, workflows and prompts are shared.
        assert holds(seen(root), before) == everything
        assert holds(seen(alice), before) == {"board": False, "image": False, "workflow": True, "prompt": True, "preset": False}
        own = {person: things(person, person.name) for person in (alice, bob)}
        server.configure("multiuser: false")
        server.restart()
        anybody = Person(server)
        for made in (before, *own.values()):
            assert holds(seen(anybody), made) == everything
            assert made["item"] in queue_items(anybody)
            assert anybody.item(made["item"])["session"]["results"], "nothing of an item is hidden where there are no accounts"
        between = things(anybody, "between")
        server.configure("multiuser: true")
        server.restart()
        for person, made in own.items():
            person.log_in().ok()
            other = own[bob if person is alice else alice]
            assert holds(seen(person), made) == everything
            assert holds(seen(person), other) == dict.fromkeys(everything, False)
            assert holds(seen(person), between) == {"board": False, "image": False, "workflow": True, "prompt": True, "preset": False}
            assert person.item(made["item"])["session"]["results"]
            assert person.item(other["item"])["user_id"] == person.item(between["item"])["user_id"] == "redacted"
            assert person.get("/api/v1/client_state/default/get_by_key", key="k").ok() == person.name
            assert person.get(f"{BOARDS}/{made['board']}").ok()["user_id"] == person.user_id
        root.log_in().ok()
        assert holds(seen(root), between) == holds(seen(root), own[alice]) == everything


def command(name, server, *arguments):
    """Runs one of the commands beside a server."""
    program = os.path.join(os.path.dirname(BINARY), name)
    done = subprocess.run([program, "--root", str(server.root), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def g15_commands_work_while_the_server_runs_and_take_effect(tmp_path):
    with Server(tmp_path / "root") as server:
        root, carol = administrator(server), Person(server, "carol")
        command("invoke-useradd", server, "--email", carol.email, "--password", carol.password, "--name", "Carol")
        carol.log_in().ok()
        assert carol.email in command("invoke-userlist", server)
        refused(carol.get("/api/v1/auth/users"), 403)
        command("invoke-usermod", server, "--email", carol.email, "--admin")
        assert carol.get("/api/v1/auth/users").status == 200
        command("invoke-usermod", server, "--email", carol.email, "--no-admin")
        refused(carol.get("/api/v1/auth/users"), 403)
        # What runs ends as well: when it needs its owner next, at the latest when the server next looks at its accounts, every half minute.
        for person, steps, size in ((carol, 900, 256), (Person(server, "dave"), 1000, 512)):
            if person is not carol:
                command("invoke-useradd", server, "--email", person.email, "--password", person.password, "--name", "Dave")
                person.log_in().ok()
            (item,) = person.enqueue(drawing(person.model(), steps=steps, size=size))
            until(lambda: root.item(item)["status"] == "in_progress", "it runs")
            command("invoke-userdel", server, "--email", person.email, "--force")
            refused(person.get(f"{BOARDS}/"), 401)
            over = until(lambda: root.over(item), "the end of a deleted account's item", limit_s=90)
            assert over["status"] == "canceled", (over["error_type"], over["error_message"])
        assert carol.email not in command("invoke-userlist", server)
