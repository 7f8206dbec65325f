//! Changing and deleting pictures.

use std::collections::HashSet;

use serde::Serialize;

use super::Images;
use crate::{
    authz::{Action, Actor, Deed, Scope, Sealed, acts, administer, authorize, authorize_global},
    domain::{
        Error, ImageName, Result,
        board::AffectedBoards,
        image::{Image, ImageChanges, ImageDto},
    },
    files::Victim,
    repo::{
        gallery::{self, ImageFilter, OnBoard},
        images as repo,
    },
};

/// Pictures that one request may name.
pub const MAX_BATCH: usize = 1000;

/// What a deletion did.
#[derive(Debug, Default, Serialize)]
pub struct Deleted {
    /// Boards that the pictures lay on.
    pub affected_boards: AffectedBoards,
    /// Those that are gone.
    pub deleted_images: Vec<ImageName>,
    /// Those that could not be removed.
    pub failed_images: Vec<ImageName>,
}

/// What marking did.
#[derive(Debug, Default, Serialize)]
pub struct Starred {
    /// Boards that the pictures lie on.
    pub affected_boards: AffectedBoards,
    /// Those that are marked.
    pub starred_images: Vec<ImageName>,
    /// Always empty: all are marked, or none.
    pub failed_images: Vec<ImageName>,
}

/// What taking marks away did.
#[derive(Debug, Default, Serialize)]
pub struct Unstarred {
    /// Boards that the pictures lie on.
    pub affected_boards: AffectedBoards,
    /// Those that are not marked.
    pub unstarred_images: Vec<ImageName>,
    /// Always empty: all are changed, or none.
    pub failed_images: Vec<ImageName>,
}

/// The names among these texts, each once.
pub(in crate::service) fn distinct(names: &[String]) -> Vec<ImageName> {
    let mut seen = HashSet::new();
    names
        .iter()
        .filter_map(|name| ImageName::parse(name).ok())
        .filter(|name| seen.insert(name.clone()))
        .collect()
}

/// What one may not touch is passed over; a fault is not.
fn allowed<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(thing) => Ok(Some(thing)),
        Err(Error::Forbidden(_) | Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The name of a picture that somebody wants to change; a text that is no name is the name of no picture.
fn named(actor: &Actor, name: &str) -> Result<ImageName> {
    ImageName::parse(name).or_else(|_| authorize::<acts::UpdateImage, Image>(actor, Sealed::absent()).map(|image| image.image_name.clone()))
}

impl Images {
    /// Changes a picture's record.
    pub fn update(&self, actor: &Actor, name: &str, changes: &ImageChanges) -> Result<ImageDto> {
        let outcome = named(actor, name).and_then(|name| {
            self.shared.db.write(|tx| -> Result<_> {
                let image = authorize::<acts::UpdateImage, _>(actor, repo::find(tx, &name)?)?;
                self.shared.maintenance.refuse_if_active()?;
                repo::update(tx, &image, changes, self.shared.env.now())?;
                authorize::<acts::UpdateImage, _>(actor, repo::find(tx, &name)?)
            })
        });
        match outcome {
            Ok(image) => Ok(ImageDto::from(&*image)),
            Err(Error::NotFound(_)) => Err(Error::BadRequest("Failed to update image".into())),
            Err(error) => Err(error),
        }
    }

    fn set_starred(&self, actor: &Actor, names: &[String], starred: bool) -> Result<(AffectedBoards, Vec<ImageName>)> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared.maintenance.refuse_if_active()?;
        let (names, now) = (distinct(names), self.shared.env.now());
        let changes = ImageChanges {
            starred: Some(starred),
            ..ImageChanges::default()
        };
        self.shared.db.write(|tx| -> Result<_> {
            let (mut boards, mut done) = (AffectedBoards::default(), Vec::new());
            for sealed in repo::find_many(tx, &names)? {
                let Some(image) = allowed(authorize::<acts::UpdateImage, _>(actor, sealed))? else {
                    continue;
                };
                repo::update(tx, &image, &changes, now)?;
                boards.add(image.board_id.as_ref());
                done.push(image.image_name.clone());
            }
            Ok((boards, done))
        })
    }

    /// Marks those of the pictures that the caller may change.
    pub fn star(&self, actor: &Actor, names: &[String]) -> Result<Starred> {
        let (affected_boards, starred_images) = self.set_starred(actor, names, true)?;
        Ok(Starred {
            affected_boards,
            starred_images,
            failed_images: Vec::new(),
        })
    }

    /// Takes the marks from those of the pictures that the caller may change.
    pub fn unstar(&self, actor: &Actor, names: &[String]) -> Result<Unstarred> {
        let (affected_boards, unstarred_images) = self.set_starred(actor, names, false)?;
        Ok(Unstarred {
            affected_boards,
            unstarred_images,
            failed_images: Vec::new(),
        })
    }

    /// Deletes one picture.
    pub fn delete(&self, actor: &Actor, name: &str) -> Result<Deleted> {
        let name = named(actor, name)?;
        self.shared
            .db
            .read(|tx| authorize::<acts::UpdateImage, _>(actor, repo::find(tx, &name)?).map(drop))?;
        self.shared.maintenance.refuse_if_active()?;
        let mut deleted = Deleted::default();
        self.delete_into(actor, None, std::slice::from_ref(&name), &mut deleted)?;
        if deleted.failed_images.is_empty() {
            Ok(deleted)
        } else {
            Err(Error::internal("deleting a picture", "its files cannot be removed"))
        }
    }

    /// Deletes those of the pictures that the caller may change.
    pub fn delete_many(&self, actor: &Actor, names: &[String]) -> Result<Deleted> {
        authorize_global::<acts::UseServer>(actor)?;
        self.shared.maintenance.refuse_if_active()?;
        let mut deleted = Deleted::default();
        self.delete_into(actor, None, &distinct(names), &mut deleted)?;
        Ok(deleted)
    }

    /// Deletes the caller's pictures that are on no board; an administrator's call deletes everybody's.
    pub fn delete_uncategorized(&self, actor: &Actor) -> Result<Deleted> {
        authorize_global::<acts::UseServer>(actor)?;
        self.delete_listed(
            actor,
            None,
            &Scope::of(actor),
            &ImageFilter {
                board: OnBoard::None,
                ..ImageFilter::default()
            },
        )
    }

    /// How many intermediate pictures the caller has; for an administrator, all users together.
    pub fn intermediates(&self, actor: &Actor) -> Result<i64> {
        authorize_global::<acts::UseServer>(actor)?;
        let filter = ImageFilter {
            is_intermediate: Some(true),
            ..ImageFilter::default()
        };
        Ok(self.shared.db.read(|tx| gallery::totals(tx, &Scope::of(actor), &filter))?.all())
    }

    /// Deletes everybody's intermediate pictures, and says how many.
    pub fn clear_intermediates(&self, actor: &Actor) -> Result<usize> {
        let deed = administer::<acts::ClearIntermediates>(actor, "images.clear_intermediates")?;
        let filter = ImageFilter {
            is_intermediate: Some(true),
            ..ImageFilter::default()
        };
        Ok(self.delete_listed(actor, Some(&deed), &Scope::All, &filter)?.deleted_images.len())
    }

    /// Deletes all pictures of a list, some at a time so that nobody else has to wait for long; each time of which some are gone carries out the deed that it
    /// belongs to, if it does.
    pub(in crate::service) fn delete_listed(
        &self,
        actor: &Actor,
        deed: Option<&Deed<acts::ClearIntermediates>>,
        scope: &Scope,
        filter: &ImageFilter,
    ) -> Result<Deleted> {
        self.shared.maintenance.refuse_if_active()?;
        let mut deleted = Deleted::default();
        let (names, _) = self.shared.db.read(|tx| gallery::names(tx, scope, filter))?;
        let names: Vec<ImageName> = names.iter().filter_map(|name| ImageName::parse(name).ok()).collect();
        for some in names.chunks(MAX_BATCH) {
            self.delete_into(actor, deed, some, &mut deleted)?;
        }
        Ok(deleted)
    }

    /// Deletes those of the pictures that the caller may change: sets the files aside, deletes the records, then removes the files of
    /// those whose records are gone and brings back the others.
    fn delete_into(
        &self,
        actor: &Actor,
        deed: Option<&Deed<acts::ClearIntermediates>>,
        names: &[ImageName],
        deleted: &mut Deleted,
    ) -> Result<()> {
        let _unmoved = self.shared.maintenance.deleting();
        let mut victims = Vec::new();
        for sealed in self.shared.db.read(|tx| repo::find_many(tx, names))? {
            if let Some(image) = allowed(authorize::<acts::UpdateImage, _>(actor, sealed))? {
                victims.push(Victim {
                    name: image.image_name.clone(),
                    subfolder: image.image_subfolder.clone(),
                });
            }
        }
        if victims.is_empty() {
            return Ok(());
        }
        let staged = self
            .shared
            .images
            .stage_delete(victims)
            .map_err(|error| Error::internal("setting pictures aside", error))?;
        deleted.failed_images.extend(staged.failed.iter().cloned());
        let mut gone = HashSet::new();
        let mut boards = AffectedBoards::default();
        let mut kept = Vec::new();
        let moved: Vec<ImageName> = staged.moved.iter().map(|victim| victim.name.clone()).collect();
        let written = self.shared.db.write(|tx| -> Result<()> {
            for sealed in repo::find_many(tx, &moved)? {
                let Some(image) = allowed(authorize::<acts::UpdateImage, _>(actor, sealed))? else {
                    continue;
                };
                match repo::delete(tx, &image) {
                    Ok(()) => {
                        boards.add(image.board_id.as_ref());
                        gone.insert(image.image_name.clone());
                    }
                    // A row of another program still refers to it.
                    Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                        tracing::warn!("a picture's record cannot be deleted: {error}");
                        tx.powers().take_back(Action::UpdateImage, image.image_name.as_str());
                        kept.push(image.image_name.clone());
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(deed) = deed.filter(|_| !gone.is_empty()) {
                tx.carry_out(deed);
            }
            Ok(())
        });
        if written.is_err() {
            gone.clear();
        }
        // A picture without a record by now was deleted by somebody else meanwhile; its files need not come back either.
        let shared = &self.shared;
        let settled = shared.images.settle_delete(staged, &mut |name| {
            !gone.contains(name) && shared.db.read(|tx| repo::exists(tx, name)).unwrap_or(true)
        });
        if let Err(fault) = settled {
            tracing::error!("files of deleted pictures are left, until the next start: {fault}");
        }
        written?;
        deleted.affected_boards.merge(boards);
        deleted.deleted_images.extend(moved.into_iter().filter(|name| gone.contains(name)));
        deleted.failed_images.extend(kept);
        Ok(())
    }
}
