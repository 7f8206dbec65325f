//! Pictures: their records and files.

mod change;
mod create;
mod edit;
mod embedded;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

pub use change::{Deleted, MAX_BATCH, Starred, Unstarred};
pub use create::{NewPicture, Upload};

pub(super) use change::distinct;

use super::Shared;
use crate::{
    authz::{Actor, Permit, Scope, Sealed, acts, authorize, authorize_global},
    domain::{
        Error, ImageName, Result,
        image::{Image, ImageDto},
        page::{NameList, OffsetPage},
    },
    files::{Chunks, StoredFile, read_chunks},
    repo::{
        boards,
        gallery::{self, ImageFilter, OnBoard},
        images as repo,
    },
};

/// Use of pictures.
#[derive(Clone)]
pub struct Images {
    pub(super) shared: Arc<Shared>,
}

/// The names of a list of pictures.
#[derive(Debug, Clone, Serialize)]
pub struct ImageNames {
    /// The names, in order.
    pub image_names: NameList,
    /// How many of them are marked and lead the list; 0 where marked ones do not come first.
    pub starred_count: usize,
    /// How many there are.
    pub total_count: usize,
}

/// What a list may cover: a board's pictures for whoever may see the board, the caller's own otherwise.
pub(super) fn list_scope(shared: &Shared, actor: &Actor, filter: &ImageFilter) -> Result<Scope> {
    authorize_global::<acts::UseServer>(actor)?;
    match &filter.board {
        // An administrator's list of a board that does not exist is empty.
        OnBoard::Board(board_id) if !actor.is_admin() => shared
            .db
            .read(|tx| authorize::<acts::ReadBoard, _>(actor, boards::rights(tx, board_id)?).map(|_| Scope::All)),
        _ => Ok(Scope::of(actor)),
    }
}

/// The name of a picture that somebody asked for; a text that is no name is the name of no picture.
fn named(actor: &Actor, name: &str) -> Result<ImageName> {
    ImageName::parse(name).or_else(|_| authorize::<acts::ReadImage, Image>(actor, Sealed::absent()).map(|image| image.image_name.clone()))
}

/// Whether the caller may see a picture; refuses if not.
pub(in crate::service) fn readable(shared: &Shared, actor: &Actor, name: &str) -> Result<()> {
    let name = named(actor, name)?;
    shared
        .db
        .read(|tx| authorize::<acts::ReadImage, _>(actor, repo::find(tx, &name)?).map(drop))
}

fn missing_file(error: crate::files::StoreError) -> Error {
    if error.is_absent() {
        Error::NotFound("Not Found".into())
    } else {
        Error::internal("reading a picture", error)
    }
}

impl Images {
    /// The pictures of a core.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn open(&self, actor: &Actor, name: &str) -> Result<Permit<acts::ReadImage, Image>> {
        let name = named(actor, name)?;
        self.shared.db.read(|tx| authorize(actor, repo::find(tx, &name)?))
    }

    /// A picture's record.
    pub fn dto(&self, actor: &Actor, name: impl AsRef<str>) -> Result<ImageDto> {
        self.open(actor, name.as_ref()).map(|image| ImageDto::from(&*image))
    }

    /// The records of those pictures among these that the caller may see, in this order.
    pub fn by_names(&self, actor: &Actor, names: &[String]) -> Result<Vec<ImageDto>> {
        authorize_global::<acts::UseServer>(actor)?;
        let names: Vec<ImageName> = names.iter().filter_map(|name| ImageName::parse(name).ok()).collect();
        let found = self.shared.db.read(|tx| repo::find_many(tx, &names))?;
        let readable = found
            .into_iter()
            .filter_map(|image| authorize::<acts::ReadImage, _>(actor, image).ok());
        Ok(readable.map(|image| ImageDto::from(&*image)).collect())
    }

    /// A picture's metadata, or null.
    pub fn metadata(&self, actor: &Actor, name: impl AsRef<str>) -> Result<Value> {
        let name = named(actor, name.as_ref())?;
        let text = self.shared.db.read(|tx| -> Result<_> {
            let image = authorize::<acts::ReadImage, _>(actor, repo::find(tx, &name)?)?;
            Ok(repo::metadata(tx, &image)?)
        })?;
        Ok(text.map(|text| serde_json::from_str(&text)).transpose()?.unwrap_or(Value::Null))
    }

    /// The workflow and graph embedded in a picture's file, as JSON texts.
    pub fn workflow(&self, actor: &Actor, name: impl AsRef<str>) -> Result<Value> {
        let image = self.open(actor, name.as_ref())?;
        self.shared.maintenance.refuse_if_active()?;
        let chunks = if image.has_workflow {
            let mut file = self
                .shared
                .images
                .open_full(&image.image_name, &image.image_subfolder)
                .map_err(missing_file)?;
            read_chunks(&mut file).map_err(|error| Error::internal("reading a picture's texts", error))?
        } else {
            Chunks::default()
        };
        Ok(json!({"workflow": chunks.workflow, "graph": chunks.graph}))
    }

    /// Where a picture is fetched from.
    pub fn urls(&self, actor: &Actor, name: &str) -> Result<Value> {
        match self.open(actor, name) {
            Ok(_) => {}
            // The address of a picture that does not exist tells an administrator nothing new.
            Err(Error::NotFound(_)) if actor.is_admin() => {}
            Err(error) => return Err(error),
        }
        Ok(json!({
            "image_name": name,
            "image_url": format!("api/v1/images/i/{name}/full"),
            "thumbnail_url": format!("api/v1/images/i/{name}/thumbnail"),
        }))
    }

    /// A picture's file.
    pub fn full(&self, actor: &Actor, name: impl AsRef<str>) -> Result<StoredFile> {
        let image = self.open(actor, name.as_ref())?;
        self.shared.maintenance.refuse_if_active()?;
        self.shared
            .images
            .open_full(&image.image_name, &image.image_subfolder)
            .map_err(missing_file)
    }

    /// A picture's thumbnail, WebP.
    pub fn thumbnail(&self, actor: &Actor, name: impl AsRef<str>) -> Result<StoredFile> {
        let image = self.open(actor, name.as_ref())?;
        self.shared.maintenance.refuse_if_active()?;
        self.shared
            .images
            .open_thumbnail(&image.image_name, &image.image_subfolder)
            .map_err(missing_file)
    }

    /// One window of a list of pictures; neither number may be negative.
    pub fn list(&self, actor: &Actor, filter: &ImageFilter, offset: i64, limit: i64) -> Result<OffsetPage<ImageDto>> {
        let scope = list_scope(&self.shared, actor, filter)?;
        let (items, total) = self.shared.db.read(|tx| gallery::page(tx, &scope, filter, offset, limit))?;
        Ok(OffsetPage {
            limit,
            offset,
            total,
            items: items.iter().map(ImageDto::from).collect(),
        })
    }

    /// All names of a list of pictures.
    pub fn names(&self, actor: &Actor, filter: &ImageFilter) -> Result<ImageNames> {
        let scope = list_scope(&self.shared, actor, filter)?;
        let (image_names, starred_count) = self.shared.db.read(|tx| self.shared.names.names(tx, &scope, filter))?;
        Ok(ImageNames {
            starred_count,
            total_count: image_names.len(),
            image_names,
        })
    }
}
