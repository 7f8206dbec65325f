//! The configuration: `invokeai.yaml`, `api_keys.yaml`, `INVOKEAI_*` variables and flags, and the folders that follow from them.
//!
//! A later one wins: defaults, `invokeai.yaml`, `api_keys.yaml` (the `external_*` keys alone), environment, flags. A key is a line of
//! the table in `keys.rs`, from which follow how it is read, checked, shown and described. This is the only module that reads environment variables.

mod environment;
mod error;
mod hub;
mod keys;
mod layout;
mod load;
mod root;
mod secret;
mod value;
mod yaml;

pub use environment::Environment;
pub use error::ConfigError;
pub use hub::HubPlace;
pub use keys::{Key, SCHEMA_VERSION, Settings};
pub use layout::Layout;
pub use load::{Config, Flags};
pub use root::resolve_root;
pub use secret::{MASK, Secret};
pub use value::{BasePath, Devices, LogFormat, LogLevel, ProxyUrl, QueueMode, SubfolderStrategy, UrlToken, is_device};
