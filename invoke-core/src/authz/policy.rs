//! The whole policy, as one match.

use super::{Action, Ownership, Standing, Visibility};

/// What the policy may know of a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub ownership: Ownership,
    /// Who may see it (for an image: the visibility of the board it lies on).
    pub visibility: Visibility,
}

impl Facts {
    /// Of what belongs to somebody else and is shared with nobody: whoever may do something there may do it everywhere.
    pub const FOREIGN: Self = Self {
        ownership: Ownership::Other,
        visibility: Visibility::Private,
    };
}

/// The policy's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Sign in first.
    SignIn,
    /// No.
    Refuse,
}

/// May someone of this standing do this to a thing of which these facts hold?
#[expect(clippy::match_same_arms, reason = "each line states one rule")]
pub fn decide(standing: Standing, action: Action, facts: Facts) -> Decision {
    use Action as A;
    use Decision::{Allow, Refuse, SignIn};
    use Ownership::{Container, Own};
    use Visibility::{Private, Public, Shared};
    match (standing, action, facts.ownership, facts.visibility) {
        // Nobody may do anything before signing in; what is open to all asks for no leave.
        (Standing::Anonymous, ..) => SignIn,
        // Administrators may do everything there is.
        (Standing::Admin, ..) => Allow,

        // Every account may use the server, see its models, and keep its own profile and keys.
        (Standing::User, A::UseServer | A::ReadModels, ..) | (Standing::User, A::ManageSelf, Own, _) => Allow,
        (Standing::User, A::ManageSelf, ..) => Refuse,
        // The rest of the server is for administrators.
        (
            Standing::User,
            A::ManageUsers | A::ReadServer | A::ManageModels | A::ManageServer | A::ManageProcessor | A::ClearIntermediates,
            ..,
        ) => Refuse,

        // Images: the owner, and whoever may see the board. A public board lets everybody change what lies on it, and the
        // owner of a board may change what others put there, though not look into what is private to them.
        (Standing::User, A::ReadImage, Own, _) | (Standing::User, A::ReadImage, _, Shared | Public) => Allow,
        (Standing::User, A::UpdateImage, Own | Container, _) | (Standing::User, A::UpdateImage, _, Public) => Allow,
        // What lies where is the choice of the image's owner.
        (Standing::User, A::MoveImage, Own, _) => Allow,
        (Standing::User, A::ReadImage | A::UpdateImage | A::MoveImage, ..) => Refuse,
        // An archive may hold private images, so it is for whoever asked for it.
        (Standing::User, A::FetchDownload, Own, _) => Allow,
        (Standing::User, A::FetchDownload, ..) => Refuse,

        // Boards: private to the owner, shared to look at, public to fill; the structure is always the owner's.
        (Standing::User, A::ReadBoard | A::WriteBoard | A::UploadToBoard | A::UpdateBoard | A::DeleteBoard, Own, _) => Allow,
        (Standing::User, A::ReadBoard, _, Shared | Public) => Allow,
        (Standing::User, A::WriteBoard | A::UploadToBoard, _, Public) => Allow,
        (
            Standing::User,
            A::ReadBoard | A::WriteBoard | A::UploadToBoard | A::UpdateBoard | A::DeleteBoard,
            _,
            Private | Shared | Public,
        ) => Refuse,

        // The library: everybody looks at what its owner shares and at what ships with the program; the owner alone changes it.
        (
            Standing::User,
            A::ReadWorkflow
            | A::OpenWorkflow
            | A::UpdateWorkflow
            | A::DeleteWorkflow
            | A::ReadStylePreset
            | A::UpdateStylePreset
            | A::ReadSystemPrompt
            | A::UpdateSystemPrompt
            | A::DeleteSystemPrompt,
            Own,
            _,
        ) => Allow,
        (Standing::User, A::ReadWorkflow | A::ReadStylePreset | A::ReadSystemPrompt, _, Shared | Public) => Allow,
        (
            Standing::User,
            A::ReadWorkflow
            | A::OpenWorkflow
            | A::UpdateWorkflow
            | A::DeleteWorkflow
            | A::ReadStylePreset
            | A::UpdateStylePreset
            | A::ReadSystemPrompt
            | A::UpdateSystemPrompt
            | A::DeleteSystemPrompt,
            ..,
        ) => Refuse,

        // Queue items: everybody sees that they exist; what is in them, and their fate, is the owner's.
        (Standing::User, A::ReadQueueItem | A::CancelQueueItem | A::DeleteQueueItem | A::RetryQueueItem, Own, _) => Allow,
        (Standing::User, A::ReadQueueItem | A::CancelQueueItem | A::DeleteQueueItem | A::RetryQueueItem, ..) => Refuse,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn matrix() -> String {
        let mut text =
            String::from("action | standing | own / container / other, each private-shared-public (A allow, R refuse, S sign in)\n");
        for &action in Action::ALL {
            for &standing in Standing::ALL {
                let _ = write!(text, "{action:?} | {standing:?} |");
                for ownership in [Ownership::Own, Ownership::Container, Ownership::Other] {
                    let cells: String = [Visibility::Private, Visibility::Shared, Visibility::Public]
                        .into_iter()
                        .map(|visibility| match decide(standing, action, Facts { ownership, visibility }) {
                            Decision::Allow => 'A',
                            Decision::Refuse => 'R',
                            Decision::SignIn => 'S',
                        })
                        .collect();
                    let _ = write!(text, " {cells}");
                }
                text.push('\n');
            }
        }
        text
    }

    /// The matrix is kept as a text that a person can read; a change of policy shows up there as a change of letters.
    #[test]
    fn matrix_is_the_golden_one() {
        assert_eq!(
            matrix(),
            include_str!("policy_matrix.txt"),
            "policy changed; the matrix now is:\n{}",
            matrix()
        );
    }

    #[test]
    fn nobody_is_refused_nothing_silently() {
        for &action in Action::ALL {
            let facts = Facts {
                ownership: Ownership::Own,
                visibility: Visibility::Public,
            };
            assert_eq!(decide(Standing::Anonymous, action, facts), Decision::SignIn);
        }
    }
}
