//! Everything that can be allowed or refused, each as a value for the policy and as a type for permits.

/// An action as a type, so that a permit for one cannot serve another.
pub trait Act {
    /// The action as a value.
    const ACTION: Action;
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// An action that needs leave.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action { $($(#[$doc])* $name),+ }

        impl Action {
            /// Every action, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }
        }

        /// The actions as types.
        pub mod acts {
            use super::{Act, Action};
            $(
                $(#[$doc])*
                #[derive(Debug, Clone, Copy)]
                pub struct $name;
                impl Act for $name { const ACTION: Action = Action::$name; }
            )+
        }
    };
}

impl Action {
    /// Whether it changes something that belongs to somebody; that a thing was opened changes nothing of it.
    pub const fn changes_things(self) -> bool {
        match self {
            Self::ManageUsers
            | Self::ManageSelf
            | Self::ReadModels
            | Self::ReadServer
            | Self::ManageModels
            | Self::ManageServer
            | Self::ManageProcessor
            | Self::ClearIntermediates
            | Self::UseServer
            | Self::ReadImage
            | Self::FetchDownload
            | Self::ReadBoard
            | Self::ReadQueueItem
            | Self::ReadWorkflow
            | Self::OpenWorkflow
            | Self::ReadStylePreset
            | Self::ReadSystemPrompt => false,
            Self::UpdateImage
            | Self::MoveImage
            | Self::WriteBoard
            | Self::UploadToBoard
            | Self::UpdateBoard
            | Self::DeleteBoard
            | Self::CancelQueueItem
            | Self::DeleteQueueItem
            | Self::RetryQueueItem
            | Self::UpdateWorkflow
            | Self::DeleteWorkflow
            | Self::UpdateStylePreset
            | Self::UpdateSystemPrompt
            | Self::DeleteSystemPrompt => true,
        }
    }
}

actions! {
    /// Create, list, change and delete accounts.
    ManageUsers,
    /// See and change one's own account.
    ManageSelf,
    /// See the installed models.
    ReadModels,
    /// See what administrators alone see of the server: its configuration, log level, caches and installations.
    ReadServer,
    /// Install, change and delete models.
    ManageModels,
    /// Change the server's configuration, log level and caches.
    ManageServer,
    /// Pause and resume the queue's processor.
    ManageProcessor,
    /// Use the server: enqueue, upload, look at shared state.
    UseServer,
    /// See an image, its metadata, workflow and file.
    ReadImage,
    /// Change or delete an image.
    UpdateImage,
    /// Put an image on another board, or take it off its board, as its owner.
    MoveImage,
    /// Delete everybody's intermediate images.
    ClearIntermediates,
    /// Fetch an archive of images that was made ready.
    FetchDownload,
    /// See a board and list what is on it.
    ReadBoard,
    /// Put images on a board and take them off.
    WriteBoard,
    /// Put a new image on a board.
    UploadToBoard,
    /// Rename, archive or share a board.
    UpdateBoard,
    /// Delete a board.
    DeleteBoard,
    /// See what is in a queue item, not merely that it exists.
    ReadQueueItem,
    /// Cancel a queue item.
    CancelQueueItem,
    /// Delete a queue item.
    DeleteQueueItem,
    /// Run a queue item again.
    RetryQueueItem,
    /// See a workflow of the library.
    ReadWorkflow,
    /// Note that a workflow was opened.
    OpenWorkflow,
    /// Change or share a workflow.
    UpdateWorkflow,
    /// Delete a workflow.
    DeleteWorkflow,
    /// See a style preset.
    ReadStylePreset,
    /// Change or delete a style preset.
    UpdateStylePreset,
    /// See a system prompt.
    ReadSystemPrompt,
    /// Change a system prompt.
    UpdateSystemPrompt,
    /// Delete a system prompt.
    DeleteSystemPrompt,
}

/// Leave that suffices to put an image on a board.
pub trait FillsBoard: Act {}

impl FillsBoard for acts::WriteBoard {}
impl FillsBoard for acts::UploadToBoard {}

/// An action that concerns the server as a whole and either changes nothing, or is written down by who is asked for it.
pub trait Global: Act {}

impl Global for acts::ManageUsers {}
impl Global for acts::ReadModels {}
impl Global for acts::ReadServer {}
impl Global for acts::UseServer {}

/// An action that is for administrators alone and changes something: it is asked for as a [`super::Deed`], and written down.
pub trait Administers: Act {}

impl Administers for acts::ManageModels {}
impl Administers for acts::ManageServer {}
impl Administers for acts::ManageProcessor {}
impl Administers for acts::ClearIntermediates {}

/// Leave that suffices to read models' records.
pub trait SeesModels: Act {}

impl SeesModels for acts::ReadModels {}
impl SeesModels for acts::ManageModels {}
