//! Pictures: their records and files.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Shared;
use crate::{
    authz::{Actor, Permit, Scope, acts, authorize, authorize_global},
    domain::{
        BoardId, Error, ImageName, Result, SessionId,
        image::{Image, ImageCategory, ImageDto, ImageOrigin},
        page::OffsetPage,
    },
    files::{Chunks, EncodeOptions, StoredFile, encode_png, read_chunks, thumbnail_webp},
    repo::{
        boards,
        images::{self as repo, ImageFilter, OnBoard},
    },
};

/// Use of pictures.
#[derive(Clone)]
pub struct Images {
    pub(crate) shared: Arc<Shared>,
}

/// A picture to be stored.
pub struct NewPicture {
    /// Its pixels.
    pub pixels: Arc<image::DynamicImage>,
    /// Made here or uploaded.
    pub origin: ImageOrigin,
    /// What it is for.
    pub category: ImageCategory,
    /// A step on the way.
    pub is_intermediate: bool,
    /// The board to put it on.
    pub board_id: Option<BoardId>,
    /// The session that made it.
    pub session_id: Option<SessionId>,
    /// The execution node that made it.
    pub node_id: Option<String>,
    /// Texts to embed: metadata, workflow, graph.
    pub chunks: Chunks,
}

impl Images {
    fn open(&self, actor: &Actor, name: &ImageName) -> Result<Permit<acts::ReadImage, Image>> {
        self.shared.db.read(|tx| authorize(actor, repo::find(tx, name)?))
    }

    /// A picture's record.
    pub fn dto(&self, actor: &Actor, name: &ImageName) -> Result<ImageDto> {
        self.open(actor, name).map(|image| ImageDto::from(&*image))
    }

    /// A picture's metadata, or null.
    pub fn metadata(&self, actor: &Actor, name: &ImageName) -> Result<Value> {
        let text = self.shared.db.read(|tx| -> Result<_> {
            let image = authorize::<acts::ReadImage, _>(actor, repo::find(tx, name)?)?;
            Ok(repo::metadata(tx, &image)?)
        })?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or(Value::Null))
    }

    /// The workflow and graph embedded in a picture's file, as JSON texts.
    pub fn workflow(&self, actor: &Actor, name: &ImageName) -> Result<Value> {
        let image = self.open(actor, name)?;
        let chunks = if image.has_workflow {
            let mut file = self.shared.images.open_full(&image.image_name, &image.image_subfolder).map_err(missing_file)?;
            read_chunks(&mut file).map_err(|error| Error::internal("reading a picture's texts", error))?
        } else {
            Chunks::default()
        };
        Ok(json!({"workflow": chunks.workflow, "graph": chunks.graph}))
    }

    /// A picture's file.
    pub fn full(&self, actor: &Actor, name: &ImageName) -> Result<StoredFile> {
        let image = self.open(actor, name)?;
        self.shared.images.open_full(&image.image_name, &image.image_subfolder).map_err(missing_file)
    }

    /// A picture's thumbnail, WebP.
    pub fn thumbnail(&self, actor: &Actor, name: &ImageName) -> Result<StoredFile> {
        let image = self.open(actor, name)?;
        self.shared.images.open_thumbnail(&image.image_name, &image.image_subfolder).map_err(missing_file)
    }

    /// What a list may cover: a board's pictures for whoever may see the board, the caller's own otherwise.
    fn scope(&self, actor: &Actor, filter: &ImageFilter) -> Result<Scope> {
        match &filter.board {
            OnBoard::Board(board_id) => {
                self.shared.db.read(|tx| authorize::<acts::ReadBoard, _>(actor, boards::rights(tx, board_id)?).map(|_| Scope::All))
            }
            OnBoard::Any | OnBoard::None => {
                authorize_global::<acts::UseServer>(actor)?;
                Ok(Scope::of(actor))
            }
        }
    }

    /// One window of a list of pictures.
    pub fn list(&self, actor: &Actor, filter: &ImageFilter, offset: i64, limit: i64) -> Result<OffsetPage<ImageDto>> {
        let scope = self.scope(actor, filter)?;
        let (items, total) = self.shared.db.read(|tx| repo::page(tx, &scope, filter, offset, limit))?;
        Ok(OffsetPage { limit, offset, total, items: items.iter().map(ImageDto::from).collect() })
    }

    /// All names of a list of pictures.
    pub fn names(&self, actor: &Actor, filter: &ImageFilter) -> Result<Value> {
        let scope = self.scope(actor, filter)?;
        let (names, starred) = self.shared.db.read(|tx| repo::names(tx, &scope, filter))?;
        Ok(json!({"total_count": names.len(), "image_names": names, "starred_count": starred}))
    }

    /// Stores a picture for its owner: the file first, so that a record never lacks one; a file whose record could not be written is removed again.
    pub fn create(&self, actor: &Actor, picture: NewPicture) -> Result<ImageDto> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let board = match &picture.board_id {
            Some(board_id) => Some(self.shared.db.read(|tx| authorize::<acts::WriteBoard, _>(actor, boards::rights(tx, board_id)?))?),
            None => None,
        };
        let name = ImageName::parse(&format!("{}.png", self.shared.env.uuid())).expect("a UUID with an extension is an image name");
        let subfolder = self.shared.images.subfolder_for(&name, picture.is_intermediate, picture.category, self.shared.env.now());
        let png = encode_png(&picture.pixels, &picture.chunks, EncodeOptions { compression: self.shared.config.pil_compress_level() })
            .map_err(|error| Error::internal("encoding a picture", error))?;
        let webp = thumbnail_webp(&picture.pixels).map_err(|error| Error::internal("encoding a thumbnail", error))?;
        self.shared.images.put(&name, &subfolder, &png, &webp).map_err(|error| Error::internal("storing a picture", error))?;
        let now = self.shared.env.now();
        let written = self.shared.db.write(|tx| -> Result<_> {
            let new = repo::NewImage {
                image_name: &name,
                user_id: actor.user_id(),
                origin: picture.origin,
                category: picture.category,
                width: picture.pixels.width(),
                height: picture.pixels.height(),
                is_intermediate: picture.is_intermediate,
                session_id: picture.session_id.as_ref(),
                node_id: picture.node_id.as_deref(),
                metadata: picture.chunks.metadata.as_deref(),
                has_workflow: picture.chunks.workflow.is_some() || picture.chunks.graph.is_some(),
                image_subfolder: &subfolder,
                now,
            };
            repo::insert(tx, &leave, &new)?;
            if let Some(board) = &board {
                boards::put_image(tx, board, &name, now)?;
            }
            authorize::<acts::ReadImage, _>(actor, repo::find(tx, &name)?)
        });
        match written {
            Ok(image) => Ok(ImageDto::from(&*image)),
            Err(error) => {
                if let Err(fault) = self.shared.images.delete(&name, &subfolder) {
                    tracing::warn!("a picture without a record could not be removed: {fault}");
                }
                Err(error)
            }
        }
    }
}

fn missing_file(error: crate::files::StoreError) -> Error {
    if error.is_absent() { Error::NotFound("Image not found".into()) } else { Error::internal("reading a picture", error) }
}
