//! The transformer.

use candle_core::{DType, Tensor};

use super::blocks::{DoubleBlock, Embedder, Places, SingleBlock, WAVES, modulated, waves};
use super::config::FluxConfig;
use super::dype::{DyPe, Stretch};
use super::places::{Place, angles};
use super::text::JoinedText;
use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::ops::{AttentionMask, Linear, Rotary, silu};
use crate::diffusion::weights::Weights;

/// The transformer with its weights.
#[derive(Debug, Clone)]
pub struct Flux {
    config: FluxConfig,
    picture_in: Linear,
    text_in: Linear,
    time_in: Embedder,
    pooled_in: Embedder,
    guidance_in: Option<Embedder>,
    double_blocks: Vec<DoubleBlock>,
    single_blocks: Vec<SingleBlock>,
    modulation: Linear,
    out: Linear,
    dtype: DType,
    device: candle_core::Device,
}

/// Text that was prepared for the blocks: it stays the same over the steps of a run.
#[derive(Debug, Clone)]
pub struct FluxText {
    text: Tensor,
    pooled: Tensor,
    mask: Option<Tensor>,
}

/// What goes into an evaluation besides picture and text.
#[derive(Clone, Copy)]
pub struct Conditions<'a> {
    /// The noise level, 1 to 0, times 1000.
    pub time: f32,
    /// The strength of guidance times 1000, for models that are told.
    pub guidance: f32,
    /// Stretching of places at this noise level.
    pub dype: Option<(&'a DyPe, f64)>,
    /// Asked before each block; an error ends the evaluation with it.
    pub between: &'a dyn Fn() -> Result<()>,
}

impl Flux {
    /// Reads the weights of a transformer of the given shapes.
    pub fn load(config: FluxConfig, weights: &Weights) -> Result<Self> {
        let hidden = config.hidden;
        // Some files have the right numbers under a wrong shape.
        let weight = weights.read("img_in.weight")?.reshape((hidden, config.in_channels))?;
        let picture_in = Linear::new(weight, Some(weights.get("img_in.bias", &[hidden])?))?;
        let embedder = |name: &str, inputs| Embedder::load(&weights.at(name), inputs, hidden);
        let guidance_in = if config.guidance {
            Some(embedder("guidance_in", WAVES)?)
        } else {
            None
        };
        let double = |i| DoubleBlock::load(&weights.at(format_args!("double_blocks.{i}")), &config);
        let single = |i| SingleBlock::load(&weights.at(format_args!("single_blocks.{i}")), &config);
        Ok(Self {
            picture_in,
            text_in: weights.at("txt_in").linear(config.context, hidden)?,
            time_in: embedder("time_in", WAVES)?,
            pooled_in: embedder("vector_in", config.pooled)?,
            guidance_in,
            double_blocks: (0..config.double_blocks).map(double).collect::<Result<_>>()?,
            single_blocks: (0..config.single_blocks).map(single).collect::<Result<_>>()?,
            modulation: weights.at("final_layer.adaLN_modulation.1").linear(hidden, 2 * hidden)?,
            out: weights.at("final_layer.linear").linear(hidden, config.out_channels)?,
            dtype: weights.computes_in(),
            device: weights.device().clone(),
            config,
        })
    }

    /// The model's shapes.
    pub fn config(&self) -> &FluxConfig {
        &self.config
    }

    /// Bytes of a number that the model computes with.
    pub fn width(&self) -> u64 {
        self.dtype.size_in_bytes() as u64
    }

    /// The device it computes on.
    pub fn device(&self) -> &candle_core::Device {
        &self.device
    }

    /// Prepares text for all the steps of a run.
    pub fn prepare(&self, text: &JoinedText) -> Result<FluxText> {
        let (_, _, context) = text.tokens.dims3()?;
        let (_, pooled) = text.pooled.dims2()?;
        if (context, pooled) != (self.config.context, self.config.pooled) {
            return Err(ModelError::Input(format!(
                "the text is {context} wide and {pooled} pooled, this model takes {} and {}",
                self.config.context, self.config.pooled
            )));
        }
        let placed = |t: &Tensor| t.to_device(&self.device)?.to_dtype(self.dtype);
        Ok(FluxText {
            text: self.text_in.forward(&placed(&text.tokens)?)?,
            pooled: self.pooled_in.forward(&placed(&text.pooled)?)?,
            mask: text.mask.as_ref().map(|mask| mask.to_device(&self.device)).transpose()?,
        })
    }

    /// Predicts from tokens `[1, n, in_channels]` at these places how they change with the noise level: `[1, n, out_channels]` in single floats.
    pub fn forward(&self, tokens: &Tensor, places: &[Place], text: &FluxText, conditions: &Conditions<'_>) -> Result<Tensor> {
        let (count, n, channels) = tokens.dims3()?;
        if count != 1 || channels != self.config.in_channels || places.len() != n {
            return Err(ModelError::Input(format!(
                "{count} pictures of {n} tokens of {channels} channels at {} places, this model takes one of {} channels, and a place for each token",
                places.len(),
                self.config.in_channels
            )));
        }
        let m = text.text.dim(1)?;
        let mask = match &text.mask {
            Some(mask) if mask.dims() != [1, m + n, m + n] => {
                return Err(ModelError::Input(format!(
                    "regions are {:?}, expected {} tokens by as many",
                    mask.dims(),
                    m + n
                )));
            }
            Some(mask) => AttentionMask::Bias(mask),
            None => AttentionMask::None,
        };
        let places = self.places(m, places, conditions.dype)?;
        let condition = silu(&self.condition(text, conditions)?)?;
        let mut picture = self.picture_in.forward(&tokens.to_device(&self.device)?.to_dtype(self.dtype)?)?;
        let mut words = text.text.clone();
        for (i, block) in self.double_blocks.iter().enumerate() {
            (conditions.between)()?;
            [words, picture] = block.forward([&words, &picture], &condition, &places, every_second(mask, i))?;
        }
        let mut all = Tensor::cat(&[&words, &picture], 1)?;
        drop((words, picture));
        for (i, block) in self.single_blocks.iter().enumerate() {
            (conditions.between)()?;
            all = block.forward(&all, &condition, &places.all, every_second(mask, i))?;
        }
        let picture = all.narrow(1, m, n)?;
        let around = self.modulation.forward(&condition)?;
        let part = |i: usize| {
            around
                .narrow(1, i * self.config.hidden, self.config.hidden)?
                .flatten_all()?
                .contiguous()
        };
        let norm = modulated(&part(0)?, &part(1)?)?;
        Ok(self.out.forward(&norm.forward(&picture)?)?.to_dtype(DType::F32)?)
    }

    /// Time, guidance and pooled text as one vector, `[1, hidden]`.
    fn condition(&self, text: &FluxText, conditions: &Conditions<'_>) -> Result<Tensor> {
        let embedded = |by: &Embedder, number: f32| by.forward(&waves(number, self.dtype, &self.device)?);
        let mut condition = embedded(&self.time_in, conditions.time)?;
        if let Some(guidance_in) = &self.guidance_in {
            condition = (condition + embedded(guidance_in, conditions.guidance)?)?;
        }
        Ok((condition + &text.pooled)?)
    }

    fn places(&self, words: usize, picture: &[Place], dype: Option<(&DyPe, f64)>) -> Result<Places> {
        let stretch = dype.map_or(Stretch::NONE, |(dype, t)| Stretch::at(Some(dype), t));
        let pairs = self.config.head / 2;
        // Words have no place: they are turned by nothing.
        let mut all = vec![0.0; words * pairs];
        all.extend(angles(picture, self.config.axes, stretch));
        let turned = |angles: &[f64]| Rotary::new(angles, pairs, &self.device);
        Ok(Places {
            text: turned(&all[..words * pairs])?,
            picture: turned(&all[words * pairs..])?,
            all: turned(&all)?,
        })
    }
}

/// Regions hold in every second block; the others look at everything, so that regions fit together.
fn every_second(mask: AttentionMask<'_>, block: usize) -> AttentionMask<'_> {
    if block.is_multiple_of(2) { mask } else { AttentionMask::None }
}
