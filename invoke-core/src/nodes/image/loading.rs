//! Models of pictures in memory: installed ones by their key, those that nodes fetch by their address.

use std::{path::Path, sync::Arc};

use crate::{
    models::{PartKey, size_of},
    nodes::{NodeCx, NodeError, fields::ModelIdentifierField},
};

/// A model that `load` makes of a file and tells the bytes of.
fn kept<T: Send + Sync + 'static>(
    cx: &dyn NodeCx,
    key: PartKey,
    path: &Path,
    load: impl FnOnce(&Path) -> Result<(T, u64), NodeError>,
) -> Result<Arc<T>, NodeError> {
    cx.check_canceled()?;
    let bench = cx.workbench();
    let expected = bench.footprint(size_of(path).unwrap_or(0), 0);
    bench.cache.get_or_load(key, expected, || {
        let (model, bytes) = load(path)?;
        Ok((model, bench.footprint(bytes, 0)))
    })
}

/// An installed model.
pub(super) fn installed<T: Send + Sync + 'static>(
    cx: &dyn NodeCx,
    model: &ModelIdentifierField,
    part: &'static str,
    load: impl FnOnce(&Path) -> Result<(T, u64), NodeError>,
) -> Result<Arc<T>, NodeError> {
    let found = cx
        .model(&model.key)?
        .ok_or_else(|| NodeError::new("UnknownModelException", format!("Unknown model: {}", model.key)))?;
    let key = PartKey {
        model: model.key.clone(),
        part,
        variant: format!("{:?}", cx.workbench().dtype()),
    };
    kept(cx, key, &found.path, |path| {
        cx.model_loading(&model.key, None, false);
        cx.progress(&format!("Loading model {}", model.name), None, None);
        let loaded = load(path)?;
        cx.model_loading(&model.key, None, true);
        Ok(loaded)
    })
}

/// A model that is fetched from `source`.
pub(super) fn fetched<T: Send + Sync + 'static>(
    cx: &dyn NodeCx,
    source: &str,
    part: &'static str,
    load: impl FnOnce(&Path) -> Result<(T, u64), NodeError>,
) -> Result<Arc<T>, NodeError> {
    let key = PartKey {
        model: source.to_owned(),
        part,
        variant: format!("{:?}", cx.workbench().dtype()),
    };
    kept(cx, key, &cx.downloaded(source)?, load)
}
