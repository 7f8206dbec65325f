"""Starting the server: its mode, its address, its root; and what becomes of things when the mode changes."""

import os
import subprocess

import pytest

from conftest import administrator, newcomer
from kit import BINARY, Person, Server, send, workflow
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
