//! A root directory, opened: the database, the services, the workers.

use std::{path::PathBuf, sync::Arc};

use crate::{
    authn::{Authenticator, OpenError as AuthenticatorError},
    authz::Actor,
    config::{Config, ConfigError, Environment, Flags},
    db::{Db, DbError},
    domain::{Error, ImageName, QueueId},
    engine::{Engine, LocalEngine, devices},
    env::Env,
    events::{Bus, Event, Subscription},
    files::{DiskStore, ImageStore, MemoryStore, StoreError},
    graph::Registry,
    models::Footprint,
    nodes::{
        self,
        cache::NodeCache,
        workbench::{Options, gigabytes},
    },
    queue::{Ledger, Processor},
    repo::{images as images_repo, queue as queue_repo},
    service::{
        Door, Shared,
        app::App,
        auth::Auth,
        boards::Boards,
        client_state::ClientState,
        custom_nodes::CustomNodes,
        downloads::Downloads,
        gallery::Gallery,
        image_moves::ImageMoves,
        images::Images,
        models::{Installer, Models},
        queue::{Queue, Runs},
        recall::Recall,
        style_presets::StylePresets,
        system_prompts::SystemPrompts,
        text_to_image::{Generated, Path, TextToImage},
        utilities::Utilities,
        videos::Videos,
        workflows::Workflows,
    },
};

/// Why a root could not be opened. The text is one line, for the person who started the program.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The configuration or the folders.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The signing key.
    #[error(transparent)]
    Authenticator(#[from] AuthenticatorError),
    /// The pictures' folder.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Anything else that start-up does.
    #[error("start-up failed: {0}")]
    Service(#[from] Error),
    /// A worker thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// A root directory, opened: each service is a cheap clone. The last clone's end, or [`Core::shutdown`], stops the workers.
#[derive(Clone)]
pub struct Core {
    /// Accounts.
    pub auth: Auth,
    /// Pictures.
    pub images: Images,
    /// Boards.
    pub boards: Boards,
    /// Pictures as the gallery lists them.
    pub gallery: Gallery,
    /// Archives of pictures.
    pub downloads: Downloads,
    /// Moves of pictures' files between subfolders.
    pub image_moves: ImageMoves,
    /// Models.
    pub models: Models,
    /// The generation queue.
    pub queue: Queue,
    /// The server itself.
    pub app: App,
    /// What clients keep of themselves.
    pub client_state: ClientState,
    /// The library of workflows.
    pub workflows: Workflows,
    /// Prompt templates.
    pub style_presets: StylePresets,
    /// Instructions for language models.
    pub system_prompts: SystemPrompts,
    /// Small helps: prompts with variants, models that write prompts, fonts for the canvas.
    pub utilities: Utilities,
    /// Videos, of which there are none.
    pub videos: Videos,
    /// Packs of nodes that another program installed.
    pub custom_nodes: CustomNodes,
    /// The way to somebody's open client.
    pub recall: Recall,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    engines: Arc<[Arc<LocalEngine>]>,
    workers: Arc<Workers>,
}

/// What runs in the background, and stops when nobody holds the core any more.
struct Workers {
    processor: Arc<Processor>,
    installer: Arc<Installer>,
    image_moves: ImageMoves,
    /// Ends running items of accounts that lose their access.
    _access: Subscription,
}

impl Core {
    /// Opens a root for a program of one's own, with everything at its place: `path` is made if it does not exist.
    ///
    /// # Errors
    /// Says what is in the way, and where.
    pub fn open_root(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let flags = Flags {
            root: Some(path.into()),
            ..Flags::default()
        };
        Self::open(&flags, &Environment::of_process(), Env::system(), Door::Library)
    }

    /// Opens the root that flags and environment name, and starts its workers.
    ///
    /// # Errors
    /// Says what is in the way, and where.
    pub fn open(flags: &Flags, environment: &Environment, env: Env, door: Door) -> Result<Self, OpenError> {
        Self::of_config(Config::load(flags, environment)?, env, door)
    }

    /// Opens the root of a configuration, and starts its workers.
    ///
    /// # Errors
    /// Says what is in the way, and where.
    pub fn of_config(config: Config, env: Env, door: Door) -> Result<Self, OpenError> {
        let layout = config.layout();
        layout.create()?;
        config.write_initial()?;
        let settings = config.settings();
        let config = Arc::new(config);
        let db = Arc::new(if settings.use_memory_db {
            Db::in_memory(env.now())?
        } else {
            Db::open(&layout.database(), env.now())?
        });
        let authenticator = Arc::new(Authenticator::open(Arc::clone(&db), env.clone(), config.multiuser())?);
        let images: Arc<dyn ImageStore> = if settings.use_memory_db {
            Arc::new(MemoryStore::new(Arc::clone(&config), env.clone()))
        } else {
            Arc::new(DiskStore::open(layout.images_dir(), Arc::clone(&config), env.clone())?)
        };
        let shared = Arc::new(Shared::new(Arc::clone(&config), env.clone(), db, authenticator, images, door));

        let registry = Arc::new(nodes::registry(settings.allow_nodes.as_deref(), settings.deny_nodes.as_deref()));
        let results = Arc::new(NodeCache::new(usize::try_from(settings.node_cache_size).unwrap_or(0)));
        let devices = devices::chosen(&settings);
        let budget = model_budget(&config, devices.len() as u64);
        let engine = |device| {
            let (registry, results) = (Arc::clone(&registry), Arc::clone(&results));
            let engine = LocalEngine::on(device, registry, env.clone(), budget, results);
            Arc::new(engine.with_options(Options::of(&settings)))
        };
        let engines: Arc<[Arc<LocalEngine>]> = devices.into_iter().map(engine).collect();
        let (processor, installer) = (Arc::new(Processor::new()), Arc::new(Installer::new(Arc::clone(&shared))));

        let auth = Auth::open(Arc::clone(&shared))?;
        let images = Images::new(Arc::clone(&shared));
        let boards = Boards::new(Arc::clone(&shared));
        let gallery = Gallery::new(Arc::clone(&shared));
        let downloads = Downloads::new(Arc::clone(&shared))?;
        let models = Models::new(Arc::clone(&shared), Arc::clone(&installer));
        let queue = Queue::new(Arc::clone(&shared), Arc::clone(&processor), Arc::clone(&registry));
        let app = App::new(Arc::clone(&shared), Arc::clone(&engines), results);
        let client_state = ClientState::new(Arc::clone(&shared));
        let workflows = Workflows::new(Arc::clone(&shared), Arc::clone(&registry));
        let style_presets = StylePresets::new(Arc::clone(&shared));
        let system_prompts = SystemPrompts::new(Arc::clone(&shared));
        let utilities = Utilities::new(Arc::clone(&shared));
        let videos = Videos::new(boards.clone());
        let custom_nodes = CustomNodes::new(Arc::clone(&shared));
        let recall = Recall::new(Arc::clone(&shared), images.clone(), models.clone());

        prepare(&shared, &queue)?;
        let image_moves = ImageMoves::open(Arc::clone(&shared))?;
        workflows.sync_shipped()?;
        style_presets.sync_shipped()?;
        models.register_shipped()?;

        let caches = Arc::clone(&engines);
        installer.on_change(move |key| caches.iter().for_each(|engine| engine.workbench().cache.forget(key)));
        models.start_installer().map_err(OpenError::Thread)?;
        let runs: Arc<dyn Ledger> = Arc::new(Runs::new(queue.clone(), images.clone(), models.clone()));
        let running: Vec<Arc<dyn Engine>> = engines.iter().map(|engine| Arc::clone(engine) as Arc<dyn Engine>).collect();
        processor.start(&running, &runs).map_err(OpenError::Thread)?;
        let access = end_jobs_of_lost_accounts(&shared, &processor);
        let workers = Arc::new(Workers {
            processor,
            installer,
            image_moves: image_moves.clone(),
            _access: access,
        });
        Ok(Self {
            auth,
            images,
            boards,
            gallery,
            downloads,
            image_moves,
            models,
            queue,
            app,
            shared,
            registry,
            engines,
            workers,
            client_state,
            workflows,
            style_presets,
            system_prompts,
            utilities,
            videos,
            custom_nodes,
            recall,
        })
    }

    /// Turns what a caller presents into an actor.
    pub fn authenticator(&self) -> &Arc<Authenticator> {
        &self.shared.authenticator
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Config> {
        &self.shared.config
    }

    /// Time and chance.
    pub fn env(&self) -> &Env {
        &self.shared.env
    }

    /// Where events are published.
    pub fn bus(&self) -> &Bus {
        &self.shared.bus
    }

    /// The nodes that graphs may use.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// The engines, one for each device.
    pub fn engines(&self) -> &[Arc<LocalEngine>] {
        &self.engines
    }

    /// Makes a picture from a prompt as this actor's job, through the queue; blocks until it is there. `progress` is told a share from 0 to 1, where
    /// one is known, and what is being done.
    ///
    /// # Errors
    /// No such model, a setting out of range, a job that failed or was canceled.
    pub fn text_to_image(&self, actor: &Actor, request: &TextToImage, progress: impl FnMut(Option<f64>, &str)) -> Result<Generated, Error> {
        self.text_to_image_while(actor, request, progress, || true)
    }

    /// The same, for as long as `goes_on` says so: it is asked several times a second, and at its first no the job is canceled.
    ///
    /// # Errors
    /// Those of [`Core::text_to_image`]; [`Error::Conflict`] if the job was canceled.
    pub fn text_to_image_while(
        &self,
        actor: &Actor,
        request: &TextToImage,
        progress: impl FnMut(Option<f64>, &str),
        goes_on: impl FnMut() -> bool,
    ) -> Result<Generated, Error> {
        Path {
            queue: &self.queue,
            images: &self.images,
            models: &self.models,
        }
        .run(actor, request, progress, goes_on)
    }

    /// Lets nothing new begin and waits: a running item ends within a step and waits again.
    pub fn shutdown(&self) {
        self.workers.stop();
    }
}

impl Workers {
    fn stop(&self) {
        self.processor.stop();
        self.installer.stop();
        self.image_moves.stop();
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop();
    }
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("root", &self.shared.config.root())
            .finish_non_exhaustive()
    }
}

/// How many bytes the models of each of several devices may take: what the configuration says, else half of the machine's memory, shared evenly, and of an
/// accelerator's own as much as is free.
fn model_budget(config: &Config, devices: u64) -> Footprint {
    const WITHOUT_KNOWLEDGE: u64 = 8 << 30;
    let settings = config.settings();
    Footprint {
        device: settings.max_cache_vram_gb.map_or(u64::MAX, gigabytes),
        main: match settings.max_cache_ram_gb {
            Some(gb) if gb > 0.0 => gigabytes(gb),
            _ => crate::env::memory::total().map_or(WITHOUT_KNOWLEDGE, |bytes| bytes / 2),
        } / devices.max(1),
    }
}

/// What the last process left: items that ran, pictures set aside for deletion, history beyond what is kept.
fn prepare(shared: &Shared, queue: &Queue) -> Result<(), OpenError> {
    let settings = shared.config.settings();
    let ended = shared
        .db
        .write(|tx| queue_repo::cancel_unfinished(tx, shared.env.now()))
        .map_err(Error::from)?;
    if ended > 0 {
        tracing::info!("canceled {ended} items that ran when the last process ended");
    }
    if settings.clear_queue_on_startup {
        // The program's own act: everything there is its own, so that nothing of it is written down.
        queue.clear(&Actor::single_user_administrator(), &QueueId::new("default"))?;
    } else if let Some(keep) = settings.max_queue_history {
        shared
            .db
            .write(|tx| queue_repo::keep_newest(tx, u64::try_from(keep).unwrap_or(0)))
            .map_err(Error::from)?;
    }
    let mut exists = |name: &ImageName| shared.db.read(|tx| images_repo::exists(tx, name)).unwrap_or(true);
    let recovered = shared.images.recover(&mut exists)?;
    if recovered.restored + recovered.removed > 0 {
        tracing::info!(
            "pictures that the last process left unfinished: {} brought back, {} removed",
            recovered.restored,
            recovered.removed
        );
    }
    Ok(())
}

/// Asks the running items of an account to end at once when it loses its access.
fn end_jobs_of_lost_accounts(shared: &Arc<Shared>, processor: &Arc<Processor>) -> Subscription {
    let processor = Arc::clone(processor);
    shared.bus.subscribe(move |published| {
        let Event::UserAccessChanged(change) = &*published.event else {
            return;
        };
        // Whose job it was when it began counts: a deletion may have handed its record to somebody else by now.
        if !change.access.is_active {
            processor.cancel_of(&change.user_id);
        }
    })
}
