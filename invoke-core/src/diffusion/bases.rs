//! The configs of Stable Diffusion's bases, which single-file checkpoints do not carry. What a file's shapes say themselves (the widths of blocks) is
//! given by the caller.

use serde_json::{Value, json};

use super::error::Result;
use super::text::ClipConfig;
use super::unet::UNetConfig;
use super::vae::VaeConfig;
use super::weights::TextPart;

/// A family of models with one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Base {
    /// Stable Diffusion 1.
    Sd1,
    /// Stable Diffusion 2.
    Sd2,
    /// Stable Diffusion XL.
    Sdxl,
    /// Its refiner.
    SdxlRefiner,
}

impl Base {
    /// The base of a record's name; `None` for one that is not of Stable Diffusion 1, 2 or XL.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "sd-1" => Some(Self::Sd1),
            "sd-2" => Some(Self::Sd2),
            "sdxl" => Some(Self::Sdxl),
            "sdxl-refiner" => Some(Self::SdxlRefiner),
            _ => None,
        }
    }

    /// The base whose denoiser takes a context of this width.
    pub fn of_context(width: usize) -> Option<Self> {
        match width {
            768 => Some(Self::Sd1),
            1024 => Some(Self::Sd2),
            2048 => Some(Self::Sdxl),
            1280 => Some(Self::SdxlRefiner),
            _ => None,
        }
    }

    /// Widths of the denoiser's blocks as the base was published, largest picture first.
    pub fn unet_widths(self) -> &'static [usize] {
        match self {
            Self::Sd1 | Self::Sd2 => &[320, 640, 1280, 1280],
            Self::Sdxl => &[320, 640, 1280],
            Self::SdxlRefiner => &[384, 768, 1536, 1536],
        }
    }

    /// Shapes of the denoiser, for latents of `channels` and blocks of these widths, one for each of [`Self::unet_widths`]. `pooled` is the width
    /// of the pooled text that SDXL's are given besides.
    pub fn unet(self, channels: usize, widths: &[usize], pooled: usize) -> Result<UNetConfig> {
        UNetConfig::parse(&self.unet_json(channels, widths, pooled).to_string())
    }

    /// The denoiser's config in diffusers' form.
    pub(super) fn unet_json(self, channels: usize, widths: &[usize], pooled: usize) -> Value {
        let (down, up) = (["DownBlock2D", "CrossAttnDownBlock2D"], ["UpBlock2D", "CrossAttnUpBlock2D"]);
        let kinds = |names: [&str; 2], attention: &[usize]| attention.iter().map(|a| names[*a].to_owned()).collect::<Vec<_>>();
        let (attention, context): (&[usize], usize) = match self {
            Self::Sd1 => (&[1, 1, 1, 0], 768),
            Self::Sd2 => (&[1, 1, 1, 0], 1024),
            Self::Sdxl => (&[0, 1, 1], 2048),
            Self::SdxlRefiner => (&[0, 1, 1, 0], 1280),
        };
        let reversed: Vec<usize> = attention.iter().rev().copied().collect();
        let mut config = json!({
            "in_channels": channels, "out_channels": 4, "block_out_channels": widths, "layers_per_block": 2, "norm_num_groups": 32,
            "down_block_types": kinds(down, attention), "up_block_types": kinds(up, &reversed), "cross_attention_dim": context,
            // Stable Diffusion 1 has eight heads everywhere, the others heads of 64 channels.
            "attention_head_dim": widths.iter().map(|w| if self == Self::Sd1 { 8 } else { w / 64 }).collect::<Vec<_>>(),
        });
        if let Some(ids) = match self {
            Self::Sdxl => Some(6),
            Self::SdxlRefiner => Some(5),
            Self::Sd1 | Self::Sd2 => None,
        } {
            config["addition_embed_type"] = "text_time".into();
            config["addition_time_embed_dim"] = 256.into();
            config["projection_class_embeddings_input_dim"] = (pooled + ids * 256).into();
            config["transformer_layers_per_block"] = if self == Self::Sdxl { json!([1, 2, 10]) } else { json!(4) };
        }
        config
    }

    /// Shapes of a ControlNet for the base, with blocks of these widths, whose picture's embedding has stages of the widths `hints`.
    pub fn control_net(self, widths: &[usize], pooled: usize, hints: &[usize]) -> Result<UNetConfig> {
        let mut config = self.unet_json(4, widths, pooled);
        config["conditioning_embedding_out_channels"] = json!(hints);
        UNetConfig::parse(&config.to_string())
    }

    /// Shapes of the autoencoder, with blocks of these widths.
    pub fn vae(self, widths: &[usize]) -> Result<VaeConfig> {
        VaeConfig::parse(&self.vae_json(widths).to_string())
    }

    /// The autoencoder's config in diffusers' form.
    pub(super) fn vae_json(self, widths: &[usize]) -> Value {
        let (size, scaling) = match self {
            Self::Sd1 => (512, 0.18215),
            Self::Sd2 => (768, 0.18215),
            Self::Sdxl | Self::SdxlRefiner => (1024, 0.13025),
        };
        json!({
            "block_out_channels": widths, "layers_per_block": 2, "norm_num_groups": 32, "latent_channels": 4,
            "sample_size": size, "scaling_factor": scaling, "force_upcast": true,
        })
    }

    /// Shapes of a text encoder of `width` with so many `layers` in its file. Stable Diffusion 2 leaves out the last of its layers.
    pub fn text(self, part: TextPart, width: usize, layers: usize, vocabulary: usize) -> Result<ClipConfig> {
        ClipConfig::parse(&self.text_json(part, width, layers, vocabulary).to_string())
    }

    /// A text encoder's config in transformers' form.
    pub(super) fn text_json(self, part: TextPart, width: usize, layers: usize, vocabulary: usize) -> Value {
        let (layers, act) = match (self, part) {
            (Self::Sd1, _) | (Self::Sdxl, TextPart::First) => (layers, "quick_gelu"),
            (Self::Sd2, _) => (layers.saturating_sub(1), "gelu"),
            (Self::Sdxl | Self::SdxlRefiner, _) => (layers, "gelu"),
        };
        // Every one of CLIP's text encoders has heads of 64.
        json!({
            "hidden_size": width, "intermediate_size": width * 4, "num_hidden_layers": layers, "num_attention_heads": width / 64,
            "vocab_size": vocabulary, "hidden_act": act, "eos_token_id": 49407,
        })
    }

    /// Whether a text encoder's sequences are filled up with token 0 instead of the end token.
    pub fn pads_with_zero(self, part: TextPart) -> bool {
        self == Self::Sd2 || part == TextPart::Second
    }

    /// The scheduler's config, in diffusers' form. A model made for v-prediction says so in its record.
    pub fn scheduler(self) -> Value {
        let mut config = json!({
            "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "steps_offset": 1,
            "set_alpha_to_one": false, "skip_prk_steps": true, "clip_sample": false, "prediction_type": "epsilon", "trained_betas": null,
        });
        if matches!(self, Self::Sdxl | Self::SdxlRefiner) {
            config["timestep_spacing"] = "leading".into();
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bases_are_what_they_are_known_to_be() {
        let unet = |base: Base, channels| base.unet(channels, base.unet_widths(), 1280).unwrap();
        let sd = unet(Base::Sd1, 9);
        assert_eq!((sd.in_channels, sd.mid.heads, sd.mid.depth, sd.added), (9, 8, 1, None));
        assert!(sd.up[0].attention.is_none() && sd.up[3].attention.as_ref().unwrap()[2].heads == 8);
        let xl = unet(Base::Sdxl, 4);
        assert_eq!((xl.mid.heads, xl.mid.depth, xl.added), (20, 10, Some((256, 2816))));
        assert_eq!(xl.up[1].attention.as_ref().unwrap()[0].depth, 2);
        let refiner = unet(Base::SdxlRefiner, 4);
        assert_eq!((refiner.mid.heads, refiner.mid.depth, refiner.added), (24, 4, Some((256, 2560))));
        for (base, width) in [(Base::Sd1, 768), (Base::Sd2, 1024), (Base::Sdxl, 2048), (Base::SdxlRefiner, 1280)] {
            assert_eq!(Base::of_context(width), Some(base));
            assert_eq!(unet(base, 4).mid.context, width);
            assert_eq!(base.vae(&[128, 256, 512, 512]).unwrap().scale(), 8);
        }
        let text = Base::Sdxl.text(TextPart::Second, 1280, 32, 49408).unwrap();
        assert_eq!((text.hidden_size, text.num_attention_heads, text.num_hidden_layers), (1280, 20, 32));
        assert_eq!(Base::Sd2.text(TextPart::First, 1024, 24, 49408).unwrap().num_hidden_layers, 23);
        assert_eq!(Base::of_name("sdxl-refiner"), Some(Base::SdxlRefiner));
        assert!(Base::of_name("flux").is_none());
    }
}
