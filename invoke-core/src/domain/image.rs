//! Stored images.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{BoardId, ImageName, SessionId, UserId};
use crate::env::Timestamp;

macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value's text, in the order of declaration.
            pub const TEXTS: &'static [&'static str] = &[$($text),+];

            /// The text on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(format!("`{other}` is none of {}", Self::TEXTS.join(", "))),
                }
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum! {
    /// What an image is for. The gallery's "images" are `general`, its "assets" the rest.
    ImageCategory {
        /// A finished picture.
        General = "general",
        /// A mask.
        Mask = "mask",
        /// Input of a control model.
        Control = "control",
        /// Uploaded by a user.
        User = "user",
        /// Anything else.
        Other = "other",
    }
}

wire_enum! {
    /// Where an image came from.
    ImageOrigin {
        /// Made by the program.
        Internal = "internal",
        /// Uploaded.
        External = "external",
    }
}

/// One stored image, as the database knows it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its file name and identifier.
    pub image_name: ImageName,
    /// Who owns it.
    pub user_id: UserId,
    /// Made here or uploaded.
    pub origin: ImageOrigin,
    /// What it is for.
    pub category: ImageCategory,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// When it was stored.
    pub created_at: Timestamp,
    /// When its record last changed.
    pub updated_at: Timestamp,
    /// A step on the way to a picture, hidden from the gallery.
    pub is_intermediate: bool,
    /// The session that made it.
    pub session_id: Option<SessionId>,
    /// The execution node that made it.
    pub node_id: Option<String>,
    /// Marked by its owner.
    pub starred: bool,
    /// Whether a workflow or graph is embedded.
    pub has_workflow: bool,
    /// Folder below the image folder, empty for none.
    pub image_subfolder: String,
    /// The board it lies on.
    pub board_id: Option<BoardId>,
    /// Visibility of that board.
    pub board_visibility: Option<BoardVisibility>,
    /// Owner of that board.
    pub board_owner: Option<UserId>,
}

/// What changes about an image; what is `None` stays.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct ImageChanges {
    /// What it is for.
    #[serde(default)]
    pub image_category: Option<ImageCategory>,
    /// The session that made it.
    #[serde(default)]
    pub session_id: Option<SessionId>,
    /// A step on the way to a picture.
    #[serde(default)]
    pub is_intermediate: Option<bool>,
    /// Marked by its owner.
    #[serde(default)]
    pub starred: Option<bool>,
}

wire_enum! {
    /// Who may see a board.
    BoardVisibility {
        /// Its owner and administrators.
        Private = "private",
        /// Everybody may look.
        Shared = "shared",
        /// Everybody may look, add and take away.
        Public = "public",
    }
}

/// An image as the wire carries it.
#[derive(Debug, Clone, Serialize)]
pub struct ImageDto {
    image_name: ImageName,
    image_url: String,
    thumbnail_url: String,
    image_origin: ImageOrigin,
    image_category: ImageCategory,
    width: u32,
    height: u32,
    created_at: String,
    updated_at: String,
    deleted_at: Option<String>,
    is_intermediate: bool,
    session_id: Option<SessionId>,
    node_id: Option<String>,
    starred: bool,
    has_workflow: bool,
    image_subfolder: String,
    board_id: Option<BoardId>,
}

impl ImageDto {
    /// The image's name.
    pub fn image_name(&self) -> &ImageName {
        &self.image_name
    }
}

impl From<&Image> for ImageDto {
    fn from(image: &Image) -> Self {
        let base = format!("api/v1/images/i/{}", image.image_name);
        Self {
            image_name: image.image_name.clone(),
            image_url: format!("{base}/full"),
            thumbnail_url: format!("{base}/thumbnail"),
            image_origin: image.origin,
            image_category: image.category,
            width: image.width,
            height: image.height,
            created_at: image.created_at.sql(),
            updated_at: image.updated_at.sql(),
            deleted_at: None,
            is_intermediate: image.is_intermediate,
            session_id: image.session_id.clone(),
            node_id: image.node_id.clone(),
            starred: image.starred,
            has_workflow: image.has_workflow,
            image_subfolder: image.image_subfolder.clone(),
            board_id: image.board_id.clone(),
        }
    }
}
