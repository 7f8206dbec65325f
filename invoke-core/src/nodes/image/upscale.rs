//! Enlarging pictures, and other work of models from picture to picture.

use std::path::Path;

use candle_core::DType;
use invoke_macros::Node;
use serde::Deserialize;

use super::{going_on, load_as, loading, size, store};
use crate::{
    diffusion::ops::{Border, crop, pad, pick},
    domain::shape::choices,
    imaging::{
        Mode, Picture, Resample,
        tiles::{self, Sides, Tile},
    },
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ImageField, ModelIdentifierField},
        outputs::ImageOutput,
    },
    vision::{to_samples, to_tensor, upscale::Upscaler},
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<EsrganUpscale>(),
    entry::<SpandrelImageToImage>(),
    entry::<SpandrelImageToImageAutoscale>(),
];

/// How much neighbouring tiles share at least.
const OVERLAP: usize = 20;
/// Most passes of a model over its own results.
const MOST_PASSES: usize = 5;

fn open(cx: &dyn NodeCx, path: &Path, dtype: DType) -> Result<(Upscaler, u64), NodeError> {
    let model = Upscaler::open(path, dtype, &cx.workbench().device)?;
    let bytes = model.bytes();
    Ok((model, bytes))
}

/// Tiles in reading order; one tile for a tile size of 0 or less, or when the picture fits into one.
fn tiles_of(picture: &Picture, tile_size: i64) -> Result<Vec<Tile>, NodeError> {
    let (width, height) = picture.size();
    let side = usize::try_from(tile_size).unwrap_or(0);
    if side == 0 || (side > OVERLAP && side >= width.max(height)) {
        let coords = Sides {
            top: 0,
            bottom: height,
            left: 0,
            right: width,
        };
        return Ok(vec![Tile {
            coords,
            overlap: Sides::default(),
        }]);
    }
    tiles::min_overlap(width, height, side, side, OVERLAP).map_err(|error| NodeError::value(format!("tile_size: {error}")))
}

/// A model's result for a whole picture. `told` is called with the number of tiles done and of all tiles.
fn upscale(
    cx: &dyn NodeCx,
    model: &Upscaler,
    picture: &Picture,
    tile_size: i64,
    told: impl Fn(usize, usize),
) -> Result<Picture, NodeError> {
    let scale = model.scale();
    let (width, height) = size((picture.width() * scale) as i64, (picture.height() * scale) as i64)?;
    let all = tiles_of(picture, tile_size)?;
    let bench = cx.workbench();
    let mut result = Picture::new(Mode::Rgb, width, height);
    told(0, all.len());
    for (done, Tile { coords, overlap }) in all.iter().enumerate() {
        cx.check_canceled()?;
        let part = picture.crop(coords.left as i64, coords.top as i64, coords.right as i64, coords.bottom as i64);
        let input = to_tensor(&part, bench.dtype(), &bench.device, |v| v / 255.0)?;
        let samples = to_samples(&model.run(&input, &going_on(cx))?)?;
        let across = (coords.right - coords.left) * scale;
        // Half of what is shared with the tiles above and to the left stays theirs.
        let (from_top, from_left) = (overlap.top * scale / 2, overlap.left * scale / 2);
        for y in from_top..(coords.bottom - coords.top) * scale {
            let row = &samples[(y * across + from_left) * 3..(y + 1) * across * 3];
            let start = ((coords.top * scale + y) * width + coords.left * scale + from_left) * 3;
            for (to, v) in result.data_mut()[start..].iter_mut().zip(row) {
                *to = (v * 255.0) as u8;
            }
        }
        told(done + 1, all.len());
    }
    Ok(result)
}

/// Runs a model from picture to picture.
#[derive(Debug, Deserialize, Node)]
#[node(id = "spandrel_image_to_image", title = "Image-to-Image", version = "1.3.0", category = "upscale", tags("upscale"), output = ImageOutput, board, metadata)]
struct SpandrelImageToImage {
    image: ImageField,
    #[field(title = "Image-to-Image Model", model_type("spandrel_image_to_image"))]
    image_to_image_model: ModelIdentifierField,
    #[field(default = 512)]
    tile_size: i64,
}

fn installed(cx: &dyn NodeCx, model: &ModelIdentifierField) -> Result<std::sync::Arc<Upscaler>, NodeError> {
    loading::installed(cx, model, "upscaler", |path| open(cx, path, cx.workbench().dtype()))
}

impl Invoke for SpandrelImageToImage {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let model = installed(cx, &self.image_to_image_model)?;
        let told = |done: usize, all: usize| {
            let part = done as f64 / all as f64;
            cx.progress(&format!("Processing tile {done}/{all}"), Some(part), None);
        };
        store(cx, upscale(cx, &model, &image, self.tile_size, told)?)
    }
}

/// Runs a model from picture to picture until the picture is as large as it shall be.
#[derive(Debug, Deserialize, Node)]
#[node(id = "spandrel_image_to_image_autoscale", title = "Image-to-Image (Autoscale)", version = "1.0.0", category = "upscale", tags("upscale"), output = ImageOutput, board, metadata)]
struct SpandrelImageToImageAutoscale {
    image: ImageField,
    #[field(title = "Image-to-Image Model", model_type("spandrel_image_to_image"))]
    image_to_image_model: ModelIdentifierField,
    #[field(default = 512)]
    tile_size: i64,
    #[field(default = 4.0, gt = 0.0, le = 16.0)]
    scale: f64,
    #[field(default = false)]
    fit_to_multiple_of_8: bool,
}

impl Invoke for SpandrelImageToImageAutoscale {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let mut image = load_as(cx, &self.image, Mode::Rgb)?;
        let (first_width, first_height) = image.size();
        let wanted = |n: usize| (n as f64 * self.scale) as usize;
        let (mut width, mut height) = (wanted(first_width), wanted(first_height));
        let model = installed(cx, &self.image_to_image_model)?;
        for pass in 1..=MOST_PASSES {
            cx.progress(&format!("Processing iteration {pass}"), None, None);
            image = upscale(cx, &model, &image, self.tile_size, |done, all| {
                let text = format!("Processing iteration {pass}, tile {done}/{all}");
                cx.progress(&text, Some(done as f64 / all as f64), None);
            })?;
            if model.scale() == 1 {
                if self.scale > 1.0 {
                    tracing::warn!("the model does not enlarge pictures: the scale of {} is ignored", self.scale);
                }
                (width, height) = image.size();
            }
            if image.width() >= width && image.height() >= height {
                break;
            }
        }
        if self.fit_to_multiple_of_8 {
            (width, height) = (width / 8 * 8, height / 8 * 8);
        }
        let (width, height) = size(width as i64, height as i64)?;
        store(cx, image.resize(width, height, Resample::Lanczos))
    }
}

choices! {
    /// The models that are known by name.
    enum EsrganModel {
        X4Plus = "RealESRGAN_x4plus.pth",
        Anime = "RealESRGAN_x4plus_anime_6B.pth",
        Df2kOst = "ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
        X2Plus = "RealESRGAN_x2plus.pth"
    }
}

impl EsrganModel {
    fn source(self) -> &'static str {
        match self {
            Self::X4Plus => "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.0/RealESRGAN_x4plus.pth",
            Self::Anime => "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
            Self::Df2kOst => "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.1.1/ESRGAN_SRx4_DF2KOST_official-ff704c30.pth",
            Self::X2Plus => "https://github.com/xinntao/Real-ESRGAN/releases/download/v0.2.1/RealESRGAN_x2plus.pth",
        }
    }
}

/// Enlarges a picture by one of the models of Real-ESRGAN.
#[derive(Debug, Deserialize, Node)]
#[node(id = "esrgan", title = "Upscale (RealESRGAN)", version = "1.3.2", category = "upscale", tags("esrgan", "upscale"), output = ImageOutput, board, metadata)]
struct EsrganUpscale {
    image: ImageField,
    #[field(default = "RealESRGAN_x4plus.pth")]
    model_name: EsrganModel,
    #[field(default = 400, ge = 0)]
    tile_size: i64,
}

impl Invoke for EsrganUpscale {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        /// Pixels added to the right and below at first, and seen around each tile.
        const MARGIN: usize = 10;
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        // In full precision, as the original computes these.
        let model = loading::fetched(cx, self.model_name.source(), "esrgan", |path| open(cx, path, DType::F32))?;
        let scale = model.scale();
        let (width, height) = image.size();
        let (out_width, out_height) = size((width * scale) as i64, (height * scale) as i64)?;
        if width.min(height) <= MARGIN {
            return Err(NodeError::value(format!(
                "the picture is {width}x{height}, expected more than {MARGIN} pixels along each side"
            )));
        }
        let input = to_tensor(&image, DType::F32, &cx.workbench().device, |v| v / 255.0)?;
        let mut input = pad(&input, [0, MARGIN, 0, MARGIN], Border::Reflect)?;
        if scale == 2 {
            input = pad(&input, [0, height % 2, 0, width % 2], Border::Reflect)?;
        }
        let (_, _, tall, broad) = input.dims4()?;
        let side = match usize::try_from(self.tile_size) {
            Ok(side @ 1..) => side,
            _ => tall.max(broad),
        };
        let (down, across) = (tall.div_ceil(side), broad.div_ceil(side));
        let mut result = vec![0; out_width * out_height * 3];
        for tile in 0..down * across {
            cx.check_canceled()?;
            let (top, left) = (tile / across * side, tile % across * side);
            let seen = |start: usize, most: usize| -> Vec<usize> {
                let end = (start + side).min(most);
                (start.saturating_sub(MARGIN)..(end + MARGIN).min(most)).collect()
            };
            let (rows, columns) = (seen(top, tall), seen(left, broad));
            let output = model.forward(&pick(&input, &rows, &columns)?, &going_on(cx))?;
            let inner = pick(
                &output,
                &((top - rows[0]) * scale..rows.len() * scale).collect::<Vec<_>>(),
                &((left - columns[0]) * scale..columns.len() * scale).collect::<Vec<_>>(),
            )?;
            // What lies beyond the picture or belongs to the next tile is cut away.
            let (end_y, end_x) = ((top + side).min(height), (left + side).min(width));
            if top < end_y && left < end_x {
                let (h, w) = ((end_y - top) * scale, (end_x - left) * scale);
                for (y, row) in to_samples(&crop(&inner, h, w)?)?.chunks_exact(w * 3).enumerate() {
                    let start = ((top * scale + y) * out_width + left * scale) * 3;
                    for (to, v) in result[start..].iter_mut().zip(row) {
                        *to = (v.clamp(0.0, 1.0) * 255.0).round_ties_even() as u8;
                    }
                }
            }
        }
        let result = Picture::from_samples(Mode::Rgb, out_width, out_height, result)?;
        store(cx, result.convert(Mode::Rgba))
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::PathBuf};

    use candle_core::{Device, Tensor};
    use serde_json::{Value, json};

    use super::*;
    use crate::nodes::{
        image::{from_dynamic, into_dynamic},
        testing::{TestCx, run_in},
    };

    /// A convolution of three channels that changes nothing, or gives nothing.
    fn conv(outputs: usize, inputs: usize, factor: f32) -> Tensor {
        let mut weight = vec![0.0; outputs * inputs * 9];
        for i in 0..outputs.min(inputs) {
            weight[(i * inputs + i) * 9 + 4] = factor;
        }
        Tensor::from_vec(weight, (outputs, inputs, 3, 3), &Device::Cpu).unwrap()
    }

    fn saved(folder: &Path, name: &str, tensors: Vec<(String, Tensor)>) -> PathBuf {
        let mut all: HashMap<String, Tensor> = HashMap::new();
        for (name, weight) in tensors {
            all.insert(
                format!("{name}.bias"),
                Tensor::zeros(weight.dim(0).unwrap(), DType::F32, &Device::Cpu).unwrap(),
            );
            all.insert(format!("{name}.weight"), weight);
        }
        let path = folder.join(name);
        candle_core::safetensors::save(&all, &path).unwrap();
        path
    }

    /// A network whose result is the picture itself, `scale` times as large.
    fn compact(folder: &Path, scale: usize) -> PathBuf {
        let slopes = Tensor::ones(3, DType::F32, &Device::Cpu).unwrap();
        let path = saved(
            folder,
            "compact",
            vec![
                ("body.0".into(), conv(3, 3, 1.0)),
                ("body.2".into(), conv(3 * scale * scale, 3, 0.0)),
            ],
        );
        let mut all = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        all.insert("body.1.weight".into(), slopes);
        candle_core::safetensors::save(&all, &path).unwrap();
        path
    }

    /// Real-ESRGAN of the same kind, four times as large.
    fn esrgan(folder: &Path) -> PathBuf {
        let mut tensors = vec![("conv_body".into(), conv(3, 3, 0.0))];
        for name in ["conv_first", "conv_up1", "conv_up2", "conv_hr", "conv_last"] {
            tensors.push((name.into(), conv(3, 3, 1.0)));
        }
        for part in 1..=3 {
            for number in 1..=5 {
                let outputs = if number == 5 { 3 } else { 1 };
                tensors.push((format!("body.0.rdb{part}.conv{number}"), conv(outputs, 2 + number, 0.0)));
            }
        }
        saved(folder, "esrgan", tensors)
    }

    fn picture(width: usize, height: usize) -> Picture {
        let data = (0..width * height * 3).map(|i| (i * 37 % 251) as u8).collect();
        Picture::from_samples(Mode::Rgb, width, height, data).unwrap()
    }

    fn context(path: &Path, picture: &Picture) -> TestCx {
        let cx = TestCx {
            models: vec![json!({"key": "m", "path": path})],
            downloads: vec![(EsrganModel::X4Plus.source().to_owned(), path.to_owned())],
            ..TestCx::default()
        };
        cx.images.lock().push(("in.png".into(), into_dynamic(picture.clone()).into(), None));
        cx
    }

    fn inputs(more: Value) -> Value {
        let model = json!({"key": "m", "hash": "h", "name": "m", "base": "any", "type": "spandrel_image_to_image"});
        let mut all = json!({"image": {"image_name": "in.png"}, "image_to_image_model": model});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    }

    fn last(cx: &TestCx) -> Picture {
        from_dynamic(&cx.images.lock().last().unwrap().1)
    }

    #[test]
    fn tiles_make_the_whole_picture() {
        let folder = tempfile::tempdir().unwrap();
        let image = picture(57, 43);
        let cx = context(&compact(folder.path(), 2), &image);
        let large = passed(cv_nearest(&image, 2));
        for tile_size in [0, 24, 32, 512, -1] {
            let output = run_in(&cx, "spandrel_image_to_image", inputs(json!({"tile_size": tile_size}))).unwrap();
            assert_eq!((&output["width"], &output["height"]), (&json!(114), &json!(86)));
            assert!(last(&cx) == large, "tiles of {tile_size}");
        }
        let told = cx.progress.lock().clone();
        let both = ["Processing tile 0/1", "Processing tile 60/60"].map(|text| told.iter().any(|told| told == text));
        assert_eq!(both, [true; 2], "{told:?}");
        let error = run_in(&cx, "spandrel_image_to_image", inputs(json!({"tile_size": 20}))).unwrap_err();
        assert!(error.to_string().contains("tile_size"), "{error}");
    }

    /// What becomes of bytes on the way to a model that changes nothing and back.
    fn passed(picture: Picture) -> Picture {
        picture.map(|v| (f32::from(v) / 255.0 * 255.0) as u8)
    }

    fn cv_nearest(image: &Picture, times: usize) -> Picture {
        crate::imaging::cv::resize_nearest(image, image.width() * times, image.height() * times)
    }

    #[test]
    fn passes_go_on_until_the_picture_is_large_enough() {
        let folder = tempfile::tempdir().unwrap();
        let image = picture(30, 22);
        let cx = context(&compact(folder.path(), 2), &image);
        run_in(&cx, "spandrel_image_to_image_autoscale", inputs(json!({"scale": 4.0}))).unwrap();
        assert!(last(&cx) == passed(passed(cv_nearest(&image, 4))));
        assert!(cx.progress.lock().contains(&"Processing iteration 2, tile 1/1".into()));
        run_in(
            &cx,
            "spandrel_image_to_image_autoscale",
            inputs(json!({"scale": 2.5, "fit_to_multiple_of_8": true})),
        )
        .unwrap();
        assert_eq!(last(&cx).size(), (72, 48));
        // What does not enlarge is run once, whatever the scale.
        let cx = context(&compact(folder.path(), 1), &image);
        run_in(&cx, "spandrel_image_to_image_autoscale", inputs(json!({"scale": 4.0}))).unwrap();
        assert!(last(&cx) == passed(image));
    }

    /// Who is canceled while a network computes is canceled before its next block, in the first tile and the last.
    #[test]
    fn a_cancel_ends_a_node_within_its_network() {
        let folder = tempfile::tempdir().unwrap();
        let path = esrgan(folder.path());
        let tiles = json!({"image": {"image_name": "in.png"}, "tile_size": 16});
        let cases = [
            ("esrgan", tiles),
            ("spandrel_image_to_image", inputs(json!({"tile_size": 24}))),
            ("spandrel_image_to_image_autoscale", inputs(json!({"tile_size": 24}))),
        ];
        for (node, values) in cases {
            let ended = |ends_at| {
                let cx = TestCx {
                    ends_at,
                    ..context(&path, &picture(37, 29))
                };
                let result = run_in(&cx, node, values.clone());
                let pictures = cx.images.lock().len();
                (result, cx.asked.into_inner(), pictures)
            };
            let (result, all, pictures) = ended(None);
            result.unwrap();
            assert_eq!(pictures, 2);
            // The model asks before it is opened; a tile, its three dense blocks, what follows them, two doublings and the last two convolutions.
            assert!(all > 36 && (all - 1).is_multiple_of(9), "{node} asks {all} times");
            for at in [2, 3, 4, 5, all - 8, all - 4, all] {
                let (result, asked, pictures) = ended(Some(at));
                assert_eq!(
                    (result.unwrap_err(), asked, pictures),
                    (NodeError::Canceled, at, 1),
                    "{node} ended at {at}"
                );
            }
        }
    }

    #[test]
    fn real_esrgan_in_tiles() {
        let folder = tempfile::tempdir().unwrap();
        let image = picture(37, 29);
        let cx = context(&esrgan(folder.path()), &image);
        for tile_size in [0, 16, 400] {
            let values = json!({"image": {"image_name": "in.png"}, "tile_size": tile_size});
            run_in(&cx, "esrgan", values).unwrap();
            assert!(last(&cx) == cv_nearest(&image, 4).convert(Mode::Rgba), "tiles of {tile_size}");
        }
        let other = json!({"image": {"image_name": "in.png"}, "model_name": "RealESRGAN_x2plus.pth"});
        let error = run_in(&cx, "esrgan", other).unwrap_err();
        assert!(error.to_string().contains("RealESRGAN_x2plus.pth"), "{error}");
    }
}
