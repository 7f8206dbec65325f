//! Pictures.

use invoke_bindings::{PictureFile, PictureListing, Session};

use crate::{
    error::Result,
    records::{Listing, Picture, PicturePage, json, record},
};

/// Pictures.
#[derive(Debug, uniffi::Object)]
pub struct Pictures(pub(crate) Session);

#[uniffi::export]
impl Pictures {
    /// One window of a list of pictures.
    #[uniffi::method(default(offset = 0, limit = 100))]
    pub fn list(&self, listing: Listing, offset: u32, limit: u32) -> Result<PicturePage> {
        let filter = PictureListing::from(listing).read()?;
        record(
            &self
                .0
                .read(|core, actor| core.images.list(actor, &filter, offset.into(), limit.into()))?,
        )
    }

    /// The names of a whole list of pictures.
    pub fn names(&self, listing: Listing) -> Result<Vec<String>> {
        let filter = PictureListing::from(listing).read()?;
        record(&self.0.read(|core, actor| core.images.names(actor, &filter))?.image_names)
    }

    /// A picture's record.
    pub fn get(&self, name: String) -> Result<Picture> {
        record(&self.0.read(|core, actor| core.images.dto(actor, &name))?)
    }

    /// What a picture was made from, a JSON object or `null`.
    pub fn metadata(&self, name: String) -> Result<String> {
        json(&self.0.read(|core, actor| core.images.metadata(actor, &name))?)
    }

    /// A picture's file.
    pub fn read(&self, name: String) -> Result<Vec<u8>> {
        Ok(self.0.read(|core, actor| Ok(core.images.full(actor, &name)?.read_all()?))?)
    }

    /// Keeps a picture: the bytes of a PNG, JPEG, WebP, GIF or BMP file.
    #[uniffi::method(default(category = "user", board_id = None))]
    pub fn upload(&self, bytes: Vec<u8>, category: String, board_id: Option<String>) -> Result<Picture> {
        let file = PictureFile {
            category,
            board_id,
            ..PictureFile::default()
        };
        let upload = file.read(&bytes)?;
        record(&self.0.write(|core, actor| core.images.upload(actor, upload))?)
    }

    /// Deletes pictures; gives the names of those that are gone. Those that one may not change are passed over.
    pub fn delete(&self, names: Vec<String>) -> Result<Vec<String>> {
        record(&self.0.write(|core, actor| core.images.delete_many(actor, &names))?.deleted_images)
    }

    /// Marks pictures; gives the names of those that are marked now.
    pub fn star(&self, names: Vec<String>) -> Result<Vec<String>> {
        record(&self.0.write(|core, actor| core.images.star(actor, &names))?.starred_images)
    }
}
