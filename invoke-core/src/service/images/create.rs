//! Storing pictures: those that a session made, and those that people upload.

use std::{io::Cursor, sync::Arc};

use super::{Images, edit, embedded};
use crate::{
    authz::{Actor, BoardRights, FillsBoard, Permit, acts, authorize, authorize_global},
    domain::{
        BoardId, Error, ImageName, Result, SessionId,
        image::{ImageCategory, ImageDto, ImageOrigin},
    },
    files::{Chunks, DecodeError, EncodeOptions, decode_picture, encode_png, read_chunks, thumbnail_webp},
    repo::{boards, images as repo, users},
};

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

/// A file that somebody uploads.
pub struct Upload<'a> {
    /// The file: PNG, JPEG, WebP, GIF or BMP.
    pub bytes: &'a [u8],
    /// Its type, as the sender says.
    pub content_type: &'a str,
    /// What it is for.
    pub category: ImageCategory,
    /// A step on the way.
    pub is_intermediate: bool,
    /// The board to put it on.
    pub board_id: Option<BoardId>,
    /// The session that it belongs to.
    pub session_id: Option<SessionId>,
    /// Whether to keep only the part that shows something.
    pub crop_visible: bool,
    /// Metadata, a JSON object; anything else is dropped, and the file's own with it.
    pub metadata: Option<String>,
    /// The size to store it in: `{"width": W, "height": H}`.
    pub resize_to: Option<String>,
}

impl Images {
    /// Stores a picture for its owner: the file first, so that a record never lacks one; a file whose record could not be written is removed again.
    pub fn create(&self, actor: &Actor, picture: NewPicture) -> Result<ImageDto> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let board = match &picture.board_id {
            Some(board_id) => Some(
                self.shared
                    .db
                    .read(|tx| authorize::<acts::WriteBoard, _>(actor, boards::rights(tx, board_id)?))?,
            ),
            None => None,
        };
        self.store(actor, &leave, &picture, board.as_ref())
    }

    /// Stores an uploaded file as a PNG of its own.
    pub fn upload(&self, actor: &Actor, upload: Upload<'_>) -> Result<ImageDto> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        let board = match &upload.board_id {
            Some(board_id) => Some(
                self.shared
                    .db
                    .read(|tx| authorize::<acts::UploadToBoard, _>(actor, boards::rights(tx, board_id)?))?,
            ),
            None => None,
        };
        self.shared.maintenance.refuse_if_active()?;
        if !upload.content_type.starts_with("image") {
            return Err(Error::Unsupported("Not an image".into()));
        }
        let mut pixels = decode_picture(upload.bytes).map_err(|error| match error {
            DecodeError::TooLarge { .. } => Error::Unsupported(format!("Failed to read image: {error}")),
            _ => Error::Unsupported("Failed to read image".into()),
        })?;
        if upload.crop_visible {
            pixels = edit::crop_to_visible(pixels);
        }
        // Only PNG files carry texts; in others there is nothing to find. What is resized is another picture, and they are not about that.
        let mut file = read_chunks(&mut Cursor::new(upload.bytes)).unwrap_or_default();
        if let Some(size) = upload.resize_to.as_deref().filter(|text| !text.is_empty()) {
            file = Chunks::default();
            let size = edit::wanted_size(size).ok_or_else(|| Error::BadRequest("Invalid resize_to format or size".into()))?;
            pixels = edit::resize(&pixels, size);
        }
        let picture = NewPicture {
            pixels: Arc::new(pixels),
            origin: ImageOrigin::External,
            category: upload.category,
            is_intermediate: upload.is_intermediate,
            board_id: upload.board_id,
            session_id: upload.session_id,
            node_id: None,
            chunks: embedded::kept(upload.metadata, file),
        };
        self.store(actor, &leave, &picture, board.as_ref())
    }

    fn store<A: FillsBoard>(
        &self,
        actor: &Actor,
        leave: &Permit<acts::UseServer, ()>,
        picture: &NewPicture,
        board: Option<&Permit<A, BoardRights>>,
    ) -> Result<ImageDto> {
        let name = ImageName::parse(&format!("{}.png", self.shared.env.uuid())).expect("a UUID with an extension is an image name");
        let subfolder = self
            .shared
            .images
            .subfolder_for(&name, picture.is_intermediate, picture.category, self.shared.env.now());
        let options = EncodeOptions {
            compression: self.shared.config.pil_compress_level(),
        };
        let (png, webp) = rayon::join(
            || encode_png(&picture.pixels, &picture.chunks, options),
            || thumbnail_webp(&picture.pixels),
        );
        let png = png.map_err(|error| Error::internal("encoding a picture", error))?;
        let webp = webp.map_err(|error| Error::internal("encoding a thumbnail", error))?;
        self.shared
            .images
            .put(&name, &subfolder, &png, &webp)
            .map_err(|error| Error::internal("storing a picture", error))?;
        let now = self.shared.env.now();
        let written = self.shared.db.write(|tx| -> Result<_> {
            // A job may end after its owner is gone; its picture would be nobody's.
            if picture.node_id.is_some()
                && self.shared.config.multiuser()
                && users::identity(tx, actor.user_id())?.is_none_or(|user| !user.is_active)
            {
                return Err(Error::Forbidden("The account is inactive or gone".into()));
            }
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
            repo::insert(tx, leave, &new)?;
            if let Some(board) = board {
                boards::put_image(tx, board, &name, now)?;
            }
            authorize::<acts::ReadImage, _>(actor, repo::find(tx, &name)?)
        });
        match written {
            Ok(image) => {
                self.shared.images.confirm(&name);
                Ok(ImageDto::from(&*image))
            }
            Err(error) => {
                if let Err(fault) = self.shared.images.delete(&name, &subfolder) {
                    tracing::warn!("a picture without a record could not be removed: {fault}");
                }
                Err(error)
            }
        }
    }
}
