//! A context for nodes under test.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use image::DynamicImage;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::{
    Frame, ModelOnDisk, ModelQuery, NodeCx, NodeError, Picture, SavedImage,
    cx::Preview,
    store::ObjectStore,
    workbench::{Memory, Workbench},
};
use crate::{
    domain::{UserId, shape::Shape},
    models::{Footprint, ModelCache},
};

/// Answers from what the test put in; keeps what the node stored.
#[derive(Default)]
pub(crate) struct TestCx {
    pub(crate) frame: Option<Frame>,
    pub(crate) images: Mutex<Vec<(String, Arc<DynamicImage>, Option<Value>)>>,
    pub(crate) exported: Mutex<Vec<(String, Vec<u8>)>>,
    pub(crate) models: Vec<Value>,
    pub(crate) downloads: Vec<(String, std::path::PathBuf)>,
    pub(crate) progress: Mutex<Vec<String>>,
    pub(crate) workbench: TestBench,
    pub(crate) names: Mutex<u32>,
    pub(crate) text: Option<String>,
    pub(crate) preset: Option<(String, String)>,
    /// Where models lie, by key.
    pub(crate) paths: std::collections::HashMap<String, std::path::PathBuf>,
    /// How often it was asked whether the session was asked to end.
    pub(crate) asked: AtomicUsize,
    /// From which of these times on the answer is yes.
    pub(crate) ends_at: Option<usize>,
}

impl NodeCx for TestCx {
    fn frame(&self) -> &Frame {
        static FRAME: std::sync::LazyLock<Frame> = std::sync::LazyLock::new(|| Frame::of("exec", "source", &Value::Null));
        self.frame.as_ref().unwrap_or(&FRAME)
    }

    fn check_canceled(&self) -> Result<(), NodeError> {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        if self.ends_at.is_some_and(|at| asked >= at) {
            Err(NodeError::Canceled)
        } else {
            Ok(())
        }
    }

    fn progress(&self, message: &str, _percentage: Option<f64>, _image: Option<Preview>) {
        self.progress.lock().push(message.to_owned());
    }

    fn save_image(&self, picture: Picture) -> Result<SavedImage, NodeError> {
        let mut images = self.images.lock();
        let image_name = format!("{}.png", images.len());
        let (width, height) = (picture.pixels.width(), picture.pixels.height());
        images.push((image_name.clone(), picture.pixels, picture.metadata));
        Ok(SavedImage { image_name, width, height })
    }

    fn export_file(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), NodeError> {
        self.exported.lock().push((format!("{folder}|{name}"), bytes.to_vec()));
        Ok(())
    }

    fn load_image(&self, name: &str) -> Result<Arc<DynamicImage>, NodeError> {
        let images = self.images.lock();
        let found = images.iter().find(|(known, ..)| known == name);
        found
            .map(|(_, pixels, _)| Arc::clone(pixels))
            .ok_or_else(|| NodeError::new("ImageFileNotFoundException", "Image file not found"))
    }

    fn image_metadata(&self, name: &str) -> Result<Option<Value>, NodeError> {
        Ok(self
            .images
            .lock()
            .iter()
            .find(|(known, ..)| known == name)
            .and_then(|(.., metadata)| metadata.clone()))
    }

    fn model(&self, key: &str) -> Result<Option<ModelOnDisk>, NodeError> {
        let found = self.models.iter().find(|record| record["key"] == key);
        Ok(found.map(|record| ModelOnDisk {
            record: record.clone(),
            path: self
                .paths
                .get(key)
                .cloned()
                .unwrap_or_else(|| record["path"].as_str().unwrap_or("model").into()),
        }))
    }

    fn downloaded(&self, source: &str) -> Result<std::path::PathBuf, NodeError> {
        self.downloads
            .iter()
            .find(|(known, _)| known == source)
            .map(|(_, path)| path.clone())
            .ok_or_else(|| NodeError::new("FileNotFoundError", source))
    }

    fn find_models(&self, query: ModelQuery<'_>) -> Result<Vec<Value>, NodeError> {
        let is = |wanted: Option<&str>, record: &Value, key: &str| wanted.is_none_or(|wanted| record[key] == wanted);
        let matches = |r: &&Value| is(query.name, r, "name") && is(query.base, r, "base") && is(query.kind, r, "type");
        Ok(self.models.iter().filter(matches).cloned().collect())
    }

    fn style_preset(&self, _id: &str) -> Result<Option<(String, String)>, NodeError> {
        Ok(self.preset.clone())
    }

    fn text_file(&self, path: &str) -> Result<String, NodeError> {
        self.text.clone().ok_or_else(|| NodeError::new("FileNotFoundError", path))
    }

    fn random_u32(&self) -> u32 {
        4
    }

    fn workbench(&self) -> &Workbench {
        &self.workbench.0
    }

    fn owner(&self) -> &UserId {
        static OWNER: std::sync::LazyLock<UserId> = std::sync::LazyLock::new(UserId::system);
        &OWNER
    }

    fn fresh_name(&self) -> String {
        let mut names = self.names.lock();
        *names += 1;
        format!("object-{names}")
    }

    fn model_loading(&self, _key: &str, _part: Option<&str>, _done: bool) {}
}

/// A workbench on the CPU.
pub(crate) struct TestBench(pub(crate) Workbench);

impl Default for TestBench {
    fn default() -> Self {
        Self(Workbench {
            device: candle_core::Device::Cpu,
            options: super::workbench::Options::default(),
            cache: ModelCache::new(Footprint::of_main(1 << 30)),
            store: ObjectStore::new(1 << 30),
            memory: Memory {
                is_own: false,
                free: Arc::new(|| None),
            },
            cramped: false.into(),
        })
    }
}

/// Runs a node with these inputs, the others at their defaults.
pub(crate) fn run_in(cx: &TestCx, id: &str, inputs: Value) -> Result<Value, NodeError> {
    let entry = super::find(id).unwrap_or_else(|| panic!("no node {id}"));
    let mut values = serde_json::Map::new();
    for field in entry.meta.fields {
        values.insert(field.name.into(), crate::graph::model::default_of(field));
    }
    for (key, value) in inputs.as_object().unwrap() {
        assert!(values.contains_key(key) || entry.meta.extra_keys, "{id} has no input {key}");
        values.insert(key.clone(), value.clone());
    }
    values.insert("id".into(), "n".into());
    values.insert("type".into(), id.into());
    if let Some(Err(rule)) = entry.meta.check.map(|check| check(&values)) {
        return Err(NodeError::new(rule.field.unwrap_or("all"), rule.text));
    }
    (entry.run)(Value::Object(values), cx)
}

/// [`run_in`] a context without anything.
pub(crate) fn run(id: &str, inputs: Value) -> Result<Value, NodeError> {
    run_in(&TestCx::default(), id, inputs)
}

/// Any value of a shape.
pub(crate) fn example(shape: &Shape) -> Value {
    match shape {
        Shape::Any | Shape::Null | Shape::Nullable(_) => Value::Null,
        Shape::Bool { .. } => json!(false),
        Shape::Int(_) | Shape::Float(_) => json!(1),
        Shape::Str(_) | Shape::Binary | Shape::DateTime => json!("x"),
        Shape::Enum(texts) => json!(texts[0]),
        Shape::IntEnum(numbers) => json!(numbers[0]),
        Shape::Const(text) => json!(text),
        Shape::Object(object) => object
            .fields
            .iter()
            .map(|field| (field.name.to_owned(), example(&field.shape)))
            .collect(),
        Shape::Map(_) => json!({}),
        Shape::List(..) => json!([]),
        Shape::Union(shapes) => example(&shapes[0]),
        Shape::Ruled(of, _) => example(of),
        Shape::Tagged { variants, .. } => example(&variants[0].1),
    }
}
