//! Maps of a surface's material from a picture of it.

use candle_core::{DType, Tensor};
use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};

use super::{going_on, load_as, loading, store};
use crate::{
    diffusion::ops::{Border, pad, pick},
    domain::shape::choices,
    imaging::{Mode, Picture},
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField},
    vision::{to_samples, to_tensor, upscale::Upscaler},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[entry::<PBRMaps>()];

/// The network that draws normals.
const NORMALS: &str = "https://huggingface.co/InvokeAI/pbr-material-maps/resolve/main/normal_map_generator.safetensors?download=true";
/// The network that draws roughness and displacement.
const OTHERS: &str = "https://huggingface.co/InvokeAI/pbr-material-maps/resolve/main/franken_map_generator.safetensors?download=true";
/// Pixels added around a picture whose border counts.
const FRAME: usize = 16;

/// Maps of a material.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "pbr_maps-output")]
struct PBRMapsOutput {
    /// Directions of the surface.
    #[field(default = null)]
    normal_map: ImageField,
    /// How rough it is.
    #[field(default = null)]
    roughness_map: ImageField,
    /// How high it is.
    #[field(default = null)]
    displacement_map: ImageField,
}

choices! {
    /// What lies beyond a picture's border.
    enum BorderMode { None = "none", Seamless = "seamless", Mirror = "mirror", Replicate = "replicate" }
}

/// Maps of normals, roughness and displacement.
#[derive(Debug, Deserialize, Node)]
#[node(id = "pbr_maps", title = "PBR Maps", version = "1.0.0", category = "controlnet_preprocessors", tags("image", "material"), output = PBRMapsOutput, board, metadata)]
struct PBRMaps {
    image: ImageField,
    #[field(default = 512)]
    tile_size: i64,
    #[field(default = "none")]
    border_mode: BorderMode,
}

/// The network's bytes for `x [1, 3, h, w]` in 0 to 1, in tiles of `side` pixels that see an eighth more around them.
fn in_tiles(cx: &dyn NodeCx, model: &Upscaler, x: &Tensor, side: usize) -> Result<Vec<u8>, NodeError> {
    let (_, _, h, w) = x.dims4()?;
    let margin = side.div_ceil(8);
    let mut bytes = vec![0; h * w * 3];
    for top in (0..h).step_by(side) {
        for left in (0..w).step_by(side) {
            cx.check_canceled()?;
            let seen = |start: usize, all: usize| (start.saturating_sub(margin)..(start + side + margin).min(all)).collect::<Vec<_>>();
            let (rows, columns) = (seen(top, h), seen(left, w));
            let output = model.forward(&pick(x, &rows, &columns)?, &going_on(cx))?;
            let own = |start: usize, all: usize, first: usize| (start - first..(start + side).min(all) - first).collect::<Vec<_>>();
            let (down, across) = (own(top, h, rows[0]), own(left, w, columns[0]));
            let samples = to_samples(&pick(&output, &down, &across)?)?;
            for (y, row) in samples.chunks_exact(across.len() * 3).enumerate() {
                let place = ((top + y) * w + left) * 3;
                for (to, v) in bytes[place..].iter_mut().zip(row) {
                    *to = (v.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
                }
            }
        }
    }
    Ok(bytes)
}

impl Invoke for PBRMaps {
    fn invoke(self, cx: &dyn NodeCx) -> Result<PBRMapsOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let side = usize::try_from(self.tile_size).ok().filter(|side| *side > 0);
        let side = side.ok_or_else(|| NodeError::value(format!("tile_size is {}, expected 1 or more", self.tile_size)))?;
        let device = &cx.workbench().device;
        let open = |source: &str| {
            loading::fetched(cx, source, "pbr_maps", |path| {
                let model = Upscaler::open(path, DType::F32, device)?;
                let bytes = model.bytes();
                if model.scale() == 1 {
                    Ok((model, bytes))
                } else {
                    Err(NodeError::value(format!("{source}: the model changes the picture's size")))
                }
            })
        };
        let (normals, others) = (open(NORMALS)?, open(OTHERS)?);
        // The networks take blue, green, red.
        let reversed = Tensor::new(&[2_u32, 1, 0], device)?;
        let x = to_tensor(&image, DType::F32, device, |v| v / 255.0)?
            .contiguous()?
            .index_select(&reversed, 1)?;
        let (width, height) = image.size();
        let around = |n: usize| (0..n + 2 * FRAME).map(|i| (i + n * FRAME - FRAME) % n).collect::<Vec<_>>();
        let x = match self.border_mode {
            BorderMode::None => x,
            BorderMode::Seamless => pick(&x, &around(height), &around(width))?,
            BorderMode::Mirror => pad(&x, [FRAME; 4], Border::Reflect)?,
            BorderMode::Replicate => pad(&x, [FRAME; 4], Border::Replicate)?,
        };
        let (_, _, h, w) = x.dims4()?;
        let frame = if matches!(self.border_mode, BorderMode::None) {
            0
        } else {
            FRAME as i64
        };
        let drawn = |model: &Upscaler| -> Result<Picture, NodeError> {
            let picture = Picture::from_samples(Mode::Rgb, w, h, in_tiles(cx, model, &x, side)?)?;
            Ok(picture.crop(frame, frame, frame + width as i64, frame + height as i64))
        };
        let (normals, others) = (drawn(&normals)?, drawn(&others)?);
        let grey = |band: usize| others.band(band).convert(Mode::Rgb);
        Ok(PBRMapsOutput {
            normal_map: store(cx, normals)?.image,
            roughness_map: store(cx, grey(1))?.image,
            displacement_map: store(cx, grey(2))?.image,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use candle_core::Device;
    use serde_json::json;

    use super::*;
    use crate::nodes::{
        image::{from_dynamic, into_dynamic},
        testing::{TestCx, run_in},
    };

    /// A picture, and two networks that change nothing.
    fn context(folder: &std::path::Path) -> TestCx {
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let names = ["body.0.weight", "body.0.bias", "body.1.weight", "body.2.weight", "body.2.bias"];
        let tensors = names.map(|name| {
            let is_kernel = name.ends_with("weight") && name != "body.1.weight";
            (name.to_owned(), if is_kernel { zeros(&[3, 3, 3, 3]) } else { zeros(&[3]) })
        });
        let path = folder.join("same.safetensors");
        candle_core::safetensors::save(&HashMap::from(tensors), &path).unwrap();
        let cx = TestCx {
            downloads: [NORMALS, OTHERS].map(|source| (source.to_owned(), path.clone())).to_vec(),
            ..TestCx::default()
        };
        let data = (0..40 * 24 * 3).map(|i| (i * 37 % 251) as u8).collect();
        let picture = Picture::from_samples(Mode::Rgb, 40, 24, data).unwrap();
        cx.images.lock().push(("in.png".into(), into_dynamic(picture).into(), None));
        cx
    }

    #[test]
    fn maps_are_the_networks_channels() {
        let folder = tempfile::tempdir().unwrap();
        for border in ["none", "seamless", "mirror", "replicate"] {
            let cx = context(folder.path());
            let values = json!({"image": {"image_name": "in.png"}, "tile_size": 16, "border_mode": border});
            run_in(&cx, "pbr_maps", values).unwrap();
            let images = cx.images.lock();
            let [given, normals, roughness, displacement] = [0, 1, 2, 3].map(|i| from_dynamic(&images[i].1));
            // The networks take blue, green, red, and give what they take.
            for (band, reversed) in [2, 1, 0].into_iter().enumerate() {
                assert!(normals.band(band) == given.band(reversed), "{border}");
            }
            assert!(
                roughness.band(0) == given.band(1) && displacement.band(0) == given.band(0),
                "{border}"
            );
        }
    }

    /// Who is canceled while a network computes is canceled before its next block.
    #[test]
    fn a_cancel_ends_maps_within_their_networks() {
        let folder = tempfile::tempdir().unwrap();
        let ended = |ends_at| {
            let cx = TestCx {
                ends_at,
                ..context(folder.path())
            };
            let result = run_in(&cx, "pbr_maps", json!({"image": {"image_name": "in.png"}, "tile_size": 16}));
            (result, cx.asked.into_inner(), cx.images.into_inner().len())
        };
        let (result, all, pictures) = ended(None);
        result.unwrap();
        // Each model before it is opened; each of six tiles, its block and what follows it, twice.
        assert_eq!((all, pictures), (2 + 2 * 6 * 3, 4));
        for at in 1..=all {
            let (result, asked, pictures) = ended(Some(at));
            assert_eq!((result.unwrap_err(), asked, pictures), (NodeError::Canceled, at, 1));
        }
    }
}
