//! Models that steer a denoiser by a picture: ControlNet, T2I-Adapter, IP-Adapter.

mod clip_vision;
mod control_net;
mod ip_adapter;
mod resampler;
mod t2i_adapter;

pub use clip_vision::ClipVisionModel;
pub use control_net::{ControlNet, ControlStrength};
pub use ip_adapter::{COMPOSITION, ImageFeatures, IpAdapter, IpTarget};
pub use t2i_adapter::T2iAdapter;
