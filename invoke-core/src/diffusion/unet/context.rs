//! What a denoiser looks at besides the latents, prepared once a run.

use std::collections::HashMap;

use candle_core::{Result, Tensor};

/// Which context tokens a query may look at, as an additive bias.
#[derive(Debug, Clone, Default)]
pub enum CrossBias {
    /// All tokens.
    #[default]
    None,
    /// `[b, 1, tokens]`, the same for all pixels: 0 for a token that counts, -10000 for padding.
    Tokens(Tensor),
    /// For each picture size that occurs, by its number of pixels: `[b, pixels, tokens]`. See
    /// [`regions::region_bias`](super::regions::region_bias).
    Pixels(HashMap<usize, Tensor>),
}

/// A row of a batch, or the one that all rows share.
pub(crate) fn row_of(batch: &Tensor, i: usize) -> Result<Tensor> {
    if batch.dim(0)? == 1 {
        Ok(batch.clone())
    } else {
        batch.narrow(0, i, 1)
    }
}

/// A context after every cross-attention layer's key and value products. Made by [`UNet::prepare`](super::UNet::prepare) or a
/// ControlNet's, valid for that model alone.
#[derive(Debug, Clone)]
pub struct Context {
    pub(crate) text: Vec<(Tensor, Tensor)>,
    pub(crate) bias: CrossBias,
    pub(crate) images: Vec<ImagePrompt>,
    /// SDXL's added embedding `[b, time width]`, to be added to the timestep's.
    pub(crate) added: Option<Tensor>,
}

/// Keys and values of an image prompt (IP-Adapter) for the layers it acts on.
#[derive(Debug, Clone)]
pub struct ImagePrompt {
    pub(crate) layers: Vec<Option<(Tensor, Tensor)>>,
    pub(crate) masks: Option<HashMap<usize, Tensor>>,
}

impl Context {
    /// Adds an image prompt; its scale is given at each step, in the order they were added.
    #[must_use]
    pub fn with_image(mut self, image: ImagePrompt) -> Self {
        self.images.push(image);
        self
    }

    /// What one row of the batch sees.
    pub(crate) fn row(&self, i: usize) -> Result<Self> {
        let pair = |(k, v): &(Tensor, Tensor)| Ok((row_of(k, i)?, row_of(v, i)?));
        let image = |image: &ImagePrompt| {
            let layers = image.layers.iter().map(|layer| layer.as_ref().map(pair).transpose());
            Ok(ImagePrompt::new(layers.collect::<Result<_>>()?, image.masks.clone()))
        };
        Ok(Self {
            text: self.text.iter().map(pair).collect::<Result<_>>()?,
            bias: match &self.bias {
                CrossBias::None => CrossBias::None,
                CrossBias::Tokens(bias) => CrossBias::Tokens(row_of(bias, i)?),
                CrossBias::Pixels(by_size) => CrossBias::Pixels(
                    by_size
                        .iter()
                        .map(|(pixels, bias)| Ok((*pixels, row_of(bias, i)?)))
                        .collect::<Result<_>>()?,
                ),
            },
            images: self.images.iter().map(image).collect::<Result<_>>()?,
            added: self.added.as_ref().map(|added| row_of(added, i)).transpose()?,
        })
    }

    pub(crate) fn text(&self, layer: usize) -> (&Tensor, &Tensor) {
        let (k, v) = &self.text[layer];
        (k, v)
    }

    pub(crate) fn images(&self) -> &[ImagePrompt] {
        &self.images
    }

    pub(crate) fn bias(&self, pixels: usize) -> Result<Option<&Tensor>> {
        match &self.bias {
            CrossBias::None => Ok(None),
            CrossBias::Tokens(bias) => Ok(Some(bias)),
            CrossBias::Pixels(by_size) => match by_size.get(&pixels) {
                Some(bias) => Ok(Some(bias)),
                None => candle_core::bail!("the regions were made for another size: none has {pixels} pixels"),
            },
        }
    }
}

impl ImagePrompt {
    /// `layers[i]` are keys and values `[b, tokens, inner]` for cross-attention layer `i`; `masks`, by number of pixels, are
    /// `[1, pixels, 1]`.
    pub(crate) fn new(layers: Vec<Option<(Tensor, Tensor)>>, masks: Option<HashMap<usize, Tensor>>) -> Self {
        Self { layers, masks }
    }

    pub(crate) fn layer(&self, layer: usize) -> Option<(&Tensor, &Tensor)> {
        self.layers.get(layer)?.as_ref().map(|(k, v)| (k, v))
    }

    pub(crate) fn mask(&self, pixels: usize) -> Result<Option<&Tensor>> {
        match &self.masks {
            None => Ok(None),
            Some(by_size) => match by_size.get(&pixels) {
                Some(mask) => Ok(Some(mask)),
                None => candle_core::bail!("the image prompt's mask was made for another size: none has {pixels} pixels"),
            },
        }
    }
}
