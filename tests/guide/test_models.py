"""Models."""

from kit import PROJECT, Server, until
from conftest import administrator, newcomer
from test_accounts import refused

MODELS = "/api/v2/models"
TINY = PROJECT / "tests/models/invoke-tiny"


def g27_users_look_at_models(people):
    seen = people.alice.get(f"{MODELS}/").ok()["models"]
    assert seen and people.alice.get(f"{MODELS}/i/{seen[0]['key']}").ok()["name"] == seen[0]["name"]


def g30_users_do_not_change_models(people):
    key = people.alice.model()["key"]
    for answer in (
        people.alice.post(f"{MODELS}/install", {}, source=str(TINY), inplace="true"),
        people.alice.patch(f"{MODELS}/i/{key}", {"description": "mine"}),
        people.alice.delete(f"{MODELS}/i/{key}"),
        people.alice.get(f"{MODELS}/scan_folder", scan_path=str(TINY)),
    ):
        refused(answer, 403, "Admin privileges required")
    assert people.alice.get(f"{MODELS}/i/{key}").status == 200


def g38_administrators_install_change_and_delete_models(tmp_path):
    with Server(tmp_path / "root") as server:
        root = administrator(server)
        alice = newcomer(root, "alice")
        job = root.post(f"{MODELS}/install", {"name": "tiny two"}, source=str(TINY), inplace="true").ok()
        done = until(lambda: over(root, job["id"]), "the end of the installation")
        assert done["status"] == "completed", done
        key = done["config_out"]["key"]
        assert alice.get(f"{MODELS}/i/{key}").ok()["name"] == "tiny two"
        assert root.patch(f"{MODELS}/i/{key}", {"description": "small"}).ok()["description"] == "small"
        assert root.delete(f"{MODELS}/i/{key}").status == 204
        assert alice.get(f"{MODELS}/i/{key}").status == 404 and TINY.is_dir()


def over(root, job):
    found = root.get(f"{MODELS}/install/{job}").ok()
    return found if found["status"] in ("completed", "error", "cancelled") else None
