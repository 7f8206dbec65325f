//! Running items: what the workers ask of the books, and what a running session asks of the server.
//!
//! A running session acts under its owner's rights as their account has them at that moment, never under the server's.

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde_json::Value;

use super::{Queue, announce, calls, change::Aftermath};
use crate::{
    authz::{Actor, acts, authorize_global},
    db::WriteTx,
    domain::{
        BoardId, Error, ImageName, ItemId, ModelKey, Result,
        image::ImageOrigin,
        page::Direction,
        queue_item::{Ending, Failure, QueueItem},
    },
    engine::{
        Device, DownloadWatch, Finished, Host, HostError, ImageToSave, ModelOnDisk, ModelQuery, NodeEvent, NodeRef, Outcome, SavedImage,
    },
    events::{Event, InvocationBase, ModelLoad},
    files::{self, Chunks, StoreError},
    queue::{Asking, Claim, Ledger},
    repo::{models::ModelFilter, queue as repo},
    service::{
        auth,
        images::{Images, NewPicture},
        models::Models,
        style_presets::StylePresets,
    },
};

/// The books that the workers keep.
pub struct Runs {
    pub(super) queue: Queue,
    images: Images,
    models: Models,
    /// How often in a row each device has let a loaded model go first.
    pub(super) in_a_row: Mutex<HashMap<String, u32>>,
    /// Runs that are over and could not be written down yet; nothing new begins before they are.
    unwritten: Mutex<Vec<Over>>,
}

/// A run that is over.
struct Over {
    item_id: ItemId,
    how: How,
}

/// What is to be written down of a run.
enum How {
    /// It ended, with its session's last state.
    Ended(Ending, Option<String>),
    /// It is to run again.
    Requeued,
    /// It came to a call.
    Calls(Value, String),
}

impl Runs {
    /// Books about the items of a queue.
    pub fn new(queue: Queue, images: Images, models: Models) -> Self {
        Self {
            queue,
            images,
            models,
            in_a_row: Mutex::default(),
            unwritten: Mutex::default(),
        }
    }

    /// Writes down that a run is over, or keeps that to be written later: a database that is full or busy at this moment is no reason to let an item count
    /// as running for ever.
    fn write_down(&self, over: Over) {
        if let Err(error) = self.written(&over) {
            tracing::error!(item_id = over.item_id, "how the item ended could not be written down yet: {error}");
            self.unwritten.lock().push(over);
        }
    }

    fn written(&self, over: &Over) -> Result<()> {
        let item_id = over.item_id;
        match &over.how {
            How::Ended(ending, session) => self.queue.end_run(item_id, ending, session.as_deref()),
            How::Requeued => self.queue.requeue(item_id),
            How::Calls(session, exec_id) => self.queue.call(item_id, session, exec_id),
        }
    }

    /// Writes down that an item ended before it could run.
    pub(super) fn ended_unrun(&self, item_id: ItemId, ending: Ending) {
        self.write_down(Over {
            item_id,
            how: How::Ended(ending, None),
        });
    }

    /// Writes down what could not be written before.
    pub(super) fn catch_up(&self) -> Result<()> {
        let mut unwritten = self.unwritten.lock();
        while let Some(over) = unwritten.last() {
            self.written(over)?;
            unwritten.pop();
        }
        Ok(())
    }

    /// What answers a claimed item while it runs.
    pub(super) fn host(&self, item: QueueItem, owner: Actor, device: &Device, workflow: Option<String>) -> Arc<dyn Host> {
        Arc::new(SessionHost {
            queue: self.queue.clone(),
            images: self.images.clone(),
            models: self.models.clone(),
            owner,
            device: device.clone(),
            workflow,
            item,
        })
    }
}

impl Queue {
    /// Writes down how an item ended, if it had not ended before, and announces it.
    fn end(&self, item_id: ItemId, ending: &Ending, session: Option<&str>) -> Result<()> {
        self.change(|tx, aftermath| self.write_end(tx, item_id, ending, session, aftermath))
    }

    /// [`Self::end`] for a run that is over: whoever called the item goes on, or ends with it.
    pub(super) fn end_run(&self, item_id: ItemId, ending: &Ending, session: Option<&str>) -> Result<()> {
        self.change(|tx, aftermath| {
            self.write_end(tx, item_id, ending, session, aftermath)?;
            // Its failure may have been written down before, by the node that failed.
            if let Some(item) = repo::ended_item(tx, item_id)?.filter(|item| item.parent_item_id.is_some()) {
                self.settle_caller(tx, &item, aftermath)?;
            }
            Ok(())
        })
    }

    fn write_end(
        &self,
        tx: &mut WriteTx<'_>,
        item_id: ItemId,
        ending: &Ending,
        session: Option<&str>,
        aftermath: &mut Aftermath,
    ) -> Result<()> {
        let change = repo::finish(tx, item_id, ending, session, self.shared.env.now())?;
        if let (None, Some(session)) = (&change, session) {
            // Its failure was told before it ended, or somebody canceled it: how far it got is kept all the same.
            repo::store_session(tx, item_id, session)?;
        }
        if let Some(repo::Change(item)) = change {
            aftermath.events.push(announce::status_changed(tx, &item)?);
        }
        Ok(())
    }

    /// Lets a running item make the call that it came to.
    fn call(&self, item_id: ItemId, session: &Value, exec_id: &str) -> Result<()> {
        let Some(item) = self.shared.db.read(|tx| repo::running_item(tx, item_id))? else {
            return Ok(());
        };
        match auth::owner_of_job(&self.shared, &item.user_id, item.by_key)? {
            Some(owner) => self.begin_call(item_id, &owner, session, exec_id),
            None => self.end_run(item_id, &Ending::Canceled, Some(&session.to_string())),
        }
    }

    /// Puts a running item back among those that wait.
    fn requeue(&self, item_id: ItemId) -> Result<()> {
        self.change(|tx, aftermath| {
            if let Some(repo::Change(item)) = repo::requeue(tx, item_id, self.shared.env.now())? {
                aftermath.events.push(announce::status_changed(tx, &item)?);
            }
            Ok(())
        })
    }
}

impl Ledger for Runs {
    fn claim(&self, asking: &Asking<'_>) -> Claim {
        self.try_claim(asking).unwrap_or_else(|error| {
            tracing::error!("an item could not be claimed: {error}");
            Claim::Later
        })
    }

    fn is_running(&self, item_id: ItemId) -> bool {
        self.queue
            .shared
            .db
            .read(|tx| repo::is_running(tx, item_id))
            .unwrap_or_else(|error| {
                // It was claimed a moment ago. If it was canceled since, that is seen between its nodes and at its end.
                tracing::error!(item_id, "the item's status could not be read: {error}");
                true
            })
    }

    fn finish(&self, item_id: ItemId, finished: Finished, stopping: bool) {
        let how = match finished.outcome {
            Outcome::Ended(Ending::Canceled) | Outcome::Calls { .. } if stopping => How::Requeued,
            Outcome::Ended(ending) => How::Ended(ending, Some(finished.session.to_string())),
            Outcome::Calls { exec_id } => How::Calls(finished.session, exec_id),
        };
        self.write_down(Over { item_id, how });
    }

    fn abandon(&self, device: &Device, failure: &Failure) {
        let shared = &self.queue.shared;
        let items = shared.db.read(|tx| repo::running_on(tx, &device.id)).unwrap_or_else(|error| {
            tracing::error!("what ran on {} could not be read: {error}", device.id);
            Vec::new()
        });
        for item_id in items {
            self.ended_unrun(item_id, Ending::Failed(failure.clone()));
        }
    }
}

/// Answers one running session.
struct SessionHost {
    queue: Queue,
    images: Images,
    models: Models,
    owner: Actor,
    device: Device,
    workflow: Option<String>,
    item: QueueItem,
}

impl SessionHost {
    fn base(&self, node: NodeRef) -> InvocationBase {
        calls::invocation(&self.item, node)
    }

    /// The owner's rights at this moment.
    fn owner_now(&self, doing: &str) -> Result<Actor, HostError> {
        match auth::owner_of_job(&self.queue.shared, &self.item.user_id, self.item.by_key) {
            Ok(Some(owner)) => Ok(owner),
            Ok(None) => Err(permission(format!("Queue user is not authorized to {doing}"))),
            Err(error) => Err(fault(&error)),
        }
    }
}

fn permission(message: String) -> HostError {
    HostError {
        error_type: "PermissionError".into(),
        message,
    }
}

/// Largest text file that a node may read, in bytes.
const MOST_TEXT: u64 = 16 << 20;

fn read_text(path: &Path) -> std::io::Result<String> {
    let file = std::fs::File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(std::io::Error::other("not a file"));
    }
    let mut text = String::new();
    if file.take(MOST_TEXT + 1).read_to_string(&mut text)? as u64 > MOST_TEXT {
        return Err(std::io::Error::other("larger than 16 MiB"));
    }
    Ok(text)
}

fn fault(error: &Error) -> HostError {
    tracing::error!("a session's request failed: {error}");
    HostError {
        error_type: "RuntimeError".into(),
        message: error.to_string(),
    }
}

fn image_absent() -> HostError {
    HostError {
        error_type: "ImageFileNotFoundException".into(),
        message: "Image file not found".into(),
    }
}

fn image_refused(error: &Error) -> HostError {
    match error {
        Error::Forbidden(_) => permission("Queue user is not authorized to access this image".into()),
        Error::NotFound(_) => image_absent(),
        other => fault(other),
    }
}

impl Host for SessionHost {
    fn event(&self, event: NodeEvent) {
        let event = match event {
            NodeEvent::Left => {
                // At a shutdown it is put back instead, once the run is over.
                if !self.queue.processor.is_stopping()
                    && let Err(error) = self.queue.end(self.item.item_id, &Ending::Canceled, None)
                {
                    tracing::error!(
                        item_id = self.item.item_id,
                        "that it was canceled could not be written down yet: {error}"
                    );
                }
                return;
            }
            NodeEvent::Started(node) => Event::InvocationStarted(self.base(node)),
            NodeEvent::Progress {
                node,
                message,
                percentage,
                image,
            } => {
                let device = self.device.is_accelerator().then(|| self.device.id.clone());
                Event::InvocationProgress {
                    base: self.base(node),
                    message,
                    percentage,
                    image,
                    device,
                }
            }
            NodeEvent::Complete { node, result } => Event::InvocationComplete {
                base: self.base(node),
                result,
            },
            NodeEvent::Error { node, failure } => {
                // InvokeAI tells that the item failed before it tells of the node.
                if let Err(error) = self.queue.end(self.item.item_id, &Ending::Failed(failure.clone()), None) {
                    tracing::error!(item_id = self.item.item_id, "the failure could not be written down: {error}");
                }
                Event::InvocationError {
                    base: self.base(node),
                    error_type: failure.error_type,
                    error_message: failure.error_message,
                    error_traceback: failure.error_traceback,
                }
            }
        };
        self.queue.publish([event]);
    }

    fn save_image(&self, image: ImageToSave) -> Result<SavedImage, HostError> {
        let owner = self.owner_now("save images")?;
        let picture = NewPicture {
            pixels: image.pixels,
            origin: ImageOrigin::Internal,
            category: image.category,
            is_intermediate: image.is_intermediate,
            board_id: image.board_id.map(BoardId::new),
            session_id: Some(self.item.session_id.clone()),
            node_id: Some(image.node_id),
            chunks: Chunks {
                metadata: image.metadata.as_ref().map(Value::to_string),
                workflow: self.workflow.clone(),
                graph: image.graph,
            },
        };
        let (width, height) = (picture.pixels.width(), picture.pixels.height());
        match self.images.create(&owner, picture) {
            Ok(dto) => Ok(SavedImage {
                image_name: dto.image_name().to_string(),
                width,
                height,
            }),
            Err(Error::Forbidden(_) | Error::NotFound(_)) => {
                Err(permission("Queue user is not authorized to save images to this board".into()))
            }
            Err(error) => Err(fault(&error)),
        }
    }

    fn export_file(&self, folder: &str, name: &str, bytes: &[u8]) -> Result<(), HostError> {
        self.owner_now("export files")?;
        let written = files::export(self.queue.shared.layout.outputs_dir(), folder, name, bytes);
        written.map_err(|error| match error {
            StoreError::Subfolder(path) => {
                let message = format!("`{path}` must be a path inside the outputs folder, outside the folders that the server keeps there");
                HostError {
                    error_type: "ValueError".into(),
                    message,
                }
            }
            other => fault(&Error::internal("exporting a file", other)),
        })
    }

    fn load_image(&self, image_name: &str) -> Result<Vec<u8>, HostError> {
        let owner = self.owner_now("access this image")?;
        let name = ImageName::parse(image_name).map_err(|_| image_absent())?;
        let read = self
            .images
            .full(&owner, &name)
            .and_then(|mut file| file.read_all().map_err(Error::from));
        read.map_err(|error| image_refused(&error))
    }

    fn model(&self, key: &str) -> Result<Option<ModelOnDisk>, HostError> {
        self.models.on_disk(&self.owner, &ModelKey::new(key)).map_err(|error| fault(&error))
    }

    fn downloaded(&self, source: &str, watch: &DownloadWatch<'_>) -> Result<Option<PathBuf>, HostError> {
        self.models.downloaded(&self.owner, source, watch).map_err(|error| match error {
            Error::NotFound(message) => HostError {
                error_type: "FileNotFoundError".into(),
                message,
            },
            other => fault(&other),
        })
    }

    fn image_metadata(&self, image_name: &str) -> Result<Option<Value>, HostError> {
        let owner = self.owner_now("access this image")?;
        let name = ImageName::parse(image_name).map_err(|_| image_absent())?;
        match self.images.metadata(&owner, &name) {
            Ok(metadata) => Ok(Some(metadata).filter(|value| !value.is_null())),
            Err(error) => Err(image_refused(&error)),
        }
    }

    fn find_models(&self, query: ModelQuery<'_>) -> Result<Vec<Value>, HostError> {
        let filter = ModelFilter {
            bases: query.base.map(str::to_owned).into_iter().collect(),
            model_type: query.kind.map(str::to_owned),
            name: query.name.map(str::to_owned),
            ..ModelFilter::default()
        };
        self.models
            .list(&self.owner, &filter, "name", Direction::Asc)
            .map_err(|error| fault(&error))
    }

    fn style_preset(&self, id: &str) -> Result<Option<(String, String)>, HostError> {
        let owner = self.owner_now("use this style preset")?;
        match StylePresets::new(Arc::clone(&self.queue.shared)).prompts(&owner, id) {
            Ok(prompts) => Ok(Some(prompts)),
            // Whether somebody else has one of this id is nobody's business.
            Err(Error::NotFound(_) | Error::Forbidden(_)) => Ok(None),
            Err(error) => Err(fault(&error)),
        }
    }

    fn text_file(&self, path: &str) -> Result<String, HostError> {
        let owner = self.owner_now("read files of the server")?;
        if authorize_global::<acts::ReadServer>(&owner).is_err() {
            return Err(permission("Queue user is not authorized to read files of the server".into()));
        }
        read_text(Path::new(path)).map_err(|error| {
            let kind = if error.kind() == std::io::ErrorKind::NotFound {
                "FileNotFoundError"
            } else {
                "OSError"
            };
            HostError {
                error_type: kind.into(),
                message: format!("{path}: {error}"),
            }
        })
    }

    fn model_loading(&self, key: &str, submodel: Option<&str>, done: bool) {
        let Ok(config) = self.models.get(&self.owner, &ModelKey::new(key)) else {
            return;
        };
        let load = ModelLoad {
            config,
            submodel_type: submodel.map(Into::into),
            user_id: self.item.user_id.clone(),
        };
        self.queue.publish([if done {
            Event::ModelLoadComplete(load)
        } else {
            Event::ModelLoadStarted(load)
        }]);
    }

    fn random_u32(&self) -> u32 {
        self.queue.shared.env.random_u32()
    }

    fn owner_is_active(&self) -> bool {
        // A database that cannot be read right now is no reason to throw work away.
        auth::owner_of_job(&self.queue.shared, &self.item.user_id, self.item.by_key).map_or(true, |owner| owner.is_some())
    }
}
