//! The shapes of a transformer, read off its tensors.

use crate::diffusion::error::{ModelError, Result};
use crate::diffusion::weights::Source;

/// The most blocks of a kind.
const MOST_BLOCKS: usize = 512;

/// Shapes of a transformer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FluxConfig {
    /// Channels of a token that goes in: 64, or 384 where a picture and its mask go in beside it (Fill).
    pub in_channels: usize,
    /// Channels of a token that comes out: 64.
    pub out_channels: usize,
    /// Width of the pooled text.
    pub pooled: usize,
    /// Width of the text's tokens.
    pub context: usize,
    /// Width of the blocks.
    pub hidden: usize,
    /// Width of a head of attention.
    pub head: usize,
    /// Width inside the feed-forward parts.
    pub inner: usize,
    /// Blocks that keep text and picture apart.
    pub double_blocks: usize,
    /// Blocks that do not.
    pub single_blocks: usize,
    /// Whether the strength of guidance goes in (it does not for schnell).
    pub guidance: bool,
    /// Channels of a head that each of a token's three coordinates turns.
    pub axes: [usize; 3],
}

impl FluxConfig {
    /// Reads the shapes off a source with the names of Black Forest Labs.
    pub fn of(source: &dyn Source) -> Result<Self> {
        let axis = |name: &str, axis: usize| -> Result<usize> {
            let shape = source.info(name).map(|info| info.shape).ok_or_else(|| ModelError::MissingTensor {
                file: source.label(),
                tensor: name.to_owned(),
            })?;
            let size = shape.get(axis).copied().filter(|size| *size > 0);
            size.ok_or_else(|| ModelError::Corrupt {
                file: source.label(),
                reason: format!("tensor `{name}` has shape {shape:?}"),
            })
        };
        let corrupt = |reason: String| ModelError::Corrupt {
            file: source.label(),
            reason,
        };
        let blocks = |kind: &str, tensor: &str| -> usize {
            let has = |number: &usize| source.info(&format!("{kind}.{number}.{tensor}")).is_some();
            (0..MOST_BLOCKS).take_while(has).count()
        };
        let hidden = axis("img_in.bias", 0)?;
        let elements = source.info("img_in.weight").map_or(0, |info| info.elements());
        if elements == 0 || !elements.is_multiple_of(hidden) {
            return Err(corrupt(format!(
                "`img_in.weight` has {elements} elements, expected a multiple of {hidden}"
            )));
        }
        let (double_blocks, single_blocks) = (
            blocks("double_blocks", "img_attn.qkv.weight"),
            blocks("single_blocks", "linear1.weight"),
        );
        if double_blocks == 0 {
            return Err(corrupt("it lacks the tensor `double_blocks.0.img_attn.qkv.weight`".into()));
        }
        let head = axis("double_blocks.0.img_attn.norm.query_norm.scale", 0)?;
        let inner = axis("double_blocks.0.img_mlp.0.weight", 0)?;
        let axes = axes(head).ok_or_else(|| corrupt(format!("its heads are {head} wide, expected a multiple of 32 up to 1024")))?;
        if hidden % head != 0 {
            return Err(corrupt(format!("its width {hidden} does not divide into heads of {head}")));
        }
        Ok(Self {
            // Some files have the right numbers under a wrong shape.
            in_channels: elements / hidden,
            out_channels: axis("final_layer.linear.bias", 0)?,
            pooled: axis("vector_in.in_layer.weight", 1)?,
            context: axis("txt_in.weight", 1)?,
            hidden,
            head,
            inner,
            double_blocks,
            single_blocks,
            guidance: source.info("guidance_in.in_layer.weight").is_some(),
            axes,
        })
    }

    /// Heads of attention.
    pub fn heads(&self) -> usize {
        self.hidden / self.head
    }

    /// Bytes that a run takes for so many tokens of text and picture together, besides the weights: what a block computes on, `width` bytes a number.
    pub fn working_bytes(&self, tokens: usize, width: u64) -> u64 {
        let numbers = 2 * (4 * self.hidden + self.inner) + 4 * self.hidden;
        (tokens as u64).saturating_mul(numbers as u64).saturating_mul(width)
    }
}

/// An eighth of a head for the first coordinate and the rest in halves for the others: 16, 56 and 56 of 128.
fn axes(head: usize) -> Option<[usize; 3]> {
    let fits = head > 0 && head <= 1024 && head.is_multiple_of(32);
    fits.then(|| [head / 8, head / 16 * 7, head / 16 * 7])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_divide_as_they_were_published() {
        assert_eq!(axes(128), Some([16, 56, 56]));
        assert_eq!(axes(32), Some([4, 14, 14]));
        assert_eq!((axes(0), axes(48), axes(1 << 20)), (None, None, None));
    }
}
