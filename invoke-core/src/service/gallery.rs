//! The gallery: pictures as the page lists them, by board and by day. There are no videos in it, though its answers have room for them.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Shared, images::list_scope};
use crate::{
    authz::{Actor, Scope, acts, authorize_global},
    domain::{
        Result,
        image::Image,
        page::{NameList, OffsetPage},
    },
    repo::gallery::{self as repo, ImageFilter},
};

/// Use of the gallery.
#[derive(Clone)]
pub struct Gallery {
    pub(super) shared: Arc<Shared>,
}

/// The names of a list.
#[derive(Debug, Clone, Serialize)]
pub struct ItemNames {
    /// The names, in order.
    pub item_names: NameList,
    /// How many of them are marked and lead the list; 0 where marked ones do not come first.
    pub starred_count: usize,
    /// How many there are.
    pub total_count: usize,
}

/// The names of a list, each with what it is.
#[derive(Debug, Clone, Serialize)]
pub struct TypedNames {
    /// The names, in order.
    #[serde(serialize_with = "typed")]
    pub items: NameList,
    /// How many of them are marked and lead the list; 0 where marked ones do not come first.
    pub starred_count: usize,
    /// How many there are.
    pub total_count: usize,
}

#[derive(Serialize)]
struct Typed<'a> {
    kind: &'static str,
    name: &'a str,
}

fn typed<S: serde::Serializer>(names: &NameList, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(names.iter().map(|name| Typed { kind: "image", name }))
}

/// A picture as an item of the gallery.
#[derive(Debug, Clone, Serialize)]
pub struct Item(Value);

impl From<&Image> for Item {
    fn from(image: &Image) -> Self {
        let base = format!("api/v1/images/i/{}", image.image_name);
        Self(json!({
            "kind": "image",
            "name": image.image_name,
            "full_url": format!("{base}/full"),
            "thumbnail_url": format!("{base}/thumbnail"),
            "width": image.width,
            "height": image.height,
            "category": image.category,
            "starred": image.starred,
            "is_intermediate": image.is_intermediate,
            "board_id": image.board_id,
            "created_at": image.created_at.sql(),
            "duration": null,
            "fps": null,
        }))
    }
}

impl Gallery {
    /// The gallery of a core.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    fn names(&self, actor: &Actor, filter: &ImageFilter) -> Result<(NameList, usize)> {
        let scope = list_scope(&self.shared, actor, filter)?;
        Ok(self.shared.db.read(|tx| self.shared.names.names(tx, &scope, filter))?)
    }

    /// All names of a list.
    pub fn item_names(&self, actor: &Actor, filter: &ImageFilter) -> Result<ItemNames> {
        let (item_names, starred_count) = self.names(actor, filter)?;
        Ok(ItemNames {
            starred_count,
            total_count: item_names.len(),
            item_names,
        })
    }

    /// All names of a list, each with what it is.
    pub fn typed_names(&self, actor: &Actor, filter: &ImageFilter) -> Result<TypedNames> {
        let (items, starred_count) = self.names(actor, filter)?;
        Ok(TypedNames {
            starred_count,
            total_count: items.len(),
            items,
        })
    }

    /// One window of a list; neither number may be negative.
    pub fn items(&self, actor: &Actor, filter: &ImageFilter, offset: i64, limit: i64) -> Result<OffsetPage<Item>> {
        let scope = list_scope(&self.shared, actor, filter)?;
        let (items, total) = self.shared.db.read(|tx| repo::page(tx, &scope, filter, offset, limit))?;
        Ok(OffsetPage {
            limit,
            offset,
            total,
            items: items.iter().map(Item::from).collect(),
        })
    }

    /// The days on which the caller made something, the last one first, each as a board of its own; for an administrator, what everybody
    /// made.
    pub fn by_date(&self, actor: &Actor) -> Result<Vec<Value>> {
        authorize_global::<acts::UseServer>(actor)?;
        let scope = Scope::of(actor);
        self.shared.db.read(|tx| {
            let days = repo::days(tx, &scope)?;
            days.into_iter()
                .map(|day| {
                    let newest = ImageFilter {
                        day: Some(day.day.clone()),
                        is_intermediate: Some(false),
                        starred_first: false,
                        ..ImageFilter::default()
                    };
                    let cover = repo::first_name(tx, &scope, &newest)?;
                    Ok(json!({
                        "virtual_board_id": format!("by_date:{}", day.day),
                        "board_name": day.day,
                        "date": day.day,
                        "image_count": day.image_count,
                        "asset_count": day.asset_count,
                        "video_count": 0,
                        "cover_image_name": cover,
                        "cover_video_name": null,
                    }))
                })
                .collect()
        })
    }
}
