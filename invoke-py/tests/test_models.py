"""Models."""

import shutil
import time
from pathlib import Path

from conftest import refused
from invoke_py import NotFound, PermissionDenied

TINY = Path(__file__).parents[2] / "tests" / "models" / "invoke-tiny"


def main_model(session):
    return session.models.list(model_type="main")[0]


def g27_users_look_at_models(house):
    seen = house.alice.models.list()
    assert seen and house.alice.models.get(seen[0]["key"])["name"] == seen[0]["name"]
    assert house.alice.models.list(name="no such model") == []
    refused(NotFound, house.alice.models.get, "nowhere")


def g30_users_do_not_change_models(house):
    key = main_model(house.alice)["key"]
    refused(PermissionDenied, house.alice.models.install, TINY, inplace=True)
    refused(PermissionDenied, house.alice.models.update, key, {"description": "mine"})
    refused(PermissionDenied, house.alice.models.delete, key)
    assert main_model(house.alice)["key"] == key


def g38_administrators_install_change_and_delete_models(house, tmp_path_factory):
    source = tmp_path_factory.mktemp("models") / "tiny"
    shutil.copytree(TINY, source)
    job = house.root.models.install(source, config={"name": "tiny two"})
    end = time.monotonic() + 60
    while job["status"] not in ("completed", "error") and time.monotonic() < end:
        time.sleep(0.05)
        job = house.root.models.install_job(job["id"])
    assert job["status"] == "completed", job
    key = house.root.models.list(name="tiny two")[0]["key"]
    assert house.root.models.update(key, {"description": "small"})["description"] == "small"
    house.root.models.delete(key)
    refused(NotFound, house.alice.models.get, key)
    assert not source.exists()
