//! What callers give in plain texts and numbers, read into what the services take.

use std::{fmt::Display, str::FromStr};

use invoke_core::{
    authn::Email,
    domain::{
        BoardId, UserId,
        board::BoardOrder,
        image::{ImageCategory, ImageOrigin},
        library::Origin,
        page::Direction,
    },
    repo::{
        gallery::{ImageFilter, OnBoard},
        workflows::{Filter as WorkflowFilter, ORDERS},
    },
    service::{
        auth::{AccountChange, Content, NewAccount},
        boards,
        images::Upload,
        text_to_image::TextToImage,
        workflows::PageOf,
    },
};
use serde_json::{Map, Value};

use super::fault::{Fault, Result};

/// Reads a text of an enumeration; the error names the argument and the texts there are.
pub fn parsed<T: FromStr<Err: Display>>(name: &str, text: &str) -> Result<T> {
    text.parse().map_err(|error: T::Err| Fault::field(name, error.to_string()))
}

/// Reads an e-mail.
pub fn email(name: &str, text: &str) -> Result<Email> {
    Email::parse(text).map_err(|error| Fault::field(name, error.to_string()))
}

/// A JSON object.
pub fn object(name: &str, value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(Fault::field(name, "an object with names as keys was expected")),
    }
}

fn direction(newest_first: bool) -> Direction {
    if newest_first { Direction::Desc } else { Direction::Asc }
}

/// A new account.
pub fn account(address: &str, password: String, display_name: Option<String>, is_admin: bool) -> Result<NewAccount> {
    Ok(NewAccount {
        email: email("email", address)?,
        display_name,
        password,
        is_admin,
    })
}

/// Changes of an account; what is `None` stays.
pub fn account_change(
    address: Option<&str>,
    display_name: Option<String>,
    password: Option<String>,
    is_admin: Option<bool>,
    is_active: Option<bool>,
) -> Result<AccountChange> {
    Ok(AccountChange {
        email: address.map(|text| email("email", text)).transpose()?,
        display_name,
        password,
        is_admin,
        is_active,
    })
}

/// What becomes of what a deleted account owns: it is left, handed over to another account, or deleted.
pub fn content(transfer_to: Option<&str>, delete: bool) -> Result<Content> {
    match (transfer_to, delete) {
        (Some(_), true) => Err(Fault::field("transfer_to", "either this or delete_content was expected, not both")),
        (Some(to), false) => Ok(Content::TransferTo(UserId::new(to))),
        (None, true) => Ok(Content::Delete),
        (None, false) => Ok(Content::Leave),
    }
}

/// Which boards a list covers.
#[derive(Debug, Clone)]
pub struct BoardListing {
    /// `created_at` or `board_name`.
    pub order: String,
    /// Largest first.
    pub descending: bool,
    /// Archived ones as well.
    pub include_archived: bool,
}

impl BoardListing {
    /// In the order of a gallery.
    pub fn newest_first(include_archived: bool) -> Self {
        Self {
            order: "created_at".to_owned(),
            descending: true,
            include_archived,
        }
    }

    /// As the service takes it.
    pub fn read(&self) -> Result<boards::BoardListing> {
        Ok(boards::BoardListing {
            order: parsed::<BoardOrder>("order", &self.order)?,
            direction: direction(self.descending),
            include_archived: self.include_archived,
        })
    }
}

/// Which pictures a list covers, and in which order.
#[derive(Debug, Clone)]
pub struct PictureListing {
    /// On this board; `none` for those on no board; any if not given.
    pub board_id: Option<String>,
    /// `general`, `mask`, `control`, `user`, `other`; empty for all.
    pub categories: Vec<String>,
    /// `internal` or `external`.
    pub origin: Option<String>,
    /// Only steps on the way, or none of them.
    pub is_intermediate: Option<bool>,
    /// A text in the metadata or the date.
    pub search: Option<String>,
    /// Marked ones first.
    pub starred_first: bool,
    /// Newest first.
    pub newest_first: bool,
}

impl Default for PictureListing {
    /// All that one may see, as a gallery orders them.
    fn default() -> Self {
        Self {
            board_id: None,
            categories: Vec::new(),
            origin: None,
            is_intermediate: None,
            search: None,
            starred_first: true,
            newest_first: true,
        }
    }
}

impl PictureListing {
    /// As the service takes it.
    pub fn read(&self) -> Result<ImageFilter> {
        let categories: Result<Vec<ImageCategory>> = self.categories.iter().map(|text| parsed("categories", text)).collect();
        Ok(ImageFilter {
            origin: self
                .origin
                .as_deref()
                .map(|text| parsed::<ImageOrigin>("origin", text))
                .transpose()?,
            categories: categories?,
            is_intermediate: self.is_intermediate,
            board: match self.board_id.as_deref() {
                None => OnBoard::Any,
                Some("none") => OnBoard::None,
                Some(id) => OnBoard::Board(BoardId::new(id)),
            },
            day: None,
            search_term: self.search.clone(),
            starred_first: self.starred_first,
            direction: direction(self.newest_first),
        })
    }
}

/// Which workflows a list covers, and which window of it is wanted.
#[derive(Debug, Clone)]
pub struct WorkflowListing {
    /// `user` or `default`; both if not given.
    pub category: Option<String>,
    /// Those of everybody, or only the others.
    pub is_public: Option<bool>,
    /// A text in name, description or tags.
    pub search: Option<String>,
    /// Texts of which one at least is among the tags.
    pub tags: Vec<String>,
    /// `name`, `created_at`, `updated_at`, `opened_at` or `is_public`.
    pub order: String,
    /// Largest first.
    pub descending: bool,
    /// Number of the page, from 0.
    pub page: u32,
    /// Workflows on a page; all if not given.
    pub per_page: Option<u32>,
}

impl WorkflowListing {
    /// As the service takes it.
    pub fn read(&self) -> Result<(WorkflowFilter, PageOf)> {
        if !ORDERS.contains(&self.order.as_str()) {
            return Err(Fault::field("order", format!("`{}` is none of {}", self.order, ORDERS.join(", "))));
        }
        let category = self
            .category
            .as_deref()
            .map(|text| parsed::<Origin>("category", text))
            .transpose()?;
        let filter = WorkflowFilter {
            categories: category.into_iter().collect(),
            tags: self.tags.clone(),
            query: self.search.clone(),
            has_been_opened: None,
            is_public: self.is_public,
        };
        let page = PageOf {
            page: self.page.into(),
            per_page: self.per_page.map(i64::from),
            order: self.order.clone(),
            direction: direction(self.descending),
            callable: None,
        };
        Ok((filter, page))
    }
}

/// A picture's file that is given to be kept.
#[derive(Debug, Clone, Default)]
pub struct PictureFile {
    /// `general`, `mask`, `control`, `user` or `other`.
    pub category: String,
    /// The board to put it on.
    pub board_id: Option<String>,
    /// A step on the way.
    pub is_intermediate: bool,
    /// Metadata, a JSON object.
    pub metadata: Option<Value>,
}

impl PictureFile {
    /// As the service takes it; `bytes` are a PNG, JPEG, WebP, GIF or BMP file.
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Result<Upload<'a>> {
        let metadata = self.metadata.clone().map(|value| object("metadata", value)).transpose()?;
        Ok(Upload {
            bytes,
            // What it is shows when it is read.
            content_type: "image",
            category: parsed("category", &self.category)?,
            is_intermediate: self.is_intermediate,
            board_id: self.board_id.as_deref().map(BoardId::new),
            session_id: None,
            crop_visible: false,
            metadata: metadata.map(|map| Value::Object(map).to_string()),
            resize_to: None,
        })
    }
}

/// What to draw; what is `None` is as [`TextToImage::new`] has it.
#[derive(Debug, Clone, Default)]
pub struct PictureRequest {
    /// What to show.
    pub prompt: String,
    /// What to keep away from.
    pub negative_prompt: Option<String>,
    /// Name of an installed model.
    pub model: Option<String>,
    /// Pixels across, a multiple of 8.
    pub width: Option<u32>,
    /// Pixels down, a multiple of 8.
    pub height: Option<u32>,
    /// Steps of the sampler.
    pub steps: Option<u32>,
    /// How strongly the prompt pulls.
    pub cfg_scale: Option<f64>,
    /// Name of the sampler.
    pub scheduler: Option<String>,
    /// Seed of the noise.
    pub seed: Option<u32>,
}

impl PictureRequest {
    /// As the service takes it.
    pub fn read(self) -> Result<TextToImage> {
        let usual = TextToImage::new(self.prompt);
        if self.cfg_scale.is_some_and(|scale| !scale.is_finite()) {
            return Err(Fault::field("cfg_scale", "a finite number was expected"));
        }
        Ok(TextToImage {
            negative_prompt: self.negative_prompt.unwrap_or(usual.negative_prompt),
            model: self.model,
            width: self.width,
            height: self.height,
            steps: self.steps.unwrap_or(usual.steps),
            cfg_scale: self.cfg_scale.unwrap_or(usual.cfg_scale),
            scheduler: self.scheduler.unwrap_or(usual.scheduler),
            seed: self.seed.unwrap_or(usual.seed),
            prompt: usual.prompt,
        })
    }
}
