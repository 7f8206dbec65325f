//! Sealed rows, and the permits that open them.

use std::{marker::PhantomData, ops::Deref};

use super::{
    Act, Action, Actor, Administers, Decision, Facts, Global, acts, decide,
    power::{Power, Powers, power},
};
use crate::domain::{
    BatchId, BoardId, Error, SessionId, UserId,
    api_key::ApiKey,
    board::Board,
    download::Download,
    image::Image,
    library::{StylePreset, SystemPrompt, Workflow},
    queue_item::QueueItem,
    user::User,
};

/// Whose a thing is, seen from an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ownership {
    /// The actor's own.
    Own,
    /// Somebody else's, but it lies on the actor's board.
    Container,
    /// Somebody else's.
    Other,
}

pub use crate::domain::image::BoardVisibility as Visibility;

/// Something that belongs to somebody.
pub trait Resource {
    /// Whose it is for this actor, and who may see it.
    fn facts(&self, actor: &Actor) -> Facts;

    /// What it is called in the record.
    fn name(&self) -> String;
}

/// Something of which everybody may know that it is there.
pub trait Outlined: Resource {
    /// What reading all of it is.
    type Reads: Act;

    /// What everybody may know of it: the rest is taken out.
    #[must_use]
    fn outline(self) -> Self;
}

/// As much of a row as somebody may see.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    /// All of it.
    Whole(T),
    /// What everybody may know.
    Outline(T),
}

impl<T> Seen<T> {
    /// What is to be seen.
    pub fn get(&self) -> &T {
        match self {
            Self::Whole(thing) | Self::Outline(thing) => thing,
        }
    }
}

/// A row nobody has been allowed to read yet; `None` when there is no such row. It knows the write that it was found in.
#[must_use]
#[derive(Debug)]
pub struct Sealed<T> {
    row: Option<T>,
    write: Powers,
}

impl<T> Sealed<T> {
    /// Seals what was found in a write, or outside.
    pub(crate) fn new(row: Option<T>, write: &Powers) -> Self {
        Self { row, write: write.clone() }
    }

    /// Seals that there is nothing.
    pub(crate) fn absent() -> Self {
        Self::new(None, &Powers::default())
    }
}

/// Proof that `A` was allowed on this `T`. [`authorize`], [`authorize_global`] and [`super::administer`] lead to one.
#[derive(Debug)]
pub struct Permit<A: Act, T> {
    thing: T,
    /// What no write has noted yet.
    power: Option<Box<Power>>,
    act: PhantomData<A>,
}

impl<A: Act> Permit<A, ()> {
    const fn of_server() -> Self {
        Self {
            thing: (),
            power: None,
            act: PhantomData,
        }
    }
}

impl<A: Administers> Permit<A, ()> {
    /// Leave for what the program does by itself: at its start, in jobs for which who asked was checked and written down, and in a write that has noted
    /// the deed.
    pub(crate) const fn of_program() -> Self {
        Self::of_server()
    }
}

impl<A: Act, T> Permit<A, T> {
    /// The power that it uses and that no write has noted yet.
    pub(crate) fn power(&self) -> Option<&Power> {
        self.power.as_deref()
    }

    pub(super) fn into_power(self) -> Option<Power> {
        self.power.map(|power| *power)
    }

    /// Takes the thing out.
    pub fn into_inner(self) -> T {
        self.thing
    }
}

impl<A: Act, T> Deref for Permit<A, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

/// Opens a sealed row for an action, or says why not.
pub fn authorize<A: Act, T: Resource>(actor: &Actor, sealed: Sealed<T>) -> Result<Permit<A, T>, Error> {
    let Some(thing) = sealed.row else {
        return Err(absent(actor, A::ACTION));
    };
    let facts = thing.facts(actor);
    match decide(actor.standing(), A::ACTION, facts) {
        Decision::Allow => {
            let used = power(actor, A::ACTION, facts, || thing.name());
            Ok(Permit {
                power: used.and_then(|power| sealed.write.note(power)).map(Box::new),
                thing,
                act: PhantomData,
            })
        }
        denied => Err(refusal(denied, A::ACTION)),
    }
}

/// Opens a sealed row of which everybody may know that it is there: whole if reading it is allowed, else as its [outline](Outlined::outline). `None` if
/// there is no such row.
pub fn outlined<T: Outlined>(actor: &Actor, sealed: Sealed<T>) -> Option<Seen<T>> {
    let thing = sealed.row?;
    Some(match decide(actor.standing(), T::Reads::ACTION, thing.facts(actor)) {
        Decision::Allow => Seen::Whole(thing),
        _ => Seen::Outline(thing.outline()),
    })
}

/// Asks for an action that concerns the server as a whole.
pub fn authorize_global<A: Global>(actor: &Actor) -> Result<Permit<A, ()>, Error> {
    allowed::<A>(actor).map(|()| Permit::of_server())
}

/// Whether an action that concerns the server as a whole is allowed; refuses if not.
pub(super) fn allowed<A: Act>(actor: &Actor) -> Result<(), Error> {
    match decide(actor.standing(), A::ACTION, Facts::FOREIGN) {
        Decision::Allow => Ok(()),
        denied => Err(refusal(denied, A::ACTION)),
    }
}

/// The one place that words a refusal.
fn refusal(decision: Decision, action: Action) -> Error {
    if decision == Decision::SignIn {
        return Error::Unauthenticated("Authentication required".into());
    }
    let text = match action {
        Action::ManageUsers | Action::ReadServer | Action::ManageModels | Action::ManageServer | Action::ManageProcessor => {
            "Admin privileges required"
        }
        Action::ManageSelf | Action::UseServer | Action::ReadModels => "Not authorized",
        Action::ReadImage => "Not authorized to access this image",
        Action::UpdateImage => "Not authorized to modify this image",
        Action::ReadBoard => "Not authorized to access this board",
        Action::WriteBoard => "Not authorized to modify this board",
        Action::MoveImage => "Not authorized to move this image",
        Action::ClearIntermediates => "Only admins can clear all intermediates",
        Action::FetchDownload => "Not authorized to access this download",
        Action::UploadToBoard => "Not authorized to upload to this board",
        Action::UpdateBoard => "Not authorized to update this board",
        Action::DeleteBoard => "Not authorized to delete this board",
        Action::ReadQueueItem => "You do not have permission to see this queue item",
        Action::CancelQueueItem => "You do not have permission to cancel this queue item",
        Action::DeleteQueueItem => "You do not have permission to delete this queue item",
        Action::RetryQueueItem => "You do not have permission to retry this queue item",
        Action::ReadWorkflow => "Not authorized to access this workflow",
        Action::OpenWorkflow | Action::UpdateWorkflow => "Not authorized to update this workflow",
        Action::DeleteWorkflow => "Not authorized to delete this workflow",
        Action::ReadStylePreset => "Not authorized to access this style preset",
        Action::UpdateStylePreset => "Not authorized to modify this style preset",
        Action::ReadSystemPrompt => "Not authorized to access this system prompt",
        Action::UpdateSystemPrompt => "Not authorized to update this system prompt",
        Action::DeleteSystemPrompt => "Not authorized to delete this system prompt",
    };
    Error::Forbidden(text.into())
}

/// The one place that words an absence.
fn absent(actor: &Actor, action: Action) -> Error {
    if actor.standing() == super::Standing::Anonymous {
        return refusal(Decision::SignIn, action);
    }
    match action {
        Action::ReadImage if actor.is_admin() => Error::NotFound("Not Found".into()),
        // Whether a foreign image exists is nobody's business, so a missing one is refused as a foreign one is.
        Action::UpdateImage | Action::MoveImage if !actor.is_admin() => refusal(Decision::Refuse, action),
        Action::ReadImage | Action::UpdateImage | Action::MoveImage => Error::NotFound("Image not found".into()),
        Action::ReadBoard | Action::WriteBoard | Action::UploadToBoard | Action::UpdateBoard | Action::DeleteBoard => {
            Error::NotFound("Board not found".into())
        }
        Action::ManageUsers | Action::ManageSelf => Error::NotFound("User not found".into()),
        Action::ReadWorkflow | Action::OpenWorkflow | Action::UpdateWorkflow | Action::DeleteWorkflow => {
            Error::NotFound("Workflow not found".into())
        }
        Action::ReadStylePreset | Action::UpdateStylePreset => Error::NotFound("Style preset not found".into()),
        Action::ReadSystemPrompt | Action::UpdateSystemPrompt | Action::DeleteSystemPrompt => {
            Error::NotFound("System prompt not found".into())
        }
        _ => Error::NotFound("Not Found".into()),
    }
}

pub(super) fn owned_by(actor: &Actor, owner: &UserId) -> Ownership {
    if actor.owns(owner) { Ownership::Own } else { Ownership::Other }
}

impl Resource for Image {
    fn facts(&self, actor: &Actor) -> Facts {
        let mut ownership = owned_by(actor, &self.user_id);
        if ownership == Ownership::Other && self.board_owner.as_ref() == Some(actor.user_id()) {
            ownership = Ownership::Container;
        }
        Facts {
            ownership,
            visibility: self.board_visibility.unwrap_or(Visibility::Private),
        }
    }

    fn name(&self) -> String {
        self.image_name.to_string()
    }
}

/// What everybody may look at once its owner shares it, and the owner alone may change.
fn library_facts(actor: &Actor, owner: &UserId, is_open: bool) -> Facts {
    Facts {
        ownership: owned_by(actor, owner),
        visibility: if is_open { Visibility::Shared } else { Visibility::Private },
    }
}

impl Resource for Workflow {
    fn facts(&self, actor: &Actor) -> Facts {
        library_facts(actor, &self.user_id, self.is_public || self.is_default())
    }

    fn name(&self) -> String {
        self.workflow_id.clone()
    }
}

impl Resource for StylePreset {
    fn facts(&self, actor: &Actor) -> Facts {
        library_facts(actor, &self.user_id, self.is_public || self.is_default())
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

impl Resource for SystemPrompt {
    fn facts(&self, actor: &Actor) -> Facts {
        library_facts(actor, &self.user_id, self.is_public)
    }

    fn name(&self) -> String {
        self.id.clone()
    }
}

impl Resource for QueueItem {
    fn facts(&self, actor: &Actor) -> Facts {
        Facts {
            ownership: owned_by(actor, &self.user_id),
            visibility: Visibility::Private,
        }
    }

    fn name(&self) -> String {
        self.item_id.to_string()
    }
}

impl Outlined for QueueItem {
    type Reads = acts::ReadQueueItem;

    /// That it exists, where, in which state, since when, on which device.
    fn outline(self) -> Self {
        const REDACTED: &str = "redacted";
        Self {
            item_id: self.item_id,
            queue_id: self.queue_id,
            status: self.status,
            status_sequence: self.status_sequence,
            device: self.device,
            created_at: self.created_at,
            updated_at: self.updated_at,
            started_at: self.started_at,
            completed_at: self.completed_at,
            user_id: UserId::new(REDACTED),
            batch_id: BatchId::new(REDACTED),
            session_id: SessionId::new(REDACTED),
            by_key: false,
            priority: 0,
            origin: None,
            destination: None,
            error_type: None,
            error_message: None,
            error_traceback: None,
            user_display_name: None,
            user_email: None,
            field_values: None,
            retried_from_item_id: None,
            workflow_call_id: None,
            parent_item_id: None,
            parent_session_id: None,
            root_item_id: None,
            workflow_call_depth: None,
        }
    }
}

impl Resource for User {
    fn facts(&self, actor: &Actor) -> Facts {
        Facts {
            ownership: owned_by(actor, &self.user_id),
            visibility: Visibility::Private,
        }
    }

    fn name(&self) -> String {
        self.user_id.to_string()
    }
}

impl Resource for ApiKey {
    fn facts(&self, actor: &Actor) -> Facts {
        Facts {
            ownership: owned_by(actor, &self.user_id),
            visibility: Visibility::Private,
        }
    }

    fn name(&self) -> String {
        self.key_id.clone()
    }
}

impl Resource for Download {
    fn facts(&self, actor: &Actor) -> Facts {
        Facts {
            ownership: owned_by(actor, &self.user_id),
            visibility: Visibility::Private,
        }
    }

    fn name(&self) -> String {
        self.item_id.clone()
    }
}

impl Resource for Board {
    fn facts(&self, actor: &Actor) -> Facts {
        Facts {
            ownership: owned_by(actor, &self.user_id),
            visibility: self.visibility,
        }
    }

    fn name(&self) -> String {
        self.board_id.to_string()
    }
}

/// What leave to use a board depends on.
#[derive(Debug, Clone)]
pub struct BoardRights {
    /// The board.
    pub board_id: BoardId,
    /// Its owner.
    pub user_id: UserId,
    /// Who may see it.
    pub visibility: Visibility,
}

impl Resource for BoardRights {
    fn facts(&self, actor: &Actor) -> Facts {
        Facts {
            ownership: owned_by(actor, &self.user_id),
            visibility: self.visibility,
        }
    }

    fn name(&self) -> String {
        self.board_id.to_string()
    }
}
