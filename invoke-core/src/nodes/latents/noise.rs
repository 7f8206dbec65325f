//! Noise to start from.

use invoke_macros::Node;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    diffusion::noise,
    domain::shape::choices,
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::LatentsField,
        outputs::NoiseOutput,
        workbench::{keep, make_room},
    },
};

pub(super) const NODES: &[NodeEntry] = &[entry::<Noise>()];

choices! {
    /// The family of models that the noise is for.
    enum NoiseType { Sd = "SD", Flux = "FLUX", Flux2 = "FLUX.2", Sd3 = "SD3", CogView4 = "CogView4", ZImage = "Z-Image", Anima = "Anima" }
}

impl NoiseType {
    /// Latent channels, and what a side must be a multiple of.
    const fn channels_and_multiple(&self) -> (usize, i64) {
        match self {
            Self::Sd => (4, 8),
            Self::Flux | Self::Sd3 | Self::ZImage => (16, 16),
            Self::Flux2 => (32, 16),
            Self::CogView4 => (16, 32),
            Self::Anima => (16, 8),
        }
    }
}

/// Seeds begin anew where 32 bits end, and end where they begin.
fn wrapped(seed: Value) -> Value {
    seed.as_i64().map_or(seed, |seed| json!(seed.rem_euclid(1 << 32)))
}

/// Makes noise from a seed, as torch's generator on a CPU makes it.
#[derive(Debug, Deserialize, Node)]
#[node(id = "noise", title = "Create Latent Noise", version = "1.1.0", category = "latents", tags("latents", "noise"), output = NoiseOutput)]
struct Noise {
    #[field(default = "SD")]
    noise_type: NoiseType,
    #[field(default = 0, ge = 0, le = 4294967295_u32, before = wrapped)]
    seed: i64,
    #[field(default = 512, gt = 0, multiple_of = 8)]
    width: i64,
    #[field(default = 512, gt = 0, multiple_of = 8)]
    height: i64,
    #[field(default = true)]
    #[serde(rename = "use_cpu")]
    _use_cpu: bool,
}

impl Invoke for Noise {
    fn invoke(self, cx: &dyn NodeCx) -> Result<NoiseOutput, NodeError> {
        let (channels, multiple) = self.noise_type.channels_and_multiple();
        for (name, side) in [("width", self.width), ("height", self.height)] {
            if side % multiple != 0 {
                return Err(NodeError::value(format!("{name} is {side}, expected a multiple of {multiple}")));
            }
        }
        // Drawn once as it is kept and once on the way.
        let bytes = (self.width as u64 / 8)
            .saturating_mul(self.height as u64 / 8)
            .saturating_mul(8 * channels as u64);
        make_room(cx, bytes, &format!("noise for {}×{} pixels", self.width, self.height))?;
        let noise = noise::latent_noise(self.seed as u64, channels, self.height as usize / 8, self.width as usize / 8)?;
        let noise = if matches!(self.noise_type, NoiseType::Anima) {
            noise.unsqueeze(2)?
        } else {
            noise
        };
        let latents_name = keep(cx, noise);
        Ok(NoiseOutput {
            noise: LatentsField {
                latents_name,
                seed: Some(self.seed),
            },
            width: self.width,
            height: self.height,
        })
    }
}
