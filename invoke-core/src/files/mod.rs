//! Pictures as files: where they lie, how they are written, read and removed, and what is embedded in them.
//!
//! Nothing here knows accounts or records. A name is an [`ImageName`](crate::domain::ImageName), parsed before it gets here, and a
//! subfolder is checked part by part, so no path leaves the store's folder.

mod decode;
mod disk;
mod export;
mod memory;
mod png_text;
mod store;
mod subfolder;
mod thumbnail;

pub use decode::{DecodeError, MAX_PIXELS, decode_picture};
pub use disk::DiskStore;
pub use export::export;
pub use memory::MemoryStore;
pub use png_text::{ChunkError, Chunks, EncodeOptions, encode_png, read_chunks};
pub use store::{ImageStore, Recovered, Staged, StoreError, StoredFile, Victim};
pub use thumbnail::{THUMBNAIL_SIDE, thumbnail_webp};
