//! What becomes of an account's content when the account goes.

use std::collections::HashSet;

use super::{Auth, Note, accounts::keep_an_administrator};
use crate::{
    authz::{Actor, Permit, acts, authorize},
    domain::{Error, ImageName, Result, UserId, user::User},
    files::{Staged, Victim},
    repo::{
        image_moves,
        ownership::{self, Counts},
        users,
    },
    service::covers,
};

/// How often an account's pictures are set aside before it is given up: one that runs jobs makes new ones meanwhile.
const ATTEMPTS: usize = 8;

/// What is done with what a deleted account owns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Content {
    /// It stays, for administrators to see, as InvokeAI does it.
    #[default]
    Leave,
    /// It becomes another account's.
    TransferTo(UserId),
    /// It is removed, files and all.
    Delete,
}

/// What a deletion did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deleted {
    /// How many things of each kind were handed over or removed.
    pub content: Counts,
}

impl Auth {
    /// Hands everything that an account owns to another. The account stays.
    pub fn transfer_content(&self, actor: &Actor, from: &UserId, to: &UserId) -> Result<Deleted> {
        super::not_by_key(actor)?;
        let content = self.shared.db.write(|tx| -> Result<_> {
            let from = authorize::<acts::ManageUsers, _>(actor, users::find(tx, from)?)?;
            let receiver = receiver(authorize(actor, users::find(tx, to)?), &from)?;
            let counts = ownership::transfer(tx, &from, &receiver)?;
            let note = Note {
                act: "user.content",
                subject: Some(from.user_id.as_str()),
                address: None,
                detail: Some("handed over"),
            };
            self.shared.db.enter(tx, actor.user_id(), note)?;
            Ok(counts)
        })?;
        Ok(Deleted { content })
    }

    pub(super) fn remove_account(&self, actor: &Actor, user: &User, content: &Content) -> Result<Deleted> {
        // Files are set aside first and their records removed with the account, so that a crash in between is undone or finished at the
        // next start.
        let is_deleted = *content == Content::Delete;
        let _unmoved = is_deleted.then(|| self.shared.maintenance.deleting());
        for _ in 0..ATTEMPTS {
            if let Some(deleted) = self.try_removing(actor, user, content)? {
                return Ok(deleted);
            }
        }
        Err(Error::Conflict(
            "The account makes pictures faster than they can be removed: deactivate it first, or cancel what it has in the queue".into(),
        ))
    }

    /// Removes an account; `None`, and nothing is done, if it has pictures that were not there when its files were set aside.
    fn try_removing(&self, actor: &Actor, user: &User, content: &Content) -> Result<Option<Deleted>> {
        let staged = if *content == Content::Delete {
            Some(self.set_files_aside(actor, user)?)
        } else {
            None
        };
        let mut is_complete = true;
        let written = self.shared.db.write(|tx| -> Result<_> {
            let user = authorize::<acts::ManageUsers, _>(actor, users::find(tx, &user.user_id)?)?;
            keep_an_administrator(tx, &user, false)?;
            let (mut counts, mut beside) = (Counts::new(), (Vec::new(), Vec::new()));
            match (content, &staged) {
                (Content::TransferTo(to), _) => {
                    let receiver = receiver(authorize(actor, users::find(tx, to)?), &user)?;
                    counts = ownership::transfer(tx, &user, &receiver)?;
                }
                (Content::Delete, Some(staged)) => {
                    let names: Vec<ImageName> = staged.moved.iter().map(|victim| victim.name.clone()).collect();
                    let known: HashSet<&ImageName> = names.iter().chain(&staged.failed).collect();
                    if ownership::images(tx, &user)?.iter().any(|(name, _)| !known.contains(name)) {
                        is_complete = false;
                        return Err(Error::Conflict("pictures were made meanwhile".into()));
                    }
                    beside = ownership::with_small_pictures(tx, &user)?;
                    let images = ownership::remove_images(tx, &user, &names)?;
                    counts = ownership::remove_all_but_images(tx, &user)?;
                    counts.insert(0, ("images", images));
                }
                (Content::Leave | Content::Delete, _) => {}
            }
            users::delete(tx, &user)?;
            let detail = match content {
                Content::Leave => "content left",
                Content::TransferTo(_) => "content handed over",
                Content::Delete => "content removed",
            };
            let note = Note {
                act: "user.deleted",
                subject: Some(user.user_id.as_str()),
                address: None,
                detail: Some(detail),
            };
            self.shared.db.enter(tx, actor.user_id(), note)?;
            Ok((counts, beside))
        });
        let Some(staged) = staged else {
            return written.map(|(content, _)| Some(Deleted { content }));
        };
        let images = &self.shared.images;
        match written {
            Ok((content, beside)) => {
                self.remove_small_pictures(&beside);
                for name in &staged.failed {
                    tracing::warn!("a picture of a deleted account could not be removed and stays with its record: {name}");
                }
                if let Err(error) = images.settle_delete(staged, &mut |_| false) {
                    tracing::warn!("a deleted account's pictures are set aside and will be removed at the next start: {error}");
                }
                Ok(Some(Deleted { content }))
            }
            Err(error) => {
                if let Err(fault) = images.settle_delete(staged, &mut |_| true) {
                    tracing::error!("an account's pictures are set aside and will be brought back at the next start: {fault}");
                }
                if is_complete { Err(error) } else { Ok(None) }
            }
        }
    }

    fn remove_small_pictures(&self, (workflows, presets): &(Vec<String>, Vec<String>)) {
        let (layout, preset_folder) = (&self.shared.layout, self.shared.layout.style_preset_images_dir());
        let of_workflows = workflows.iter().map(|id| covers::file(layout.workflow_thumbnails_dir(), id));
        let of_presets = presets.iter().map(|id| covers::file(&preset_folder, id));
        for file in of_workflows.chain(of_presets) {
            if let Err(error) = covers::remove(file) {
                tracing::warn!("a small picture of a deleted account could not be removed: {error}");
            }
        }
    }

    fn set_files_aside(&self, actor: &Actor, user: &User) -> Result<Staged> {
        self.shared.maintenance.refuse_if_active()?;
        let victims = self.shared.db.read(|tx| -> Result<_> {
            // Another process may be moving pictures: a server, while this is a command.
            if !image_moves::unfinished(tx)?.is_empty() {
                return Err(Error::Conflict("Image storage maintenance is active".into()));
            }
            let user = authorize::<acts::ManageUsers, _>(actor, users::find(tx, &user.user_id)?)?;
            keep_an_administrator(tx, &user, false)?;
            Ok(ownership::images(tx, &user)?)
        })?;
        let victims = victims.into_iter().map(|(name, subfolder)| Victim { name, subfolder }).collect();
        self.shared
            .images
            .stage_delete(victims)
            .map_err(|error| Error::internal("setting an account's pictures aside", error))
    }
}

/// The account that content is handed to.
fn receiver(found: Result<Permit<acts::ManageUsers, User>>, from: &User) -> Result<Permit<acts::ManageUsers, User>> {
    match found {
        Ok(to) if to.user_id == from.user_id => Err(Error::BadRequest("Content cannot be handed to the account that owns it".into())),
        Err(Error::NotFound(_)) => Err(Error::BadRequest(
            "The account that the content is to be handed to does not exist".into(),
        )),
        other => other,
    }
}
