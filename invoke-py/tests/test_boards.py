"""Boards, their visibility, and pictures on them."""

import pytest

from conftest import png, refused
from invoke_py import InvalidRequest, NotFound, PermissionDenied


def board(session, visibility="private", name="board"):
    made = session.boards.create(name)["board_id"]
    session.boards.update(made, visibility=visibility)
    return made


def upload(session, **more):
    return session.images.upload(png(), **more)["image_name"]


def listed(session):
    return [b["board_id"] for b in session.boards.list()]


def g22_users_manage_boards_of_their_own(house):
    made = house.alice.boards.create("first")["board_id"]
    assert house.alice.boards.update(made, name="second", archived=True)["board_name"] == "second"
    assert listed(house.alice) == [] and len(house.alice.boards.list(include_archived=True)) == 1
    house.alice.boards.delete(made)
    refused(NotFound, house.alice.boards.get, made)


def g28_shared_and_public_boards_of_others_are_seen(house):
    seen = {board(house.alice, "shared"), board(house.alice, "public")}
    board(house.alice, "private")
    assert set(listed(house.bob)) == seen


def g31_private_things_of_others_are_closed(house):
    private = board(house.alice)
    image = upload(house.alice, board_id=private)
    refused(PermissionDenied, house.bob.boards.get, private)
    refused(PermissionDenied, house.bob.boards.update, private, name="mine")
    refused(PermissionDenied, house.bob.boards.delete, private, include_images=True)
    for closed in (house.bob.images.get, house.bob.images.read, house.bob.images.thumbnail, house.bob.images.metadata):
        refused(PermissionDenied, closed, image)
    assert house.bob.images.delete([image])["deleted_images"] == []
    assert house.alice.images.read(image).startswith(b"\x89PNG")


def g41_administrators_see_and_manage_everything(house):
    private = board(house.alice)
    image = upload(house.alice, board_id=private)
    assert listed(house.root) == [private] and house.root.images.get(image)["board_id"] == private
    assert house.root.images.star([image])["starred_images"] == [image]
    assert house.root.images.delete([image])["deleted_images"] == [image]


def g44_any_number_of_boards_with_images_and_assets(house):
    boards = [board(house.alice, name=f"b{i}") for i in range(40)]
    upload(house.alice, board_id=boards[0], category="general")
    upload(house.alice, board_id=boards[0], category="user")
    assert set(listed(house.alice)) == set(boards)
    made = house.alice.boards.get(boards[0])
    assert (made["image_count"], made["asset_count"]) == (1, 1)


def g45_a_new_board_is_private(house):
    made = house.alice.boards.create("own")
    assert made["board_visibility"] == "private" and listed(house.bob) == []
    refused(PermissionDenied, house.bob.images.names, board_id=made["board_id"])
    assert listed(house.root) == [made["board_id"]]


def g46_a_shared_board_is_seen_by_all_and_changed_by_its_owner(house):
    shared = board(house.alice, "shared")
    image, other = upload(house.alice, board_id=shared), upload(house.bob)
    assert house.bob.images.names(board_id=shared) == [image] and house.bob.images.read(image)
    refused(PermissionDenied, house.bob.boards.add_images, shared, [other])
    refused(PermissionDenied, house.bob.images.upload, png(), board_id=shared)
    refused(PermissionDenied, house.bob.boards.update, shared, name="x")
    refused(PermissionDenied, house.bob.boards.delete, shared)
    assert house.bob.boards.remove_images([image])["removed_images"] == []
    house.root.boards.update(shared, name="tidy")


def g47_a_public_board_is_filled_and_emptied_by_all(house):
    public = board(house.alice, "public")
    image, other = upload(house.alice, board_id=public), upload(house.bob)
    assert house.bob.images.move_to([other], public)["added_images"] == [other]
    assert house.bob.images.move_to([image], None)["removed_images"] == [image]
    for changes in ({"name": "x"}, {"archived": True}, {"visibility": "private"}):
        refused(PermissionDenied, house.bob.boards.update, public, **changes)
    refused(PermissionDenied, house.bob.boards.delete, public)
    assert house.alice.boards.image_names(public) == [other]


@pytest.mark.parametrize("visibility", ["private", "shared", "public"])
def g49_administrators_manage_every_board(house, visibility):
    made = board(house.alice, visibility)
    image = upload(house.root)
    assert house.root.boards.update(made, name="tidy")["board_name"] == "tidy"
    assert house.root.boards.add_images(made, [image])["added_images"] == [image]
    house.root.boards.delete(made)
    assert listed(house.alice) == []


def g69_pictures_are_seen_through_boards_alone(house):
    image = upload(house.alice)
    refused(PermissionDenied, house.bob.images.read, image)
    assert house.bob.images.list()["total"] == 0
    shown = board(house.alice, "shared")
    house.alice.boards.add_images(shown, [image])
    assert house.bob.images.read(image) == house.alice.images.read(image)
    house.alice.boards.update(shown, visibility="private")
    refused(PermissionDenied, house.bob.images.read, image)


def test_a_wrong_visibility_is_named(house):
    made = board(house.alice)
    error = refused(InvalidRequest, house.alice.boards.update, made, visibility="secret")
    assert error.field == "visibility" and "private, shared, public" in error.expected
    assert refused(InvalidRequest, house.alice.boards.list, order="size").field == "order"


def test_pictures_are_listed_marked_and_found(house):
    first, second = upload(house.alice), upload(house.alice, metadata={"positive_prompt": "a heron"})
    house.alice.images.star([first])
    assert house.alice.images.names() == [first, second]
    assert house.alice.images.list(limit=1)["items"][0]["image_name"] == first
    assert house.alice.images.names(search="heron") == [second]
    assert house.alice.images.metadata(second) == {"positive_prompt": "a heron"}
    assert house.alice.images.star([first], starred=False)["unstarred_images"] == [first]
    assert house.alice.images.thumbnail(first)[:4] == b"RIFF"
    refused(InvalidRequest, house.alice.images.upload, b"no picture")
    assert refused(InvalidRequest, house.alice.images.upload, png(), category="poster").field == "category"
