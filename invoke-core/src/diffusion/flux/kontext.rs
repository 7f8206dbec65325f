//! Pictures to refer to (Kontext): their tokens follow those of the picture that is made.

use candle_core::Tensor;

use super::latents::pack;
use super::places::{Place, places_of};
use crate::diffusion::error::Result;

/// Pictures that a run refers to.
#[derive(Debug, Clone)]
pub struct Reference {
    /// Their tokens, `[1, n, 64]`.
    pub tokens: Tensor,
    /// A place for each.
    pub places: Vec<Place>,
}

impl Reference {
    /// From the latents of pictures, `[1, 16, h, w]` each, one at least: they are laid side by side or below each other, whichever keeps the whole more
    /// like a square. `None` if there is none.
    pub fn of(pictures: &[Tensor]) -> Result<Option<Self>> {
        let (mut tokens, mut places) = (Vec::new(), Vec::new());
        let (mut height, mut width) = (0, 0);
        for latents in pictures {
            let latents = even(latents)?;
            let (_, _, h, w) = latents.dims4()?;
            let (down, right) = if tokens.is_empty() {
                (0, 0)
            } else if height + h > width + w {
                (0, width)
            } else {
                (height, 0)
            };
            (height, width) = (height.max(down + h), width.max(right + w));
            places.extend(places_of(1, (h / 2, w / 2), (down / 2, right / 2)));
            tokens.push(pack(&latents)?);
        }
        if tokens.is_empty() {
            return Ok(None);
        }
        let tokens = Tensor::cat(&tokens, 1)?;
        Ok(Some(Self { tokens, places }))
    }
}

/// Latents with even sides: an odd one goes on with its beginning.
fn even(latents: &Tensor) -> Result<Tensor> {
    let mut latents = latents.clone();
    for axis in [2, 3] {
        if latents.dim(axis)? % 2 != 0 {
            latents = Tensor::cat(&[&latents, &latents.narrow(axis, 0, 1)?], axis)?;
        }
    }
    Ok(latents)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn references_lie_beside_or_below_each_other() {
        let latents = |h, w| Tensor::zeros((1, 16, h, w), DType::F32, &Device::Cpu).unwrap();
        assert!(Reference::of(&[]).unwrap().is_none());
        let all = Reference::of(&[latents(4, 2), latents(2, 2), latents(1, 6)]).unwrap().unwrap();
        // The second beside the first (below, the whole would be longer than wide), the third below both.
        assert_eq!(
            all.places,
            [
                [1.0, 0.0, 0.0],
                [1.0, 1.0, 0.0],
                [1.0, 0.0, 1.0],
                [1.0, 2.0, 0.0],
                [1.0, 2.0, 1.0],
                [1.0, 2.0, 2.0]
            ]
        );
        assert_eq!(all.tokens.dims(), [1, 6, 64]);
    }
}
