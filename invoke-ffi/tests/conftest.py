"""The generated Python binding, and a root with an administrator and the users Alice and Bob."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import invoke


def password(name):
    return f"Passw0rd-{name}"


def email(name):
    return f"{name}@example.com"


@pytest.fixture
def house(tmp_path):
    settings = "schema_version: 4.0.3\nmultiuser: true\nstrict_password_checking: true\n"
    Path(tmp_path, "invokeai.yaml").write_text(settings, encoding="utf-8")
    core = invoke.open_root(str(tmp_path))
    core.setup(email("root"), password("root"))
    root = core.login(email("root"), password("root"))
    for name in ("alice", "bob"):
        root.create_account(email(name), password(name))
    alice, bob = (core.login(email(name), password(name)) for name in ("alice", "bob"))
    yield SimpleNamespace(core=core, root=root, alice=alice, bob=bob)
    core.close()
