//! Records as other languages see them.

use invoke_bindings::{PictureListing, PictureRequest};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::error::Result;

/// A record of what a service gives. Its fields have the names that the HTTP interface has.
pub(crate) fn record<R: DeserializeOwned>(told: &impl Serialize) -> Result<R> {
    Ok(serde_json::from_value(serde_json::to_value(told)?)?)
}

/// A JSON text of what a service gives.
pub(crate) fn json(told: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(told)?)
}

/// What is to be known before anybody signs in.
#[derive(Debug, Clone, Deserialize, uniffi::Record)]
pub struct Status {
    /// Whether there are accounts.
    pub multiuser_enabled: bool,
    /// Whether the first administrator is yet to be made.
    pub setup_required: bool,
    /// Whether passwords must be strong.
    pub strict_password_checking: bool,
}

/// An account.
#[derive(Debug, Clone, Deserialize, uniffi::Record)]
pub struct Account {
    /// Identifier.
    pub user_id: String,
    /// Login name.
    pub email: String,
    /// The name other users see.
    pub display_name: Option<String>,
    /// Whether it is an administrator.
    pub is_admin: bool,
    /// Whether it may sign in.
    pub is_active: bool,
}

/// A board.
#[derive(Debug, Clone, Deserialize, uniffi::Record)]
pub struct Board {
    /// Identifier.
    pub board_id: String,
    /// Its name.
    pub board_name: String,
    /// Its owner.
    pub user_id: String,
    /// `private`, `shared` or `public`.
    pub board_visibility: String,
    /// Whether it is hidden from lists.
    pub archived: bool,
    /// Finished pictures on it.
    pub image_count: i64,
    /// Other pictures on it.
    pub asset_count: i64,
    /// The best picture on it.
    pub cover_image_name: Option<String>,
}

/// A picture's record.
#[derive(Debug, Clone, Deserialize, uniffi::Record)]
pub struct Picture {
    /// Its name.
    pub image_name: String,
    /// What it is for: `general`, `mask`, `control`, `user` or `other`.
    pub image_category: String,
    /// `internal` if made here, `external` if uploaded.
    pub image_origin: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// When it was stored, UTC.
    pub created_at: String,
    /// A step on the way to a picture.
    pub is_intermediate: bool,
    /// Whether it is marked.
    pub starred: bool,
    /// The board it lies on.
    pub board_id: Option<String>,
}

/// A window into a list of pictures.
#[derive(Debug, Clone, Deserialize, uniffi::Record)]
pub struct PicturePage {
    /// Pictures in the whole list.
    pub total: i64,
    /// Those of the window.
    pub items: Vec<Picture>,
}

/// Which pictures a list covers: everything that one may see, marked ones first, then newest first, unless something else is said.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Listing {
    /// On this board; `none` for those on no board.
    #[uniffi(default = None)]
    pub board_id: Option<String>,
    /// `general`, `mask`, `control`, `user`, `other`; empty for all.
    #[uniffi(default = [])]
    pub categories: Vec<String>,
    /// A text in the metadata or the date.
    #[uniffi(default = None)]
    pub search: Option<String>,
}

impl From<Listing> for PictureListing {
    fn from(listing: Listing) -> Self {
        Self {
            board_id: listing.board_id,
            categories: listing.categories,
            search: listing.search,
            ..Self::default()
        }
    }
}

/// What to draw; what is null is as suits most models.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Request {
    /// What to show.
    pub prompt: String,
    /// What to keep away from.
    #[uniffi(default = None)]
    pub negative_prompt: Option<String>,
    /// Name of an installed model.
    #[uniffi(default = None)]
    pub model: Option<String>,
    /// Pixels across, a multiple of 8.
    #[uniffi(default = None)]
    pub width: Option<u32>,
    /// Pixels down, a multiple of 8.
    #[uniffi(default = None)]
    pub height: Option<u32>,
    /// Steps of the sampler.
    #[uniffi(default = None)]
    pub steps: Option<u32>,
    /// How strongly the prompt pulls.
    #[uniffi(default = None)]
    pub cfg_scale: Option<f64>,
    /// Name of the sampler.
    #[uniffi(default = None)]
    pub scheduler: Option<String>,
    /// Seed of the noise.
    #[uniffi(default = None)]
    pub seed: Option<u32>,
}

impl From<Request> for PictureRequest {
    fn from(request: Request) -> Self {
        Self {
            prompt: request.prompt,
            negative_prompt: request.negative_prompt,
            model: request.model,
            width: request.width,
            height: request.height,
            steps: request.steps,
            cfg_scale: request.cfg_scale,
            scheduler: request.scheduler,
            seed: request.seed,
        }
    }
}
