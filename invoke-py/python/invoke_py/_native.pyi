"""What Python sees of the library. Records are plain dicts, as InvokeAI's HTTP interface has them."""

from collections.abc import Callable, Sequence
from os import PathLike
from types import TracebackType
from typing import Any, Literal, final

__all__ = [
    "Accounts",
    "AuthenticationError",
    "Boards",
    "ConflictError",
    "Core",
    "Events",
    "Images",
    "InternalError",
    "InvalidRequest",
    "InvokeError",
    "Models",
    "NotFound",
    "OpenError",
    "PermissionDenied",
    "Picture",
    "Queue",
    "Session",
    "Throttled",
    "Workflows",
    "open_root",
]

_Record = dict[str, Any]
_Records = list[_Record]
_Names = list[str]
_Visibility = Literal["private", "shared", "public"]
_Category = Literal["general", "mask", "control", "user", "other"]

class InvokeError(Exception):
    """Something was not done."""

    field: str | None
    """The argument that is wrong, with dots on the way down; None if it is not one alone."""
    expected: str | None
    """What was expected there."""
    retry_after: int | None
    """Seconds after which another attempt may succeed."""
    issues: list[_Record]
    """Everything that is wrong, where it is more than one thing."""

class OpenError(InvokeError):
    """The root directory cannot be opened."""

class AuthenticationError(InvokeError):
    """Nobody is signed in, or the sign-in is no longer honoured."""

class PermissionDenied(InvokeError):
    """The account may not do this."""

class NotFound(InvokeError):
    """There is no such thing, or none that the account may know of."""

class InvalidRequest(InvokeError):
    """What was given is wrong."""

class ConflictError(InvokeError):
    """It contradicts the present state."""

class Throttled(InvokeError):
    """Too many attempts; `retry_after` says in how many seconds one may succeed."""

class InternalError(InvokeError):
    """A fault of the program or of the machine."""

def open_root(path: str | PathLike[str]) -> Core:
    """Opens a root directory, which is made if it does not exist, as its `invokeai.yaml` says."""

@final
class Core:
    """An opened root directory, with its workers running. A context manager: leaving it closes it."""

    def status(self) -> _Record:
        """Whether there are accounts (`multiuser_enabled`), and whether the first is yet to be made (`setup_required`)."""

    def setup(self, email: str, password: str, display_name: str | None = None) -> _Record:
        """Makes the first administrator, once."""

    def login(self, email: str, password: str, remember_me: bool = False) -> Session:
        """Signs in; the session lasts a day, with `remember_me` a week."""

    def session(self, token: str | None = None) -> Session:
        """Goes on with a token or an API key; without one in single-user mode, where everybody is the administrator."""

    def close(self) -> None:
        """Stops the workers: a running item ends within a step and waits again."""

    def __enter__(self) -> Core: ...
    def __exit__(self, *_raised: type[BaseException] | BaseException | TracebackType | None) -> None: ...

@final
class Session:
    """Somebody who uses a root. Who that is, and with which rights, is looked up anew for every call."""

    @property
    def token(self) -> str | None:
        """The token or API key, to go on with later; None in single-user mode."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def boards(self) -> Boards: ...
    @property
    def images(self) -> Images: ...
    @property
    def models(self) -> Models: ...
    @property
    def queue(self) -> Queue: ...
    @property
    def workflows(self) -> Workflows: ...
    def me(self) -> _Record:
        """The own account."""

    def update_me(
        self, *, display_name: str | None = None, current_password: str | None = None, new_password: str | None = None
    ) -> _Record:
        """Changes the own name or password; what is None stays. A new password ends all other sessions."""

    def logout(self) -> None:
        """Ends the session."""

    def configuration(self) -> _Record:
        """The configuration in force, for administrators."""

    def change_configuration(self, changes: _Record) -> _Record:
        """Changes settings that may change while the program runs, for administrators."""

    def text_to_image(
        self,
        prompt: str,
        *,
        negative_prompt: str | None = None,
        model: str | None = None,
        width: int | None = None,
        height: int | None = None,
        steps: int | None = None,
        cfg_scale: float | None = None,
        scheduler: str | None = None,
        seed: int | None = None,
        progress: Callable[[float | None, str], object] | None = None,
    ) -> Picture:
        """Makes a picture from a prompt, and waits for it.

        `progress` is called with a share from 0 to 1, or None, and what is being done; if it raises, or on Ctrl-C, the job is canceled.
        """

    def events(self, queues: Sequence[str] | None = None, timeout: float | None = None) -> Events:
        """Events from now on, as this account may see them. The iterator ends when nothing happens for `timeout` seconds."""

@final
class Picture:
    """A picture that was made."""

    @property
    def image_name(self) -> str:
        """Its name in the gallery."""

    @property
    def png(self) -> bytes:
        """The PNG file, with prompt and settings in it."""

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the PNG file."""

@final
class Events:
    """Events from a moment on. Who does not fetch them loses the oldest: `missed` counts them."""

    @property
    def missed(self) -> int:
        """How many events were lost because they were not fetched."""

    def next(self, timeout: float | None = None) -> _Record | None:
        """The next event, a dict with its name under `event`; None if there is none within `timeout` seconds."""

    def __iter__(self) -> Events: ...
    def __next__(self) -> _Record: ...

@final
class Accounts:
    """Accounts, for administrators."""

    def list(self) -> _Records:
        """All accounts, newest first."""

    def get(self, user_id: str) -> _Record:
        """One account."""

    def create(self, email: str, password: str, *, display_name: str | None = None, is_admin: bool = False) -> _Record:
        """Makes an account."""

    def update(
        self,
        user_id: str,
        *,
        email: str | None = None,
        display_name: str | None = None,
        password: str | None = None,
        is_admin: bool | None = None,
        is_active: bool | None = None,
    ) -> _Record:
        """Changes an account; what is None stays."""

    def delete(self, user_id: str, *, transfer_to: str | None = None, delete_content: bool = False) -> None:
        """Removes an account. What it owns stays, is handed over, or is deleted."""

@final
class Boards:
    """Boards."""

    def list(
        self, *, order: Literal["created_at", "board_name"] = "created_at", descending: bool = True, include_archived: bool = False
    ) -> _Records:
        """All boards that one may see."""

    def create(self, name: str) -> _Record:
        """Makes a private board."""

    def get(self, board_id: str) -> _Record:
        """One board."""

    def update(
        self, board_id: str, *, name: str | None = None, visibility: _Visibility | None = None, archived: bool | None = None
    ) -> _Record:
        """Renames, archives or shares a board; what is None stays."""

    def delete(self, board_id: str, *, include_images: bool = False) -> _Record:
        """Deletes a board, and with `include_images` what lies on it."""

    def image_names(self, board_id: str | None = None) -> _Names:
        """Names of the pictures on a board; on None, of the own ones on no board."""

    def add_images(self, board_id: str, image_names: Sequence[str]) -> _Record:
        """Puts own pictures on a board."""

    def remove_images(self, image_names: Sequence[str]) -> _Record:
        """Takes pictures off their boards, as far as one may change those."""

@final
class Images:
    """Pictures."""

    def list(
        self,
        *,
        board_id: str | None = None,
        categories: Sequence[_Category] = ...,
        origin: Literal["internal", "external"] | None = None,
        is_intermediate: bool | None = None,
        search: str | None = None,
        starred_first: bool = True,
        newest_first: bool = True,
        offset: int = 0,
        limit: int = 100,
    ) -> _Record:
        """One window of a list of pictures: on a board, on no board (`"none"`) or anywhere."""

    def names(self, *, board_id: str | None = None, categories: Sequence[_Category] = ..., search: str | None = None) -> _Names:
        """The names of a whole list of pictures, marked ones first, then newest first."""

    def get(self, image_name: str) -> _Record:
        """A picture's record."""

    def metadata(self, image_name: str) -> _Record | None:
        """What a picture was made from, or None."""

    def read(self, image_name: str) -> bytes:
        """A picture's file."""

    def thumbnail(self, image_name: str) -> bytes:
        """A picture's thumbnail, a WebP file."""

    def upload(
        self,
        data: bytes,
        *,
        category: _Category = ...,
        board_id: str | None = None,
        is_intermediate: bool = False,
        metadata: _Record | None = None,
    ) -> _Record:
        """Keeps a picture: the bytes of a PNG, JPEG or WebP file."""

    def delete(self, image_names: Sequence[str]) -> _Record:
        """Deletes pictures; those that one may not change are passed over."""

    def star(self, image_names: Sequence[str], starred: bool = True) -> _Record:
        """Marks pictures, or takes the marks away."""

    def move_to(self, image_names: Sequence[str], board_id: str | None) -> _Record:
        """Puts pictures on a board; on None, takes them off theirs."""

@final
class Workflows:
    """The library of workflows."""

    def list(
        self,
        *,
        category: Literal["user", "default"] | None = None,
        is_public: bool | None = None,
        search: str | None = None,
        tags: Sequence[str] = ...,
        order: Literal["name", "created_at", "updated_at", "opened_at", "is_public"] = ...,
        descending: bool = False,
        page: int = 0,
        per_page: int | None = None,
    ) -> _Record:
        """One page of the library."""

    def get(self, workflow_id: str) -> _Record:
        """One workflow with its document."""

    def create(self, workflow: _Record) -> _Record:
        """Keeps a workflow."""

    def update(self, workflow: _Record) -> _Record:
        """Replaces a workflow's document; its `id` says which."""

    def share(self, workflow_id: str, is_public: bool) -> _Record:
        """Shares a workflow with everybody, or no longer."""

    def delete(self, workflow_id: str) -> None:
        """Deletes a workflow."""

@final
class Queue:
    """The generation queue."""

    def enqueue(self, batch: _Record, *, prepend: bool = False) -> _Record:
        """Enqueues a batch: `{"graph": ..., "data": ..., "runs": ...}`."""

    def status(self) -> _Record:
        """Counts over everybody's items, the own ones, and whether the processor runs."""

    def list(self, *, destination: str | None = None) -> _Records:
        """All items in the order of service; of others' only that they are there."""

    def item_ids(self) -> _Record:
        """Numbers of all items, newest first."""

    def item(self, item_id: int) -> _Record:
        """One item."""

    def current(self) -> _Record | None:
        """An item that runs, or None."""

    def wait(self, item_id: int, timeout: float | None = None) -> _Record | None:
        """Waits until an item has ended, and gives it; None if it has not within `timeout` seconds."""

    def cancel(self, item_id: int) -> _Record:
        """Cancels one item; a running one ends within a step."""

    def cancel_batches(self, batch_ids: Sequence[str]) -> _Record:
        """Cancels these batches' items."""

    def cancel_waiting(self) -> _Record:
        """Cancels all waiting items: the own ones, an administrator everybody's."""

    def retry(self, item_ids: Sequence[int]) -> _Record:
        """Runs failed and canceled items again."""

    def delete(self, item_id: int) -> None:
        """Deletes one item."""

    def prune(self) -> _Record:
        """Deletes what has ended: the own items, an administrator everybody's."""

    def pause(self) -> _Record:
        """Starts no further items, for administrators."""

    def resume(self) -> _Record:
        """Starts items again, for administrators."""

@final
class Models:
    """Models."""

    def list(self, *, base: str | None = None, model_type: str | None = None, name: str | None = None) -> _Records:
        """Installed models, by name."""

    def get(self, key: str) -> _Record:
        """One model."""

    def install(
        self, source: str | PathLike[str], *, inplace: bool = False, access_token: str | None = None, config: _Record | None = None
    ) -> _Record:
        """Asks for a path, an address or a hub's repository to be installed, for administrators; gives the job. Without `inplace` what lies on this machine is moved below the root."""

    def install_job(self, job_id: int) -> _Record:
        """One install job, for administrators."""

    def update(self, key: str, changes: _Record) -> _Record:
        """Changes what a model's record says, for administrators."""

    def delete(self, key: str) -> None:
        """Deletes a model, for administrators."""
