//! Installing models from addresses and from the hub, against a server in this process.

mod convert;
mod downloaded;
mod hub;
mod remote;
mod server;

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};

use self::server::Server;
use super::{Installer, Models};
use crate::{
    authz::Actor,
    config::{Config, HubPlace, Settings},
    db::Db,
    domain::ModelKey,
    env::Env,
    events::{Event, Subscription},
};

/// Models of a root of their own, their hub and every address on one server.
struct Kit {
    models: Models,
    server: Arc<Server>,
    root: Arc<tempfile::TempDir>,
    settings: Settings,
    events: Arc<Mutex<Vec<(String, Value)>>>,
    told: mpsc::Receiver<()>,
    _listening: Subscription,
}

impl Kit {
    fn new() -> Self {
        Self::with(Settings {
            allow_private_download_urls: true,
            ..Settings::default()
        })
    }

    fn with(settings: Settings) -> Self {
        Self::on(Arc::new(tempfile::tempdir().unwrap()), Arc::new(Server::start()), settings)
    }

    fn on(root: Arc<tempfile::TempDir>, server: Arc<Server>, settings: Settings) -> Self {
        let env = Env::system();
        let hub = HubPlace::new(server.url(""), Some(root.path().join("hub/token")));
        let config = Arc::new(Config::from_settings(root.path(), settings.clone()).with_hub(hub));
        config.layout().create().unwrap();
        let db = Arc::new(Db::open(&config.layout().database(), env.now()).unwrap());
        let shared = crate::service::tests::shared(config, env, db);
        let events = Arc::<Mutex<Vec<(String, Value)>>>::default();
        let (teller, told) = mpsc::channel();
        let heard = Arc::clone(&events);
        let listening = shared.bus.subscribe(move |published| {
            let viewer = crate::events::Viewer {
                user_id: crate::domain::UserId::new("root"),
                is_admin: true,
                queues: Vec::new(),
            };
            if let (Some(name), Some(payload)) = (published.event.name(), crate::events::view(&published.event, &viewer)) {
                assert!(matches!(&*published.event, Event::Download { .. } | Event::ModelInstall { .. }));
                heard.lock().push((name.to_owned(), Value::Object(payload)));
            }
            let _ = teller.send(());
        });
        let installer = Arc::new(Installer::new(Arc::clone(&shared)));
        let models = Models::new(shared, installer);
        models.start_installer().unwrap();
        Self {
            models,
            server,
            root,
            settings,
            events,
            told,
            _listening: listening,
        }
    }

    /// The same root, opened by another run of the program.
    fn again(self) -> Self {
        self.models.installer.stop();
        let (root, server, settings) = (Arc::clone(&self.root), Arc::clone(&self.server), self.settings.clone());
        drop(self);
        Self::on(root, server, settings)
    }

    fn written_down(&self) -> Vec<String> {
        crate::service::tests::written_down(&self.models.shared)
    }

    fn install(&self, source: &str) -> u64 {
        self.install_with(source, None)
    }

    fn install_with(&self, source: &str, token: Option<&str>) -> u64 {
        let job = self
            .models
            .install(&Actor::local_operator(), source, false, token, Map::new())
            .unwrap();
        job["id"].as_u64().unwrap()
    }

    fn job(&self, id: u64) -> Value {
        self.models.install_job(&Actor::local_operator(), id).unwrap()
    }

    /// The job once it stands so.
    fn wait(&self, id: u64, status: &str) -> Value {
        self.until(|| {
            let job = self.job(id);
            let over = ["completed", "error", "cancelled"].contains(&job["status"].as_str().unwrap());
            assert!(!over || job["status"] == json!(status), "{job:#}");
            (job["status"] == json!(status)).then_some(job)
        })
    }

    fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        for _ in 0..1500 {
            if let Some(found) = ready() {
                return found;
            }
            let _ = self.told.recv_timeout(Duration::from_millis(20));
        }
        panic!("waited for nothing; told: {:#?}", self.names());
    }

    /// Names of what was announced, progress once however often.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (name, _) in self.events.lock().iter() {
            if !name.ends_with("progress") || !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    fn record(&self, job: &Value) -> Value {
        let key = ModelKey::new(job["config_out"]["key"].as_str().unwrap());
        self.models.get(&Actor::local_operator(), &key).unwrap()
    }

    /// Folders of jobs that are still there.
    fn folders(&self) -> usize {
        let models = self.models.shared.layout.models_dir().to_owned();
        std::fs::read_dir(models)
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("tmpinstall_"))
            .count()
    }
}

impl Drop for Kit {
    fn drop(&mut self) {
        self.server.open();
        self.models.installer.stop();
    }
}

/// A safetensors file of zeros, single precision.
fn zeros(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let (mut header, mut end) = (Map::new(), 0);
    for (name, shape) in tensors {
        let begin = end;
        end += shape.iter().product::<usize>() * 4;
        header.insert(
            (*name).into(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [begin, end]}),
        );
    }
    let header = Value::Object(header).to_string();
    let mut file = u64::try_from(header.len()).unwrap().to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + end, 0);
    file
}

/// A LoRA for SD-1 in a file of some 200 KiB.
fn lora() -> Vec<u8> {
    let name = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight";
    let bytes = 64 * 768 * 4;
    let head = json!({name: {"dtype": "F32", "shape": [64, 768], "data_offsets": [0, bytes]}}).to_string();
    let mut file = u64::try_from(head.len()).unwrap().to_le_bytes().to_vec();
    file.extend_from_slice(head.as_bytes());
    file.extend((0..bytes).map(|i| (i % 251) as u8 & 0x3f));
    file
}
