//! A root with an administrator and the users Alice and Bob.

use std::time::Duration;

use invoke_core::{
    Core,
    authn::{Email, Intent, Presented},
    authz::Actor,
    config::{Config, Environment, Flags},
    domain::{
        BoardId, Error, ItemId, QueueId, UserId,
        board::BoardChanges,
        image::{BoardVisibility, ImageCategory},
        page::Direction,
    },
    repo::{
        gallery::{ImageFilter, OnBoard},
        models::ModelFilter,
    },
    service::{
        auth::{Credentials, NewAccount, Setup},
        images::Upload,
        text_to_image::TextToImage,
    },
};
use serde_json::{Value, json};

pub(crate) struct House {
    pub(crate) core: Core,
    pub(crate) admin: Actor,
    pub(crate) alice: Actor,
    pub(crate) bob: Actor,
    root: tempfile::TempDir,
}

pub(crate) fn email(name: &str) -> Email {
    Email::parse(&format!("{name}@example.com")).unwrap()
}

pub(crate) fn password(name: &str) -> String {
    format!("Passw0rd-{name}")
}

pub(crate) fn queue() -> QueueId {
    QueueId::new("default")
}

pub(crate) fn account(name: &str, is_admin: bool) -> NewAccount {
    NewAccount {
        email: email(name),
        display_name: Some(name.into()),
        password: password(name),
        is_admin,
    }
}

pub(crate) fn forbidden<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::Forbidden(_)))
}

pub(crate) fn absent<T>(outcome: Result<T, Error>) -> bool {
    matches!(outcome, Err(Error::NotFound(_)))
}

/// The refusal's text.
pub(crate) fn refusal<T>(outcome: Result<T, Error>) -> String {
    outcome.err().map(|error| error.to_string()).unwrap_or_default()
}

/// A batch that adds two numbers.
pub(crate) fn adding(a: i64, b: i64) -> Value {
    json!({"graph": {"id": "g", "nodes": {"a": {"id": "a", "type": "add", "a": a, "b": b}}, "edges": []}})
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with("")
    }

    /// A new installation, with more lines in its `invokeai.yaml`.
    pub(crate) fn with(lines: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let flags = Flags {
            root: Some(root.path().to_owned()),
            ..Flags::default()
        };
        Config::load(&flags, &Environment::default()).unwrap().write_initial().unwrap();
        let file = root.path().join("invokeai.yaml");
        let first = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, format!("{first}multiuser: true\nstrict_password_checking: true\n{lines}")).unwrap();
        let core = Core::open_root(root.path()).unwrap();
        let setup = Setup {
            email: email("admin"),
            display_name: None,
            password: password("admin"),
        };
        core.auth.setup(&Actor::anonymous(), &setup).unwrap();
        let admin = logged_in(&core, "admin");
        for name in ["alice", "bob"] {
            core.auth.create_user(&admin, &account(name, false)).unwrap();
        }
        Self {
            alice: logged_in(&core, "alice"),
            bob: logged_in(&core, "bob"),
            admin,
            core,
            root,
        }
    }

    /// The same root, opened by another run of the program.
    pub(crate) fn again(self) -> Self {
        drop(self.core);
        Self {
            core: Core::open_root(self.root.path()).unwrap(),
            ..self
        }
    }

    pub(crate) fn path(&self) -> &std::path::Path {
        self.root.path()
    }

    /// The actor of a fresh login.
    pub(crate) fn log_in(&self, name: &str) -> Actor {
        logged_in(&self.core, name)
    }

    pub(crate) fn add(&self, name: &str, is_admin: bool) -> UserId {
        let made = json!(self.core.auth.create_user(&self.admin, &account(name, is_admin)).unwrap());
        UserId::new(made["user_id"].as_str().unwrap())
    }

    pub(crate) fn board(&self, owner: &Actor, visibility: BoardVisibility) -> BoardId {
        let board = self.core.boards.create(owner, "board").unwrap().board_id().clone();
        let changes = BoardChanges {
            board_visibility: Some(visibility),
            ..BoardChanges::default()
        };
        self.core.boards.update(owner, &board, &changes).unwrap();
        board
    }

    pub(crate) fn try_picture(&self, owner: &Actor, board: Option<&BoardId>, category: ImageCategory) -> Result<String, Error> {
        let mut png = std::io::Cursor::new(Vec::new());
        image::DynamicImage::new_rgb8(8, 6)
            .write_to(&mut png, image::ImageFormat::Png)
            .unwrap();
        let upload = Upload {
            bytes: png.get_ref(),
            content_type: "image/png",
            category,
            is_intermediate: false,
            board_id: board.cloned(),
            session_id: None,
            crop_visible: false,
            metadata: None,
            resize_to: None,
        };
        self.core.images.upload(owner, upload).map(|image| image.image_name().to_string())
    }

    pub(crate) fn picture(&self, owner: &Actor, board: Option<&BoardId>) -> String {
        self.try_picture(owner, board, ImageCategory::User).unwrap()
    }

    /// Names of the pictures that somebody may see: those on a board, or all.
    pub(crate) fn pictures(&self, actor: &Actor, board: Option<&BoardId>) -> Result<Vec<String>, Error> {
        let filter = ImageFilter {
            board: board.map_or(OnBoard::Any, |board| OnBoard::Board(board.clone())),
            ..ImageFilter::default()
        };
        let names = self.core.images.names(actor, &filter)?.image_names;
        Ok(names.iter().map(str::to_owned).collect())
    }

    pub(crate) fn enqueue(&self, actor: &Actor, batch: Value) -> ItemId {
        let made = self.core.queue.enqueue_batch(actor, &queue(), batch, false).unwrap();
        made["item_ids"][0].as_i64().unwrap()
    }

    /// Waits until an item has ended, a minute at most.
    pub(crate) fn ended(&self, actor: &Actor, item: ItemId) -> Value {
        let (env, start) = (self.core.env(), self.core.env().monotonic_ns());
        let in_time = || u128::from(env.monotonic_ns() - start) < Duration::from_mins(1).as_nanos();
        let item = self.core.queue.wait(actor, &queue(), item, in_time).unwrap();
        item.expect("the item ends within a minute")
    }

    pub(crate) fn item(&self, actor: &Actor, item: ItemId) -> Value {
        self.core.queue.item(actor, &queue(), item).unwrap()
    }

    /// A request for a small picture.
    pub(crate) fn request(prompt: &str, seed: u32) -> TextToImage {
        TextToImage {
            width: Some(64),
            height: Some(64),
            steps: 2,
            seed,
            ..TextToImage::new(prompt)
        }
    }

    pub(crate) fn models(&self, actor: &Actor, name: Option<&str>) -> Vec<Value> {
        let filter = ModelFilter {
            name: name.map(str::to_owned),
            ..ModelFilter::default()
        };
        self.core.models.list(actor, &filter, "name", Direction::Asc).unwrap()
    }
}

fn logged_in(core: &Core, name: &str) -> Actor {
    let credentials = Credentials {
        email: email(name),
        password: password(name),
        remember_me: false,
    };
    let token = core.auth.login(&Actor::anonymous(), &credentials, None).unwrap().token;
    core.authenticator()
        .session(Presented::Bearer(&token), Intent::Write)
        .unwrap()
        .actor
}
