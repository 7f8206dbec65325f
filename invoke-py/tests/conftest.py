"""A root with an administrator, Root, and the users Alice and Bob, opened as a script opens it."""

import struct
import zlib
from pathlib import Path
from types import SimpleNamespace

import pytest

import invoke_py


def password(name):
    return f"Passw0rd-{name}"


def email(name):
    return f"{name}@example.com"


def png(width=8, height=6, color=(200, 30, 30)):
    """A PNG file of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + bytes(color) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * height)) + chunk(b"IEND", b"")


def adding(a, b, runs=1):
    """A batch of a graph that adds two numbers."""
    return {"graph": {"id": "g", "nodes": {"a": {"id": "a", "type": "add", "a": a, "b": b}}, "edges": []}, "runs": runs}


def failing():
    """A batch that fails when it runs: the picture does not exist."""
    nodes = {"a": {"id": "a", "type": "img_blur", "image": {"image_name": "nowhere.png"}}}
    return {"graph": {"id": "g", "nodes": nodes, "edges": []}}


def workflow(name, **more):
    """A workflow's document."""
    texts = {key: "" for key in ("author", "description", "contact", "tags", "notes")}
    lists = {key: [] for key in ("exposedFields", "nodes", "edges")}
    return {"name": name, "version": "1.0.0", "meta": {"version": "3.0.0", "category": "user"}, **texts, **lists, **more}


def drawn(session, prompt="a red circle on a blue background", **more):
    """A small picture of the model that ships with the program."""
    return session.text_to_image(prompt, **{"width": 64, "height": 64, "steps": 2, **more})


def refused(error, what, *arguments, **named):
    """Calls something that must be refused with this error, and gives the error."""
    with pytest.raises(error) as raised:
        what(*arguments, **named)
    return raised.value


@pytest.fixture
def path(tmp_path):
    """A root whose configuration asks for accounts with strong passwords."""
    settings = "schema_version: 4.0.3\nmultiuser: true\nstrict_password_checking: true\n"
    Path(tmp_path, "invokeai.yaml").write_text(settings, encoding="utf-8")
    return tmp_path


@pytest.fixture
def house(path):
    """The root, opened, with everybody logged in."""
    with invoke_py.open_root(path) as core:
        core.setup(email("root"), password("root"), "Root")
        root = core.login(email("root"), password("root"))
        for name in ("alice", "bob"):
            root.accounts.create(email(name), password(name), display_name=name.title())
        alice, bob = (core.login(email(name), password(name)) for name in ("alice", "bob"))
        yield SimpleNamespace(core=core, root=root, alice=alice, bob=bob, path=path)
