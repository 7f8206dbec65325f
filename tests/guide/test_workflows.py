"""The library of workflows."""

from kit import workflow
from test_accounts import refused

WORKFLOWS = "/api/v1/workflows/i"


def shared(person, name="shown"):
    made = person.workflow(name)
    person.patch(f"{WORKFLOWS}/{made}/is_public", {"is_public": True}).ok()
    return made


def document(person, made, **changes):
    return {"workflow": {**person.get(f"{WORKFLOWS}/{made}").ok()["workflow"], **changes}}


def g24_users_keep_and_load_their_own_workflows(people):
    made = people.alice.workflow("first")
    changed = document(people.alice, made, name="second")
    people.alice.patch(f"{WORKFLOWS}/{made}", changed).ok()
    assert people.alice.get(f"{WORKFLOWS}/{made}").ok()["workflow"]["name"] == "second"
    assert people.alice.workflows() == [made]
    people.alice.delete(f"{WORKFLOWS}/{made}").ok()
    assert people.alice.get(f"{WORKFLOWS}/{made}").status == 404


def g29_workflows_that_others_shared_are_used(people):
    made = shared(people.alice)
    assert made in people.bob.workflows(is_public="true")
    copy = document(people.bob, made)["workflow"]
    del copy["id"]
    people.bob.post("/api/v1/workflows/", {"workflow": copy}).ok()
    assert len(people.bob.workflows(is_public="false")) == 1


def g52_a_new_workflow_is_its_owners_alone(people):
    made = people.alice.workflow()
    assert people.alice.get(f"{WORKFLOWS}/{made}").ok()["is_public"] is False
    assert made not in people.bob.workflows() + people.bob.workflows(is_public="true")
    refused(people.bob.get(f"{WORKFLOWS}/{made}"), 403)


def g53_a_shared_workflow_stays_its_owners(people):
    made = shared(people.alice)
    taken = document(people.bob, made, name="taken")
    refused(people.bob.patch(f"{WORKFLOWS}/{made}", taken), 403)
    refused(people.bob.delete(f"{WORKFLOWS}/{made}"), 403)
    people.alice.patch(f"{WORKFLOWS}/{made}", document(people.alice, made, name="renamed")).ok()
    people.root.patch(f"{WORKFLOWS}/{made}", document(people.root, made, name="tidy")).ok()
    assert people.bob.get(f"{WORKFLOWS}/{made}").ok()["workflow"]["name"] == "tidy"
    people.root.delete(f"{WORKFLOWS}/{made}").ok()
    assert people.bob.get(f"{WORKFLOWS}/{made}").status == 404


def g54_sharing_is_switched_on_and_off(people):
    made = people.alice.workflow()
    for is_public, status in ((True, 200), (False, 403)):
        assert people.alice.patch(f"{WORKFLOWS}/{made}/is_public", {"is_public": is_public}).ok()["is_public"] is is_public
        assert people.bob.get(f"{WORKFLOWS}/{made}").status == status
    refused(people.bob.patch(f"{WORKFLOWS}/{made}/is_public", {"is_public": True}), 403)


def test_a_broken_document_is_refused(people):
    answer = people.alice.post("/api/v1/workflows/", {"workflow": workflow("x", meta={"version": "three", "category": "user"})})
    assert answer.status == 422 and answer.detail[0]["loc"] == ["body", "workflow", "meta", "version"]
