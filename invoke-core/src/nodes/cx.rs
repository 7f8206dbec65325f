//! What a running node may do besides compute.
//!
//! A node sees no users, no database and no files: it asks through [`NodeCx`], which answers under the rights of the session's owner.

use std::sync::Arc;

use image::DynamicImage;
use serde_json::Value;

use super::{DenoiseSeat, fields::ImageField, outputs::ImageOutput, workbench::Workbench};
use crate::domain::{UserId, image::ImageCategory};
pub use crate::events::Preview;

/// Why a node did not return.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// It was asked to end.
    #[error("canceled")]
    Canceled,
    /// It cannot go on.
    #[error("{error_type}: {message}")]
    Failed {
        /// Class of the error as the wire names it (`ValueError`, `ZeroDivisionError` …).
        error_type: String,
        /// Its text.
        message: String,
    },
}

impl NodeError {
    /// An error of a class.
    pub fn new(error_type: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed {
            error_type: error_type.into(),
            message: message.into(),
        }
    }

    /// An input makes no sense.
    pub fn value(message: impl Into<String>) -> Self {
        Self::new("ValueError", message)
    }

    /// Something broke on the way.
    pub fn runtime(message: impl std::fmt::Display) -> Self {
        Self::new("RuntimeError", message.to_string())
    }
}

/// The node that runs.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Its id among the executions.
    pub exec_id: String,
    /// Its id in the submitted graph.
    pub source_id: String,
    /// Whether its pictures are steps on the way.
    pub is_intermediate: bool,
    /// The board on which its pictures land.
    pub board_id: Option<String>,
    /// What is recorded with its pictures.
    pub metadata: Option<Value>,
}

impl Frame {
    /// Reads what the node's values say about its pictures.
    pub fn of(exec_id: &str, source_id: &str, node: &Value) -> Self {
        Self {
            exec_id: exec_id.to_owned(),
            source_id: source_id.to_owned(),
            is_intermediate: node["is_intermediate"].as_bool().unwrap_or(false),
            board_id: node["board"]["board_id"].as_str().map(str::to_owned),
            metadata: Some(&node["metadata"]).filter(|metadata| metadata.is_object()).cloned(),
        }
    }
}

/// A picture to be stored.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Its pixels.
    pub pixels: Arc<DynamicImage>,
    /// What it is for.
    pub category: ImageCategory,
    /// Its metadata, a JSON object.
    pub metadata: Option<Value>,
    /// The board to put it on.
    pub board: Option<String>,
}

/// A stored picture.
#[derive(Debug, Clone)]
pub struct SavedImage {
    /// Its name.
    pub image_name: String,
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

/// An installed model and where it lies.
#[derive(Debug, Clone)]
pub struct ModelOnDisk {
    /// Its record, as the wire carries it.
    pub record: Value,
    /// Its weights: an absolute path.
    pub path: std::path::PathBuf,
}

/// Which models to look for; `None` matches all.
#[derive(Debug, Clone, Copy, Default)]
pub struct ModelQuery<'a> {
    /// Name, exactly.
    pub name: Option<&'a str>,
    /// `sd-1`, `sdxl` …
    pub base: Option<&'a str>,
    /// `main`, `lora` …
    pub kind: Option<&'a str>,
}

/// What a running node may ask for and tell. Every answer is given under the rights of the session's owner.
pub trait NodeCx: Sync {
    /// The node that runs.
    fn frame(&self) -> &Frame;

    /// An error once the session was asked to end. Long work asks between its steps.
    fn check_canceled(&self) -> Result<(), NodeError>;

    /// Tells how far the node is: `percentage` from 0 to 1.
    fn progress(&self, message: &str, percentage: Option<f64>, image: Option<Preview>);

    /// Stores a picture.
    fn save_image(&self, picture: Picture) -> Result<SavedImage, NodeError>;

    /// Writes a file for people to take away into a folder below the outputs folder: `folder` is relative and may be empty, `name` is one part
    /// of a path.
    fn export_file(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), NodeError>;

    /// The pixels of a stored picture.
    fn load_image(&self, name: &str) -> Result<Arc<DynamicImage>, NodeError>;

    /// What was recorded with a stored picture.
    fn image_metadata(&self, name: &str) -> Result<Option<Value>, NodeError>;

    /// An installed model.
    fn model(&self, key: &str) -> Result<Option<ModelOnDisk>, NodeError>;

    /// The file or folder that was downloaded from `source`: an address, or a repository of Hugging Face. An error that names it and the place to put
    /// it if it is not there.
    fn downloaded(&self, source: &str) -> Result<std::path::PathBuf, NodeError>;

    /// Records of the installed models that match.
    fn find_models(&self, query: ModelQuery<'_>) -> Result<Vec<Value>, NodeError>;

    /// Positive and negative template of a style preset.
    fn style_preset(&self, id: &str) -> Result<Option<(String, String)>, NodeError>;

    /// The text of a file of the server, if the owner may read such files.
    fn text_file(&self, path: &str) -> Result<String, NodeError>;

    /// A number from the system's generator.
    fn random_u32(&self) -> u32;

    /// What the nodes of this engine share.
    fn workbench(&self) -> &Workbench;

    /// The session's owner.
    fn owner(&self) -> &UserId;

    /// A name that nothing has yet and nobody can guess.
    fn fresh_name(&self) -> String;

    /// A model begins to load (`false`) or is loaded (`true`).
    fn model_loading(&self, key: &str, part: Option<&str>, done: bool);

    /// The session's place among those that may denoise together; `None` if it runs alone.
    fn seat(&self) -> Option<&DenoiseSeat> {
        None
    }

    /// The session was canceled, and its thread goes on working for others.
    fn left(&self) {}

    /// So many jobs have been denoised together, or could not be.
    fn denoised(&self, _jobs: usize, _could: bool) {}
}

/// Stores a picture as the running node's result: on its board, with its metadata.
pub fn save(cx: &dyn NodeCx, pixels: DynamicImage) -> Result<ImageOutput, NodeError> {
    save_as(cx, pixels, ImageCategory::General)
}

/// [`save`] for a picture of another category.
pub fn save_as(cx: &dyn NodeCx, pixels: DynamicImage, category: ImageCategory) -> Result<ImageOutput, NodeError> {
    let frame = cx.frame();
    let picture = Picture {
        pixels: Arc::new(pixels),
        category,
        metadata: frame.metadata.clone(),
        board: frame.board_id.clone(),
    };
    let saved = cx.save_image(picture)?;
    Ok(ImageOutput {
        image: ImageField {
            image_name: saved.image_name,
        },
        width: i64::from(saved.width),
        height: i64::from(saved.height),
    })
}
