//! Installing models.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{
    Fault, InstallJob, InstallSource, Installer, Models,
    download::Worker,
    edit::{key_fault, with_page},
    installer::FOLDERS,
    marker,
    plan::{client, plan},
};
use crate::{
    authz::{Actor, Deed, Permit, acts, administer, authorize_global},
    config::Secret,
    db::WriteTx,
    domain::{Error, Result},
    models::{Identified, ModelRecord, Origin, ProbeError, hash_path, identify, remote::Token, size_of},
    repo::models as repo,
};

fn fault(kind: &str) -> impl Fn(&dyn std::fmt::Display) -> Fault + '_ {
    move |error| (kind.to_owned(), error.to_string())
}

/// Leave to write for a deed, or for what the program does by itself.
pub(super) fn leave(tx: &mut WriteTx<'_>, deed: Option<&Deed<acts::ManageModels>>) -> Permit<acts::ManageModels, ()> {
    deed.map_or_else(Permit::of_program, |deed| tx.carry_out(deed))
}

/// A model that lies on this machine and is to be installed.
pub(super) struct Order<'o> {
    /// Where it lies.
    pub(super) path: &'o Path,
    /// Whether it stays there.
    pub(super) inplace: bool,
    /// What its record shall say.
    pub(super) wishes: &'o Map<String, Value>,
    /// Where it came from.
    pub(super) origin: Origin,
}

impl Models {
    /// Asks for a model to be installed: one of this machine, of an address, or of the hub. `wishes` are what its record shall say, `token` is sent
    /// along where its files are fetched. Which files those are is found out before this returns.
    pub fn install(&self, actor: &Actor, source: &str, inplace: bool, token: Option<&str>, wishes: Map<String, Value>) -> Result<Value> {
        let deed = administer::<acts::ManageModels>(actor, "models.install")?;
        if let Some(text) = wishes.get("key").and_then(Value::as_str).and_then(key_fault) {
            return Err(Error::Unprocessable(text));
        }
        let wishes = with_page(&wishes)?;
        let token = token.filter(|token| !token.is_empty()).map(|token| Token {
            secret: Secret::new(token),
            shown: true,
        });
        let source = InstallSource::parse(source, inplace, token).map_err(Error::Conflict)?;
        if let Some(living) = self.installer.living(&source) {
            return Ok(living.to_json());
        }
        let mut job = InstallJob::new(source, wishes);
        if job.source.is_remote() {
            let line = client(&self.shared.config).map_err(super::PlanError::from)?.line();
            let folder = self.shared.layout.models_dir().join(format!("{FOLDERS}{}", self.shared.env.uuid()));
            job.local_path.clone_from(&folder);
            job.folder = Some(folder);
            plan(&self.shared.config, &line, &mut job)?;
        } else if let InstallSource::External { .. } = &job.source {
            self.shared.layout.models_dir().clone_into(&mut job.local_path);
        }
        // Before anybody takes it up, the next run of the program included.
        self.shared.db.record(deed.to(job.source.named()))?;
        if let Some(folder) = &job.folder {
            marker::write(&job, job.status, self.shared.env.now());
            // The folder is there from now on, and goes with the job.
            std::fs::create_dir_all(folder)?;
        }
        Ok(self.installer.add(job).to_json())
    }

    /// All install jobs, oldest first.
    pub fn install_jobs(&self, actor: &Actor) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        Ok(self.installer.jobs().iter().map(InstallJob::to_json).collect())
    }

    /// One install job.
    pub fn install_job(&self, actor: &Actor, id: u64) -> Result<Value> {
        authorize_global::<acts::ReadServer>(actor)?;
        self.installer
            .job(id)
            .map(|job| job.to_json())
            .ok_or_else(|| Error::NotFound(format!("No job with id {id} known")))
    }

    /// Does something with a job, and returns the job as it is then. `act` says whether it changed anything.
    fn with_job(
        &self,
        actor: &Actor,
        name: &'static str,
        id: u64,
        act: impl FnOnce(&Installer) -> Option<(InstallJob, bool)>,
    ) -> Result<Value> {
        let deed = administer::<acts::ManageModels>(actor, name)?;
        let (job, changed) = act(&self.installer).ok_or_else(|| Error::Unsupported(format!("No job with id {id} known")))?;
        if changed {
            self.shared.db.record(deed.to(job.source.named()))?;
        }
        Ok(job.to_json())
    }

    /// Calls an install job off.
    pub fn cancel_install(&self, actor: &Actor, id: u64) -> Result<Value> {
        self.with_job(actor, "models.cancel_install", id, |installer| installer.cancel(id))
    }

    /// Pauses the downloads of an install job; one without downloads goes on.
    pub fn pause_install(&self, actor: &Actor, id: u64) -> Result<Value> {
        self.with_job(actor, "models.pause_install", id, |installer| installer.pause(id))
    }

    /// Goes on with a paused install job.
    pub fn resume_install(&self, actor: &Actor, id: u64) -> Result<Value> {
        self.with_job(actor, "models.resume_install", id, |installer| installer.resume(id))
    }

    /// Begins those files of an install job anew that failed or that cannot be gone on with.
    pub fn restart_failed_install(&self, actor: &Actor, id: u64) -> Result<Value> {
        self.with_job(actor, "models.restart_failed_install", id, |installer| installer.restart_failed(id))
    }

    /// Begins one file of an install job, named by its address, anew.
    pub fn restart_install_file(&self, actor: &Actor, id: u64, url: &str) -> Result<Value> {
        let url = url::Url::parse(url).map_or_else(|_| url.to_owned(), String::from);
        self.with_job(actor, "models.restart_install_file", id, |installer| {
            installer.restart_file(id, &url)
        })
    }

    /// Drops the jobs that are over.
    pub fn prune_installs(&self, actor: &Actor) -> Result<()> {
        let deed = administer::<acts::ManageModels>(actor, "models.prune_installs")?;
        if self.installer.prune() {
            self.shared.db.record(deed)?;
        }
        Ok(())
    }

    /// Takes up what the last run of the program left, and starts the threads. Jobs are the program's own work: who asked was checked when
    /// they asked.
    pub(crate) fn start_installer(&self) -> std::io::Result<()> {
        for entry in std::fs::read_dir(self.shared.layout.models_dir())?.flatten() {
            let ours = entry.file_name().to_string_lossy().starts_with(FOLDERS);
            if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let folder = entry.path();
            if let Some(job) = marker::read(&folder) {
                tracing::info!("an unfinished installation is taken up again");
                self.installer.add(job);
            } else if let Err(error) = std::fs::remove_dir_all(&folder) {
                tracing::warn!("{} was left by an installation and cannot be removed: {error}", folder.display());
            }
        }
        let models = Self {
            shared: self.shared.clone(),
            installer: Installer::new(self.shared.clone()).into(),
        };
        let desk = self.installer.desk.clone();
        self.installer.start(std::sync::Arc::new(Worker { models, desk }))
    }

    /// Installs what a job asks for; its files are there.
    pub(super) fn install_job_now(&self, job: &InstallJob) -> Result<Value, Fault> {
        if let InstallSource::External { provider, model } = &job.source {
            return self.register_external(provider, model, &job.wishes);
        }
        let answer = job.metadata.as_ref().and_then(|metadata| metadata["api_response"].as_str());
        let order = Order {
            path: &job.local_path,
            inplace: matches!(job.source, InstallSource::Local { inplace: true, .. }),
            wishes: &job.wishes,
            origin: Origin {
                source: job.source.to_string(),
                source_type: job.source.kind(),
                answer: answer.map(str::to_owned),
            },
        };
        self.install_now(None, &order)
    }

    /// What a file or folder is; unknown where nothing tells and the configuration takes such models too.
    fn identified(&self, path: &Path) -> Result<Identified, Fault> {
        match identify(path) {
            Ok(found) => Ok(found),
            Err(ProbeError::Unknown(_)) if self.shared.config.settings().allow_unknown_models => Ok(Identified::unknown(path)),
            Err(error) => Err((error.class().to_owned(), error.to_string())),
        }
    }

    /// Installs a file or folder: what it is, its hash, its place, its record. Nothing is moved before all of that is known. Without a deed that it belongs
    /// to, it is the program's own work.
    pub(super) fn install_now(&self, deed: Option<&Deed<acts::ManageModels>>, order: &Order<'_>) -> Result<Value, Fault> {
        let looking = Permit::<acts::ManageModels, ()>::of_program();
        let (path, wishes) = (order.path, order.wishes);
        let found = self.identified(path)?;
        let key = wishes
            .get("key")
            .and_then(Value::as_str)
            .map_or_else(|| self.shared.env.uuid(), str::to_owned);
        if let Some(text) = key_fault(&key) {
            return Err(("InvalidModelConfigException".into(), text));
        }
        let place = if order.inplace {
            self.shared.layout.shown_model_path(path)
        } else {
            managed_place(&key, path)
        };
        let taken = |place: &str| {
            self.shared
                .db
                .read(|tx| repo::path_is_taken(tx, &looking, place))
                .map_err(|e| fault("RuntimeError")(&e))
        };
        if taken(&place)? {
            return Err((
                "DuplicateModelException".into(),
                format!("A model with path '{place}' is already installed"),
            ));
        }
        let hash = hash_path(path).map_err(|e| fault("OSError")(&e))?;
        let size = size_of(path).map_err(|e| fault("OSError")(&e))?;
        let record = ModelRecord::new(&key, &hash, &place, size, &found, &order.origin);
        let mut wishes = wishes.clone();
        for fixed in ["key", "path", "source", "source_type", "source_api_response"] {
            wishes.shift_remove(fixed);
        }
        wishes.retain(|_, value| !value.is_null());
        // What it is follows from its content; a wish can agree or make it nothing known, not another thing.
        let agrees = |name: &str| wishes.get(name).is_none_or(|wish| wish.as_str() == found.class[name].as_str());
        let record = if ["type", "format", "base"].iter().all(|name| agrees(name)) {
            record
        } else if self.shared.config.settings().allow_unknown_models {
            for name in ["type", "format", "base", "variant"] {
                wishes.shift_remove(name);
            }
            record.reidentified(&Identified::unknown(path))
        } else {
            let text = format!("Could not identify model for {}", path.display());
            return Err(("InvalidModelConfigException".into(), text));
        };
        let record = record.changed(&wishes).map_err(|issues| {
            let text = issues.iter().map(|issue| issue.msg.clone()).collect::<Vec<_>>().join("; ");
            ("ValueError".to_owned(), text)
        })?;
        let picture = (record.model_type() == "lora").then(|| picture_beside(path)).flatten();
        let moved = if order.inplace {
            None
        } else {
            Some(self.take_in(path, &key, &place)?)
        };
        let written = self.shared.db.write(|tx| {
            let leave = leave(tx, deed);
            repo::insert(tx, &leave, &key, &json!(record).to_string(), self.shared.env.now())
        });
        if let Err(error) = written {
            if let Some(to) = moved
                && let Err(error) = std::fs::rename(&to, path)
            {
                tracing::error!("files of a model that could not be recorded stay at {}: {error}", to.display());
            }
            return Err(fault("RuntimeError")(&error));
        }
        if let Some(bytes) = picture
            && let Err(error) = self.write_cover(&key, &bytes)
        {
            tracing::warn!("the picture beside a model cannot be its cover: {error}");
        }
        tracing::info!(key, name = record.name(), "installed a model");
        Ok(self.dressed(&record))
    }

    /// Moves a model's files below the models' folder.
    fn take_in(&self, from: &Path, key: &str, place: &str) -> Result<PathBuf, Fault> {
        let failed = |error: std::io::Error| fault("OSError")(&error);
        let folder = self.shared.layout.models_dir().join(key);
        if folder.exists() {
            let name = from.file_name().unwrap_or_default().to_string_lossy();
            return Err((
                "DuplicateModelException".into(),
                format!("A model named {name} is already installed at {}", folder.display()),
            ));
        }
        let to = self.shared.layout.models_dir().join(place);
        if let Some(parent) = to.parent() {
            std::fs::create_dir_all(parent).map_err(failed)?;
        }
        if std::fs::rename(from, &to).is_err() {
            // Another file system: copy, then delete.
            copy_all(from, &to).map_err(failed)?;
            if from.is_dir() {
                std::fs::remove_dir_all(from).map_err(failed)?;
            } else {
                std::fs::remove_file(from).map_err(failed)?;
            }
        }
        Ok(to)
    }

    /// Records a model that a provider runs; there is nothing to be stored of it. One that is recorded already is recorded anew.
    fn register_external(&self, provider: &str, model: &str, wishes: &Map<String, Value>) -> Result<Value, Fault> {
        let leave = Permit::<acts::ManageModels, ()>::of_program();
        let source = format!("external://{provider}/{model}");
        let wish = |name: &str| wishes.get(name).cloned().filter(|value| !value.is_null());
        let text = |name: &str| wish(name).and_then(|value| value.as_str().map(str::to_owned));
        let named: String = format!("{provider}-{model}")
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || c == '_' {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .collect();
        let wished = text("key").unwrap_or_else(|| named.trim_matches('-').to_owned());
        if let Some(text) = key_fault(&wished) {
            return Err(("InvalidModelConfigException".into(), text));
        }
        let found = Identified {
            name: text("name").unwrap_or_else(|| format!("{provider} {model}")),
            description: text("description"),
            class: external_class(provider, model, wish("capabilities"), wish("default_settings")),
        };
        let origin = Origin {
            source: source.clone(),
            source_type: "external",
            answer: None,
        };
        let outcome = self.shared.db.write(|tx| -> Result<ModelRecord> {
            let known = repo::key_of_source(tx, &leave, &source)?;
            let record = ModelRecord::new(known.as_deref().unwrap_or(&wished), "", "", 0, &found, &origin);
            let json = json!(record).to_string();
            match known {
                Some(key) => repo::replace(tx, &leave, &key, &json, self.shared.env.now())?,
                None if repo::get(tx, &leave, &wished)?.is_some() => {
                    return Err(Error::Conflict(format!("A model with the key '{wished}' is already installed")));
                }
                None => repo::insert(tx, &leave, &wished, &json, self.shared.env.now())?,
            }
            Ok(record)
        });
        match outcome {
            Ok(record) => Ok(self.dressed(&record)),
            Err(error @ Error::Conflict(_)) => Err(fault("DuplicateModelException")(&error)),
            Err(error) => Err(fault("RuntimeError")(&error)),
        }
    }
}

/// Fields of the class of models that providers run.
fn external_class(provider: &str, model: &str, capabilities: Option<Value>, settings: Option<Value>) -> Map<String, Value> {
    let Value::Object(mut all) = json!({
        "modes": ["txt2img"], "supports_reference_images": false, "supports_negative_prompt": true, "supports_seed": false,
        "supports_guidance": false, "supports_steps": false, "max_images_per_request": null, "max_image_size": null,
        "allowed_aspect_ratios": null, "aspect_ratio_sizes": null, "resolution_presets": null, "max_reference_images": null,
        "mask_format": "none", "input_image_required_for": null,
    }) else {
        unreachable!("the literal above is an object");
    };
    if let Some(Value::Object(told)) = capabilities {
        for (name, value) in told {
            if let Some(slot) = all.get_mut(&name) {
                *slot = value;
            }
        }
    }
    let Value::Object(class) = json!({
        "base": "external", "type": "external_image_generator", "format": "external_api", "provider_id": provider,
        "provider_model_id": model, "capabilities": all, "default_settings": settings, "panel_schema": null, "tags": null,
        "is_default": false,
    }) else {
        unreachable!("the literal above is an object");
    };
    class
}

/// A picture of the same name beside a model's file.
fn picture_beside(path: &Path) -> Option<Vec<u8>> {
    const MOST_BYTES: u64 = 64 << 20;
    ["png", "jpg", "jpeg", "webp"].iter().find_map(|ending| {
        let file = path.with_extension(ending);
        let small = path.is_file() && std::fs::metadata(&file).is_ok_and(|about| about.is_file() && about.len() <= MOST_BYTES);
        small.then(|| std::fs::read(file).ok()).flatten()
    })
}

/// Where a model that the program keeps lies below the models' folder.
fn managed_place(key: &str, path: &Path) -> String {
    if path.is_dir() {
        return key.to_owned();
    }
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    format!("{key}/{name}")
}

fn copy_all(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        return std::fs::copy(from, to).map(|_| ());
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        copy_all(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
