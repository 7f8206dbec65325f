"""One server for the tests that can share one, and fresh people for each of them."""

import itertools
from types import SimpleNamespace

import pytest

from kit import QUEUE, Person, Server

numbers = itertools.count(1)


def administrator(server, name="root"):
    """The first administrator of a fresh server, set up and logged in."""
    root = Person(server, name)
    root.post("/api/v1/auth/setup", {"email": root.email, "display_name": "Root", "password": root.password}).ok()
    root.log_in().ok()
    return root


def newcomer(root, name, **more):
    """A new account, logged in."""
    person = Person(root.server, f"{name}-{next(numbers)}")
    account = {"email": person.email, "password": person.password, "display_name": name.title(), **more}
    root.post("/api/v1/auth/users", account).ok()
    person.log_in().ok()
    return person


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A server with accounts, and its first administrator."""
    settings = ("multiuser: true", "strict_password_checking: true")
    with Server(tmp_path_factory.mktemp("shared") / "root", settings) as running:
        yield administrator(running)


@pytest.fixture
def people(server):
    """An administrator and the users Alice and Bob, who have nothing and see nothing yet, and an empty queue that runs."""
    yield SimpleNamespace(root=server, alice=newcomer(server, "alice"), bob=newcomer(server, "bob"), nobody=Person(server.server))
    server.put(f"{QUEUE}/processor/resume").ok()
    server.put(f"{QUEUE}/clear").ok()
    for board in server.boards(include_archived="true"):
        server.delete(f"/api/v1/boards/{board}").ok()


@pytest.fixture
def paused(people):
    """The same, while the queue does not run."""
    people.root.put(f"{QUEUE}/processor/pause").ok()
    return people
