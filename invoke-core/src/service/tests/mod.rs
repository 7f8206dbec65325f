//! The services on a database and a store in memory, used by Alice, Bob and an administrator.

mod boards;
mod gallery;
mod image_moves;
mod images;
mod queue;

use std::sync::Arc;

use image::DynamicImage;

use super::{Door, Shared, auth::Auth, boards::Boards, gallery::Gallery, images::Images};
use crate::{
    authn::Authenticator,
    authz::Actor,
    config::{Config, Settings},
    db::Db,
    domain::{
        BoardId, Error, UserId,
        audit::Entry,
        board::BoardChanges,
        image::{BoardVisibility, ImageCategory, ImageDto, ImageOrigin},
        user::User,
    },
    env::{Env, ManualClock, SeededRng, Timestamp},
    files::{Chunks, MemoryStore},
    repo::audit::AuditFilter,
};

pub(super) struct Kit {
    pub(super) shared: Arc<Shared>,
    pub(super) clock: Arc<ManualClock>,
    pub(super) boards: Boards,
    pub(super) images: Images,
    pub(super) gallery: Gallery,
    pub(super) alice: Actor,
    pub(super) bob: Actor,
    pub(super) admin: Actor,
    _root: tempfile::TempDir,
}

pub(super) fn actor(name: &str, is_admin: bool) -> Actor {
    let at = Timestamp::from_millis(0);
    Actor::from_account(&User {
        user_id: UserId::new(name),
        email: format!("{name}@example.com"),
        display_name: None,
        is_admin,
        is_active: true,
        created_at: at,
        updated_at: at,
        last_login_at: None,
        token_epoch: 0,
    })
}

/// What services with accounts share, pictures in memory.
pub(super) fn shared(config: Arc<Config>, env: Env, db: Arc<Db>) -> Arc<Shared> {
    let authenticator = Authenticator::open(Arc::clone(&db), env.clone(), config.multiuser()).unwrap();
    let images = MemoryStore::new(Arc::clone(&config), env.clone());
    Arc::new(Shared::new(
        config,
        env,
        db,
        Arc::new(authenticator),
        Arc::new(images),
        Door::Library,
    ))
}

impl Kit {
    pub(super) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_790_000_000_000)));
        let env = Env::new(Arc::clone(&clock) as _, Arc::new(SeededRng::new(1)));
        let config = Arc::new(Config::from_settings(
            root.path(),
            Settings {
                multiuser: true,
                ..Settings::default()
            },
        ));
        let db = Arc::new(Db::in_memory(env.now()).unwrap());
        let shared = shared(config, env, db);
        Self {
            boards: Boards::new(Arc::clone(&shared)),
            images: Images::new(Arc::clone(&shared)),
            gallery: Gallery::new(Arc::clone(&shared)),
            shared,
            clock,
            alice: actor("alice", false),
            bob: actor("bob", false),
            admin: actor("admin", true),
            _root: root,
        }
    }

    /// Makes a picture a moment later than the one before.
    pub(super) fn picture(&self, owner: &Actor, board: Option<&BoardId>) -> ImageDto {
        self.picture_of(owner, board, ImageCategory::General, false)
    }

    pub(super) fn picture_of(&self, owner: &Actor, board: Option<&BoardId>, category: ImageCategory, is_intermediate: bool) -> ImageDto {
        self.clock.advance_millis(1);
        let picture = super::images::NewPicture {
            pixels: Arc::new(DynamicImage::new_rgb8(8, 6)),
            origin: ImageOrigin::Internal,
            category,
            is_intermediate,
            board_id: board.cloned(),
            session_id: None,
            node_id: None,
            chunks: Chunks {
                metadata: Some(format!("{{\"by\": \"{}\"}}", owner.user_id())),
                ..Chunks::default()
            },
        };
        self.images.create(owner, picture).unwrap()
    }

    pub(super) fn board(&self, owner: &Actor, name: &str, visibility: BoardVisibility) -> BoardId {
        self.clock.advance_millis(1);
        let board = self.boards.create(owner, name).unwrap().board_id().clone();
        let changes = BoardChanges {
            board_visibility: Some(visibility),
            ..BoardChanges::default()
        };
        self.boards.update(owner, &board, &changes).unwrap();
        board
    }
}

/// What was written down: each act, with what it was done to.
pub(super) fn written_down(shared: &Arc<Shared>) -> Vec<String> {
    let auth = Auth::open(Arc::clone(shared)).unwrap();
    let log = auth.audit_log(&Actor::local_operator(), &AuditFilter::default(), 0, 1000).unwrap();
    let text = |entry: &Entry| {
        let subject = entry.subject_id.as_ref().or(entry.detail.as_ref());
        subject.map_or_else(|| entry.act.clone(), |subject| format!("{} {subject}", entry.act))
    };
    log.items.iter().rev().map(text).collect()
}

pub(super) fn name(image: &ImageDto) -> String {
    image.image_name().to_string()
}

pub(super) fn forbidden<T>(outcome: crate::domain::Result<T>) -> bool {
    matches!(outcome, Err(Error::Forbidden(_)))
}

pub(super) fn absent<T>(outcome: crate::domain::Result<T>) -> bool {
    matches!(outcome, Err(Error::NotFound(_)))
}
