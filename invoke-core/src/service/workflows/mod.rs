//! The library of workflows.

mod callable;
mod shipped;

pub use crate::graph::document;

use std::{path::PathBuf, sync::Arc};

use serde_json::{Map, Value, json};

use super::{Shared, covers};
use crate::{
    authz::{Actor, Permit, Scope, acts, authorize, authorize_global},
    domain::{
        Error, Result,
        library::{Origin, Workflow},
        limits::{NAME, TEXT, at_most},
        page::Direction,
    },
    events::{Event, WorkflowChange},
    graph::Registry,
    repo::workflows::{self as repo, Filter, NewWorkflow},
};

/// The tag that sharing adds.
const SHARED_TAG: &str = "shared";

/// Use of workflows.
#[derive(Clone)]
pub struct Workflows {
    pub(crate) shared: Arc<Shared>,
    pub(crate) registry: Arc<Registry>,
}

/// A window into a list of workflows.
#[derive(Debug, Clone)]
pub struct PageOf {
    /// Number of the page, from 0.
    pub page: i64,
    /// Items on it; `None` for all.
    pub per_page: Option<i64>,
    /// One of [`repo::ORDERS`].
    pub order: String,
    /// Direction.
    pub direction: Direction,
    /// Only those that other workflows can call, or only the others.
    pub callable: Option<bool>,
}

impl Workflows {
    pub(crate) fn new(shared: Arc<Shared>, registry: Arc<Registry>) -> Self {
        Self { shared, registry }
    }

    fn thumbnail_file(&self, workflow_id: &str) -> Option<PathBuf> {
        covers::file(self.shared.layout.workflow_thumbnails_dir(), workflow_id)
    }

    fn thumbnail_url(&self, workflow_id: &str) -> Value {
        let file = self.thumbnail_file(workflow_id).filter(|file| file.is_file());
        json!(file.map(|_| format!("api/v1/workflows/i/{workflow_id}/thumbnail?{}", self.shared.env.uuid())))
    }

    fn head(workflow: &Workflow) -> Map<String, Value> {
        let head = json!({
            "workflow_id": workflow.workflow_id,
            "name": workflow.name,
            "created_at": workflow.created_at,
            "updated_at": workflow.updated_at,
            "opened_at": workflow.opened_at,
            "user_id": workflow.user_id,
            "is_public": workflow.is_public,
        });
        match head {
            Value::Object(head) => head,
            _ => Map::new(),
        }
    }

    /// The record with its document.
    fn record(workflow: &Workflow) -> Value {
        let mut record = Self::head(workflow);
        let mut document = workflow.document.clone();
        if let Some(document) = document.as_object_mut() {
            document.insert("id".into(), json!(workflow.workflow_id));
        }
        record.insert("workflow".into(), document);
        Value::Object(record)
    }

    fn compatibility(&self, workflow: &Workflow) -> Value {
        callable::compatibility(&self.registry, &workflow.document)
    }

    fn list_item(&self, workflow: &Workflow) -> Value {
        let mut item = Self::head(workflow);
        item.insert("description".into(), json!(workflow.description));
        item.insert("category".into(), json!(workflow.category));
        item.insert("tags".into(), json!(workflow.tags));
        item.insert("thumbnail_url".into(), self.thumbnail_url(&workflow.workflow_id));
        item.insert("call_saved_workflow_compatibility".into(), self.compatibility(workflow));
        Value::Object(item)
    }

    /// One workflow.
    pub fn get(&self, actor: &Actor, workflow_id: &str) -> Result<Value> {
        let workflow = self
            .shared
            .db
            .read(|tx| authorize::<acts::ReadWorkflow, _>(actor, repo::find(tx, workflow_id)?))?;
        let mut record = Self::record(&workflow);
        record["thumbnail_url"] = self.thumbnail_url(workflow_id);
        record["call_saved_workflow_compatibility"] = self.compatibility(&workflow);
        Ok(record)
    }

    /// One page of a list.
    pub fn list(&self, actor: &Actor, filter: &Filter, page: &PageOf) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let scope = Scope::of(actor);
        let per_page = page.per_page.filter(|n| *n > 0);
        if let Some(callable) = page.callable {
            let all = self
                .shared
                .db
                .read(|tx| repo::list(tx, &scope, filter, &page.order, page.direction, 0, -1))?;
            let fitting: Vec<&Workflow> = all
                .iter()
                .filter(|workflow| self.compatibility(workflow)["is_callable"] == json!(callable))
                .collect();
            let total = i64::try_from(fitting.len()).unwrap_or(i64::MAX);
            let size = per_page.unwrap_or(total);
            let window = fitting
                .iter()
                .skip(usize::try_from(page.page.max(0).saturating_mul(size)).unwrap_or(usize::MAX))
                .take(usize::try_from(size).unwrap_or(0));
            return Ok(paged(
                page.page,
                per_page,
                total,
                window.map(|workflow| self.list_item(workflow)).collect(),
            ));
        }
        let (offset, limit) = per_page.map_or((0, -1), |n| (page.page.saturating_mul(n), n));
        let (total, workflows) = self.shared.db.read(|tx| -> rusqlite::Result<_> {
            Ok((
                repo::count(tx, &scope, filter)?,
                repo::list(tx, &scope, filter, &page.order, page.direction, offset, limit)?,
            ))
        })?;
        Ok(paged(
            page.page,
            per_page,
            total,
            workflows.iter().map(|workflow| self.list_item(workflow)).collect(),
        ))
    }

    /// All tags of a list, sorted.
    pub fn tags(&self, actor: &Actor, filter: &Filter) -> Result<Vec<String>> {
        authorize_global::<acts::UseServer>(actor)?;
        let texts = self.shared.db.read(|tx| repo::tag_texts(tx, &Scope::of(actor), filter))?;
        let mut tags: Vec<String> = texts
            .iter()
            .flat_map(|text| text.split(','))
            .map(|tag| tag.trim().to_owned())
            .filter(|tag| !tag.is_empty())
            .collect();
        tags.sort_unstable();
        tags.dedup();
        Ok(tags)
    }

    /// How many workflows of a list have each of these tags.
    pub fn counts_by_tag(&self, actor: &Actor, tags: &[String], filter: &Filter) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let scope = Scope::of(actor);
        self.shared.db.read(|tx| -> Result<_> {
            let mut counts = Map::new();
            for tag in tags {
                let filter = Filter {
                    tags: vec![tag.clone()],
                    ..filter.clone()
                };
                counts.insert(tag.clone(), json!(repo::count(tx, &scope, &filter)?));
            }
            Ok(Value::Object(counts))
        })
    }

    /// How many workflows there are of each of these categories.
    pub fn counts_by_category(&self, actor: &Actor, categories: &[Origin], filter: &Filter) -> Result<Value> {
        authorize_global::<acts::UseServer>(actor)?;
        let scope = Scope::of(actor);
        self.shared.db.read(|tx| -> Result<_> {
            let mut counts = Map::new();
            for category in categories {
                let filter = Filter {
                    categories: vec![*category],
                    ..filter.clone()
                };
                counts.insert(category.to_string(), json!(repo::count(tx, &scope, &filter)?));
            }
            Ok(Value::Object(counts))
        })
    }

    /// Keeps a workflow. Where everybody is the same person it is everybody's, else its owner's alone. `document` has been checked.
    pub fn create(&self, actor: &Actor, document: &Value) -> Result<Value> {
        let leave = authorize_global::<acts::UseServer>(actor)?;
        acceptable(document)?;
        let workflow_id = self.shared.env.uuid();
        let new = NewWorkflow {
            workflow_id: &workflow_id,
            user_id: actor.user_id(),
            is_public: !self.shared.config.multiuser(),
            document: &stored(document, &workflow_id),
            now: self.shared.env.now(),
        };
        let workflow = self.shared.db.write(|tx| {
            repo::insert(tx, &leave, &new)?;
            authorize::<acts::ReadWorkflow, _>(actor, repo::find(tx, &workflow_id)?)
        })?;
        self.publish(Event::WorkflowCreated(change_of(&workflow)));
        Ok(Self::record(&workflow))
    }

    /// Changes a workflow, and tells of it; what ships with the program stays as it is.
    fn change(&self, actor: &Actor, workflow_id: &str, to: impl FnOnce(&Workflow) -> (String, bool)) -> Result<Value> {
        let (before, after) = self.shared.db.write(|tx| -> Result<_> {
            let before = authorize::<acts::UpdateWorkflow, _>(actor, repo::find(tx, workflow_id)?)?;
            let (document, is_public) = to(&before);
            repo::update(tx, &before, &document, is_public)?;
            let after = authorize::<acts::ReadWorkflow, _>(actor, repo::find(tx, workflow_id)?)?;
            Ok((before.into_inner(), after))
        })?;
        if !before.is_default() {
            self.tell_change(&before, &after);
        }
        Ok(Self::record(&after))
    }

    fn tell_change(&self, before: &Workflow, after: &Permit<acts::ReadWorkflow, Workflow>) {
        let (workflow_id, user_id) = (after.workflow_id.clone(), after.user_id.clone());
        self.publish(Event::WorkflowUpdated {
            workflow_id: workflow_id.clone(),
            user_id: user_id.clone(),
            old_is_public: before.is_public,
            new_is_public: after.is_public,
        });
        if before.is_public && !after.is_public {
            self.publish(Event::WorkflowAccessRevoked { workflow_id, user_id });
        }
    }

    /// Replaces a workflow's document. `document` has been checked; its `id` says which workflow it is.
    pub fn update(&self, actor: &Actor, document: &Value) -> Result<Value> {
        let workflow_id = document["id"].as_str().unwrap_or_default();
        self.may_update(actor, workflow_id)?;
        acceptable(document)?;
        self.change(actor, workflow_id, |before| (stored(document, workflow_id), before.is_public))
    }

    /// Shares a workflow with everybody, or no longer; a tag says so.
    pub fn set_public(&self, actor: &Actor, workflow_id: &str, is_public: bool) -> Result<Value> {
        self.change(actor, workflow_id, |before| {
            let mut tags: Vec<&str> = before.tag_list().filter(|tag| *tag != SHARED_TAG).collect();
            if is_public {
                tags.push(SHARED_TAG);
            }
            let mut document = before.document.clone();
            document["tags"] = json!(tags.join(", "));
            (document.to_string(), is_public)
        })
    }

    /// Notes that a workflow was opened.
    pub fn set_opened(&self, actor: &Actor, workflow_id: &str) -> Result<()> {
        self.shared.db.write(|tx| {
            let workflow = authorize::<acts::OpenWorkflow, _>(actor, repo::find(tx, workflow_id)?)?;
            Ok(repo::set_opened(tx, &workflow, self.shared.env.now())?)
        })
    }

    /// Deletes a workflow and its picture.
    pub fn delete(&self, actor: &Actor, workflow_id: &str) -> Result<()> {
        let workflow = self.shared.db.write(|tx| -> Result<_> {
            let workflow = authorize::<acts::DeleteWorkflow, _>(actor, repo::find(tx, workflow_id)?)?;
            if workflow.is_default() {
                return Err(Error::BadRequest("A workflow that ships with the program cannot be deleted".into()));
            }
            repo::delete(tx, &workflow)?;
            Ok(workflow)
        })?;
        covers::remove(self.thumbnail_file(workflow_id))?;
        self.publish(Event::WorkflowDeleted(change_of(&workflow)));
        Ok(())
    }

    /// Gives a workflow a picture.
    pub fn set_thumbnail(&self, actor: &Actor, workflow_id: &str, content_type: Option<&str>, bytes: &[u8]) -> Result<()> {
        let leave = self.may_update(actor, workflow_id)?;
        covers::write(self.thumbnail_file(workflow_id), &covers::thumbnail(content_type, bytes)?)?;
        Ok(self.shared.db.record(leave)?)
    }

    /// Takes a workflow's picture away.
    pub fn delete_thumbnail(&self, actor: &Actor, workflow_id: &str) -> Result<()> {
        let leave = self.may_update(actor, workflow_id)?;
        if covers::remove(self.thumbnail_file(workflow_id))? {
            self.shared.db.record(leave)?;
        }
        Ok(())
    }

    fn may_update(&self, actor: &Actor, workflow_id: &str) -> Result<Permit<acts::UpdateWorkflow, Workflow>> {
        self.shared.db.read(|tx| authorize(actor, repo::find(tx, workflow_id)?))
    }

    /// A workflow's picture, WebP. Anybody who knows the identifier may see it: pages load it without credentials.
    pub fn thumbnail(&self, _anybody: &Actor, workflow_id: &str) -> Result<Vec<u8>> {
        covers::read(self.thumbnail_file(workflow_id))
    }

    /// Brings the workflows that ship with the program up to date.
    pub(crate) fn sync_shipped(&self) -> Result<()> {
        Ok(self
            .shared
            .db
            .write(|tx| repo::sync_shipped(tx, shipped::WORKFLOWS, self.shared.env.now()))?)
    }

    fn publish(&self, event: Event) {
        self.shared.bus.publish(self.shared.env.now(), event);
    }
}

fn paged(page: i64, per_page: Option<i64>, total: i64, items: Vec<Value>) -> Value {
    let size = per_page.unwrap_or(total);
    // Rounded up without a sum that could overflow.
    let pages = per_page.map_or(1, |n| total / n + i64::from(total % n > 0));
    json!({"page": page, "pages": pages, "per_page": size, "total": total, "items": items})
}

fn change_of<A: crate::authz::Act>(workflow: &Permit<A, Workflow>) -> WorkflowChange {
    WorkflowChange {
        workflow_id: workflow.workflow_id.clone(),
        user_id: workflow.user_id.clone(),
        is_public: workflow.is_public,
    }
}

/// The document as it is kept, with its identifier.
fn stored(document: &Value, workflow_id: &str) -> String {
    let mut document = document.clone();
    document["id"] = json!(workflow_id);
    document.to_string()
}

fn acceptable(document: &Value) -> Result<()> {
    // These stand in everybody's lists once it is shared.
    for (field, most) in [("name", NAME), ("description", TEXT), ("tags", TEXT)] {
        at_most(field, document[field].as_str().unwrap_or_default(), most)?;
    }
    if document["meta"]["category"] == Origin::Default.as_str() {
        return Err(Error::BadRequest(
            "Workflows that ship with the program cannot be added or changed".into(),
        ));
    }
    Ok(())
}
