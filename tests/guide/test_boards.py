"""Boards, pictures, and who sees them."""

import pytest

from test_accounts import refused

BOARDS = "/api/v1/boards"


def puts(person, board, *images):
    return person.post("/api/v1/board_images/batch", {"board_id": board, "image_names": list(images)})


def takes(person, *images):
    return person.post("/api/v1/board_images/batch/delete", {"image_names": list(images)})


def on(person, board):
    return person.get(f"{BOARDS}/{board}/image_names").ok()


def g22_users_manage_their_own_boards(people):
    alice = people.alice
    board = alice.board()
    assert alice.patch(f"{BOARDS}/{board}", {"board_name": "Circles"}).ok()["board_name"] == "Circles"
    alice.delete(f"{BOARDS}/{board}").ok()
    assert alice.get(f"{BOARDS}/{board}").status == 404 and alice.boards() == []


def g28_shared_and_public_boards_of_others_are_seen(people):
    seen = {people.alice.board("shared"), people.alice.board("public")}
    people.alice.board()
    assert set(people.bob.boards()) == seen


def g31_private_things_of_others_are_closed(people):
    alice, bob = people.alice, people.bob
    board, workflow = alice.board(), alice.workflow()
    image = alice.image(board_id=board)
    for path in (
        f"{BOARDS}/{board}", f"/api/v1/images/i/{image}", f"/api/v1/images/i/{image}/full", f"/api/v1/images/i/{image}/metadata",
        f"/api/v1/workflows/i/{workflow}",
    ):
        refused(bob.get(path), 403)
        assert alice.get(path).status == 200, path
    refused(bob.patch(f"/api/v1/images/i/{image}", {"starred": True}), 403)
    refused(bob.delete(f"/api/v1/images/i/{image}"), 403)
    refused(bob.patch(f"{BOARDS}/{board}", {"board_name": "mine"}), 403)
    refused(bob.delete(f"{BOARDS}/{board}"), 403)
    refused(bob.delete(f"/api/v1/workflows/i/{workflow}"), 403)


def g44_any_number_of_boards_with_images_and_assets(people):
    boards = {people.alice.board(name=f"b{i}") for i in range(30)}
    assert set(people.alice.boards()) == boards
    board = boards.pop()
    people.alice.image(board_id=board, category="general")
    people.alice.image(board_id=board, category="user")
    seen = people.alice.get(f"{BOARDS}/{board}").ok()
    assert (seen["image_count"], seen["asset_count"]) == (1, 1)


def g45_a_new_board_is_private(people):
    board = people.alice.board()
    assert people.alice.get(f"{BOARDS}/{board}").ok()["board_visibility"] == "private"
    assert board not in people.bob.boards() and board in people.root.boards()
    refused(people.bob.get(f"{BOARDS}/{board}/image_names"), 403)
    refused(people.bob.upload(board_id=board), 403)


def g46_a_shared_board_is_seen_by_all_and_changed_by_its_owner(people):
    alice, bob = people.alice, people.bob
    board = alice.board("shared")
    image, other = alice.image(board_id=board), bob.image()
    assert on(bob, board) == [image] and bob.get(f"/api/v1/images/i/{image}/full").status == 200
    for change in ({"board_name": "x"}, {"archived": True}, {"board_visibility": "public"}):
        refused(bob.patch(f"{BOARDS}/{board}", change), 403)
    refused(bob.delete(f"{BOARDS}/{board}"), 403)
    refused(puts(bob, board, other), 403)
    takes(bob, image)
    assert on(alice, board) == [image]
    people.root.patch(f"{BOARDS}/{board}", {"board_name": "tidy"}).ok()
    puts(alice, board, alice.image()).ok()
    assert len(on(bob, board)) == 2


def g47_a_public_board_is_filled_and_emptied_by_all(people):
    alice, bob = people.alice, people.bob
    board = alice.board("public")
    image, other = alice.image(board_id=board), bob.image()
    assert puts(bob, board, other).ok()["added_images"] == [other]
    assert takes(bob, image).ok()["removed_images"] == [image]
    assert on(alice, board) == [other]
    for change in ({"board_name": "x"}, {"archived": True}, {"board_visibility": "private"}):
        refused(bob.patch(f"{BOARDS}/{board}", change), 403)
    refused(bob.delete(f"{BOARDS}/{board}"), 403)
    alice.patch(f"{BOARDS}/{board}", {"archived": True}).ok()


def g48_the_visibility_of_a_board_is_changed(people):
    board = people.alice.board()
    for visibility, seen in (("shared", True), ("private", False), ("public", True), ("private", False)):
        changed = people.alice.patch(f"{BOARDS}/{board}", {"board_visibility": visibility}).ok()
        assert changed["board_visibility"] == visibility and (board in people.bob.boards()) is seen
    assert people.alice.patch(f"{BOARDS}/{board}", {"board_visibility": "secret"}).status == 422


@pytest.mark.parametrize("visibility", ["private", "shared", "public"])
def g49_administrators_manage_every_board(people, visibility):
    root, board = people.root, people.alice.board(visibility)
    image = people.alice.image(board_id=board)
    assert board in root.boards() and on(root, board) == [image]
    assert root.patch(f"{BOARDS}/{board}", {"board_name": "tidy"}).ok()["board_name"] == "tidy"
    puts(root, board, root.image()).ok()
    root.delete(f"{BOARDS}/{board}").ok()
    assert people.alice.boards() == []


def g67_archived_boards_are_hidden_until_asked_for(people):
    board = people.alice.board()
    people.alice.patch(f"{BOARDS}/{board}", {"archived": True}).ok()
    assert people.alice.boards() == [] and people.alice.boards(include_archived="true") == [board]


def g69_nobody_sees_anothers_pictures_but_through_a_board(people):
    alice, bob = people.alice, people.bob
    image = alice.image()
    full = f"/api/v1/images/i/{image}/full"
    refused(bob.get(full), 403)
    assert image not in bob.images() and people.nobody.get(full).status == 401
    for visibility, status in (("shared", 200), ("private", 403), ("public", 200)):
        board = alice.board(visibility)
        puts(alice, board, image).ok()
        assert bob.get(full).status == status, visibility
        takes(alice, image).ok()
        refused(bob.get(full), 403)
