"""Accounts: who gets in, and who may do what."""

from conftest import drawn, email, password, png, refused, workflow
from invoke_py import AuthenticationError, InvalidRequest, NotFound, PermissionDenied


def g01_everybody_has_things_of_their_own(house):
    image = house.alice.images.upload(png())["image_name"]
    board = house.alice.boards.create("circles")["board_id"]
    saved = house.alice.workflows.create(workflow("mine"))["workflow_id"]
    assert house.alice.images.names() == [image] and house.bob.images.names() == []
    assert [b["board_id"] for b in house.alice.boards.list()] == [board] and house.bob.boards.list() == []
    assert [w["workflow_id"] for w in house.alice.workflows.list(category="user")["items"]] == [saved]
    assert house.bob.workflows.list(category="user")["items"] == []


def g02_an_administrator_adds_changes_and_removes_accounts(house):
    carol = house.root.accounts.create(email("carol"), password("carol"))["user_id"]
    assert house.root.accounts.update(carol, display_name="Carol")["display_name"] == "Carol"
    assert len(house.root.accounts.list()) == 4
    house.root.accounts.delete(carol)
    refused(NotFound, house.root.accounts.get, carol)


def g03_a_user_changes_the_own_profile_alone(house):
    assert house.alice.update_me(display_name="Ally")["display_name"] == "Ally"
    other = house.bob.me()["user_id"]
    refused(PermissionDenied, house.alice.accounts.update, other, display_name="Bobby")
    refused(PermissionDenied, house.alice.models.install, house.path)
    assert house.bob.me()["display_name"] == "Bob"


def g04_several_administrators_at_once(house):
    house.root.accounts.update(house.alice.me()["user_id"], is_admin=True)
    assert len(house.alice.accounts.list()) == len(house.root.accounts.list()) == 3


def g08_weak_passwords_are_refused_and_say_why(house):
    for weak, rule in (("Sh0rt", "8 characters"), ("alllower1", "uppercase"), ("ALLUPPER1", "lowercase"), ("NoDigitsHere", "numbers")):
        error = refused(InvalidRequest, house.root.accounts.create, email("weak"), weak)
        assert rule in str(error), str(error)
    assert len(house.root.accounts.list()) == 3


def g19_email_and_password_let_in(house):
    assert house.core.login(email("alice"), password("alice")).me()["email"] == email("alice")
    assert "Incorrect email or password" in str(refused(AuthenticationError, house.core.login, email("alice"), "Wr0ng-word"))
    refused(AuthenticationError, house.core.session)
    refused(AuthenticationError, house.core.session, "no token")
    assert house.core.session(house.alice.token).me() == house.alice.me()


def g20_a_user_does_all_but_administer(house):
    picture = drawn(house.alice)
    board = house.alice.boards.create("drawn")["board_id"]
    house.alice.images.move_to([picture.image_name], board)
    house.alice.workflows.create(workflow("w"))
    assert house.alice.boards.image_names(board) == [picture.image_name] and house.alice.models.list()
    for denied in (house.alice.configuration, house.alice.accounts.list, house.alice.queue.pause):
        refused(PermissionDenied, denied)


def g21_name_and_password_are_ones_own_to_change(house):
    assert house.alice.update_me(display_name="Ally")["email"] == email("alice")
    elsewhere = house.core.login(email("alice"), password("alice"))
    refused(InvalidRequest, house.alice.update_me, current_password="Wr0ng-word", new_password="Br4nd-new")
    house.alice.update_me(current_password=password("alice"), new_password="Br4nd-new")
    assert house.alice.me()["display_name"] == "Ally", "this session goes on"
    refused(AuthenticationError, elsewhere.me)
    house.core.login(email("alice"), "Br4nd-new")


def g32_accounts_are_for_administrators(house):
    accounts, bob = house.alice.accounts, house.bob.me()["user_id"]
    refused(PermissionDenied, accounts.list)
    refused(PermissionDenied, accounts.get, bob)
    refused(PermissionDenied, accounts.create, email("mallory"), password("mallory"))
    refused(PermissionDenied, accounts.update, house.alice.me()["user_id"], is_admin=True)
    refused(PermissionDenied, accounts.delete, bob)
    assert len(house.root.accounts.list()) == 3


def g33_the_configuration_is_closed_to_users(house):
    refused(PermissionDenied, house.alice.configuration)
    refused(PermissionDenied, house.alice.change_configuration, {"log_level": "debug"})


def g39_administrators_make_and_keep_accounts(house):
    made = house.root.accounts.create(email("carol"), password("carol"), display_name="Carol", is_admin=True)
    assert made["is_admin"] and made["is_active"] and house.root.accounts.get(made["user_id"]) == made
    house.root.accounts.update(made["user_id"], password="An0ther-one", is_active=False)
    refused(PermissionDenied, house.core.login, email("carol"), "An0ther-one")
    house.root.accounts.update(made["user_id"], is_active=True)
    house.core.login(email("carol"), "An0ther-one")


def g42_administrators_reach_the_configuration(house):
    assert house.root.configuration()["config"]["multiuser"] is True
    assert house.root.change_configuration({"max_queue_history": 7})["config"]["max_queue_history"] == 7
    assert house.root.configuration()["config"]["max_queue_history"] == 7


def g43_rights_are_given_and_taken_and_the_last_administrator_stays(house):
    root, alice = house.root.me()["user_id"], house.alice.me()["user_id"]
    for lost in ({"is_admin": False}, {"is_active": False}):
        assert "last administrator" in str(refused(InvalidRequest, house.root.accounts.update, root, **lost))
    refused(InvalidRequest, house.root.accounts.delete, root)
    house.root.accounts.update(alice, is_admin=True)
    house.alice.accounts.update(root, is_admin=False)
    refused(PermissionDenied, house.root.accounts.list)


def test_a_session_ends_when_its_account_does(house):
    house.root.accounts.update(house.bob.me()["user_id"], is_active=False)
    refused(AuthenticationError, house.bob.boards.list)
    house.alice.logout()
    refused(AuthenticationError, house.alice.me)


def test_content_of_a_deleted_account_is_handed_over(house):
    image = house.bob.images.upload(png())["image_name"]
    bob, alice = house.bob.me()["user_id"], house.alice.me()["user_id"]
    assert refused(InvalidRequest, house.root.accounts.delete, bob, transfer_to=alice, delete_content=True).field == "transfer_to"
    house.root.accounts.delete(bob, transfer_to=alice)
    assert house.alice.images.names() == [image]
