"""The library of workflows."""

from conftest import refused, workflow
from invoke_py import InvalidRequest, NotFound, PermissionDenied


def names(session, **more):
    return [w["name"] for w in session.workflows.list(category="user", **more)["items"]]


def g24_users_keep_workflows_of_their_own(house):
    made = house.alice.workflows.create(workflow("mine"))["workflow_id"]
    loaded = house.alice.workflows.get(made)["workflow"]
    house.alice.workflows.update({**loaded, "name": "renamed"})
    assert names(house.alice) == ["renamed"]
    house.alice.workflows.delete(made)
    refused(NotFound, house.alice.workflows.get, made)


def g29_shared_workflows_are_used_by_others(house):
    made = house.alice.workflows.create(workflow("shown"))["workflow_id"]
    house.alice.workflows.share(made, True)
    assert names(house.bob, is_public=True) == ["shown"]
    own = {**house.bob.workflows.get(made)["workflow"], "name": "copy"}
    del own["id"]
    house.bob.workflows.create(own)
    assert names(house.bob) == ["copy"]


def g52_a_new_workflow_is_its_owners_alone(house):
    made = house.alice.workflows.create(workflow("mine"))
    assert made["is_public"] is False and names(house.bob) == names(house.bob, is_public=True) == []
    refused(PermissionDenied, house.bob.workflows.get, made["workflow_id"])


def g53_a_shared_workflow_stays_its_owners(house):
    made = house.alice.workflows.create(workflow("shown"))["workflow_id"]
    house.alice.workflows.share(made, True)
    document = house.bob.workflows.get(made)["workflow"]
    refused(PermissionDenied, house.bob.workflows.update, {**document, "name": "taken"})
    refused(PermissionDenied, house.bob.workflows.delete, made)
    refused(PermissionDenied, house.bob.workflows.share, made, False)
    house.root.workflows.update({**document, "name": "tidy"})
    assert names(house.alice) == ["tidy"]
    house.root.workflows.delete(made)
    assert names(house.alice) == []


def test_what_is_wrong_with_a_document_is_named(house):
    broken = workflow("broken")
    del broken["nodes"]
    error = refused(InvalidRequest, house.alice.workflows.create, broken)
    assert error.field == "workflow.nodes" and error.expected == "Field required"
    error = refused(InvalidRequest, house.alice.workflows.create, workflow("x", meta={"version": "three", "category": "user"}))
    assert error.field == "workflow.meta.version"
    assert refused(InvalidRequest, house.alice.workflows.create, {"name": {1, 2}}).field == "workflow"
    assert refused(InvalidRequest, house.alice.workflows.list, order="size").field == "order"
