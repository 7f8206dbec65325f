//! Pictures for control models, made by models of their own.

use std::{path::Path, sync::Arc};

use candle_core::{DType, Tensor};
use invoke_macros::Node;
use serde::Deserialize;

use super::{load_as, loading, store};
use crate::{
    diffusion::ops::{resize_bicubic, sigmoid},
    domain::shape::choices,
    imaging::{Mode, Picture, Resample, cv},
    nodes::{Invoke, NodeCx, NodeEntry, NodeError, entry, fields::ImageField, outputs::ImageOutput},
    vision::{
        depth::DepthAnything,
        edges::{AnimeLines, Hed, Lineart, PidiNet},
        lines::{self, LineDetector},
        normals::{self, NormalMap},
        to_samples, to_tensor,
    },
};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<DepthAnythingDepthEstimation>(),
    entry::<HedEdgeDetection>(),
    entry::<LineartAnimeEdgeDetection>(),
    entry::<LineartEdgeDetection>(),
    entry::<MlsdDetection>(),
    entry::<NormalMapDetection>(),
    entry::<PidiEdgeDetection>(),
];

/// Darkest grey that counts as a line rather than as noise.
const FAINTEST: u8 = 12;

/// A file of a repository of Hugging Face.
macro_rules! hugging_face {
    ($file:literal) => {
        concat!("https://huggingface.co/lllyasviel/", $file)
    };
}

/// The source's model, opened by `open`, and its picture as samples in 0 to 255 where it computes.
fn model<T: Send + Sync + 'static>(
    cx: &dyn NodeCx,
    source: &str,
    part: &'static str,
    open: impl FnOnce(&Path, DType, &candle_core::Device) -> crate::diffusion::Result<T>,
    bytes: impl FnOnce(&T) -> u64,
) -> Result<Arc<T>, NodeError> {
    let bench = cx.workbench();
    let model = loading::fetched(cx, source, part, |path| {
        let model = open(path, bench.dtype(), &bench.device)?;
        let bytes = bytes(&model);
        Ok((model, bytes))
    })?;
    cx.check_canceled()?;
    Ok(model)
}

/// The picture's samples as `[1, 3, h, w]`, each made a number by `number`.
fn numbers(cx: &dyn NodeCx, picture: &Picture, number: impl Fn(f32) -> f32) -> Result<Tensor, NodeError> {
    Ok(to_tensor(picture, DType::F32, &cx.workbench().device, number)?)
}

/// 0 to 255 as 0 to 1.
fn unit(v: f32) -> f32 {
    v / 255.0
}

/// A grey picture of `[1, 1, h, w]`, each sample made a byte by `byte`.
fn grey(x: &Tensor, byte: impl Fn(f32) -> u8) -> Result<Picture, NodeError> {
    let (_, _, h, w) = x.dims4()?;
    let samples = to_samples(x)?.into_iter().map(byte).collect();
    Ok(Picture::from_samples(Mode::L, w, h, samples)?)
}

/// 0 to 1 as a byte, cut and not rounded.
fn cut(v: f32) -> u8 {
    (v * 255.0).clamp(0.0, 255.0) as u8
}

/// White lines on black from dark lines on white, without the faintest.
fn inverted(lines: Picture) -> Picture {
    lines.map(|v| match 255 - v {
        faint if faint < FAINTEST => 0,
        line => line,
    })
}

/// Soft edges, or strokes.
#[derive(Debug, Deserialize, Node)]
#[node(id = "hed_edge_detection", title = "HED Edge Detection", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "hed", "softedge"), output = ImageOutput, board, metadata)]
struct HedEdgeDetection {
    image: ImageField,
    #[field(default = false)]
    scribble: bool,
}

impl Invoke for HedEdgeDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let source = hugging_face!("Annotators/resolve/main/ControlNetHED.pth");
        let model = model(cx, source, "hed", Hed::open, Hed::bytes)?;
        let edges = sigmoid(&model.forward(&numbers(cx, &image, |v| v)?)?)?;
        let edges = grey(&edges, cut)?;
        store(cx, if self.scribble { cv::scribble(&edges) } else { edges })
    }
}

/// A drawing in lines.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lineart_edge_detection", title = "Lineart Edge Detection", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "lineart"), output = ImageOutput, board, metadata)]
struct LineartEdgeDetection {
    image: ImageField,
    #[field(default = false)]
    coarse: bool,
}

impl Invoke for LineartEdgeDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let source = if self.coarse {
            hugging_face!("Annotators/resolve/main/sk_model2.pth")
        } else {
            hugging_face!("Annotators/resolve/main/sk_model.pth")
        };
        let model = model(cx, source, "lineart", Lineart::open, Lineart::bytes)?;
        let lines = model.forward(&numbers(cx, &image, unit)?)?;
        store(cx, inverted(grey(&lines, cut)?))
    }
}

/// A drawing in lines, as of animated films.
#[derive(Debug, Deserialize, Node)]
#[node(id = "lineart_anime_edge_detection", title = "Lineart Anime Edge Detection", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "lineart"), output = ImageOutput, board, metadata)]
struct LineartAnimeEdgeDetection {
    image: ImageField,
}

impl Invoke for LineartAnimeEdgeDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let (width, height) = image.size();
        let source = hugging_face!("Annotators/resolve/main/netG.pth");
        let model = model(cx, source, "lineart_anime", AnimeLines::open, AnimeLines::bytes)?;
        let whole = |n: usize| n.next_multiple_of(model.multiple());
        let large = cv::resize_cubic(&image, whole(width), whole(height));
        let lines = model.forward(&numbers(cx, &large, |v| v / 127.5 - 1.0)?)?;
        let lines = resize_bicubic(&lines.to_dtype(DType::F32)?.affine(127.5, 127.5)?, height, width)?;
        store(cx, inverted(grey(&lines, |v| v.clamp(0.0, 255.0) as u8)?))
    }
}

/// Edges by differences of pixels.
#[derive(Debug, Deserialize, Node)]
#[node(id = "pidi_edge_detection", title = "PiDiNet Edge Detection", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "edge"), output = ImageOutput, board, metadata)]
struct PidiEdgeDetection {
    image: ImageField,
    #[field(default = false)]
    quantize_edges: bool,
    #[field(default = false)]
    scribble: bool,
}

impl Invoke for PidiEdgeDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let source = hugging_face!("Annotators/resolve/main/table5_pidinet.pth");
        let model = model(cx, source, "pidi", PidiNet::open, PidiNet::bytes)?;
        let reversed = Tensor::new(&[2_u32, 1, 0], &cx.workbench().device)?;
        let input = numbers(cx, &image, unit)?.contiguous()?.index_select(&reversed, 1)?;
        let edges = grey(&model.forward(&input)?, |v| {
            // Three thirds are none, half and all.
            cut(if self.quantize_edges { (v * 3.0).trunc() / 2.0 } else { v })
        })?;
        store(cx, if self.scribble { cv::scribble(&edges) } else { edges })
    }
}

/// Straight lines, white on black.
#[derive(Debug, Deserialize, Node)]
#[node(id = "mlsd_detection", title = "MLSD Detection", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "mlsd", "edge"), output = ImageOutput, board, metadata)]
struct MlsdDetection {
    image: ImageField,
    #[field(default = 0.1, ge = 0)]
    score_threshold: f64,
    #[field(default = 20.0, ge = 0)]
    distance_threshold: f64,
}

impl Invoke for MlsdDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let source = hugging_face!("ControlNet/resolve/main/annotator/ckpts/mlsd_large_512_fp32.pth");
        let model = model(cx, source, "mlsd", LineDetector::open, LineDetector::bytes)?;
        let small = cut_to_multiple(&image, lines::MULTIPLE)?;
        let (width, height) = small.size();
        let (score, length) = (self.score_threshold as f32, self.distance_threshold as f32);
        let found = model.lines(small.data(), width, height, score, length, &cx.workbench().device)?;
        let mut drawn = Picture::new(Mode::L, width, height);
        for line in found {
            let end = |(x, y): (f32, f32)| (x as i32, y as i32);
            cv::draw_line(&mut drawn, end(line.start), end(line.end), &[255]);
        }
        store(cx, cv::resize_linear(&drawn, image.width(), image.height()))
    }
}

/// The picture made smaller, so that both sides are multiples and its shape is nearly kept.
fn cut_to_multiple(image: &Picture, multiple: usize) -> Result<Picture, NodeError> {
    let (width, height) = image.size();
    let across = width / multiple * multiple;
    let down = (across as f64 / width as f64 * height as f64) as usize / multiple * multiple;
    if across * down == 0 {
        return Err(NodeError::value(format!(
            "the picture is {width}x{height}, expected at least {multiple} pixels along each side"
        )));
    }
    Ok(cv::resize_area(image, across, down))
}

/// The directions of surfaces as colours.
#[derive(Debug, Deserialize, Node)]
#[node(id = "normal_map", title = "Normal Map", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "normal"), output = ImageOutput, board, metadata)]
struct NormalMapDetection {
    image: ImageField,
}

impl Invoke for NormalMapDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let source = hugging_face!("Annotators/resolve/main/scannet.pt");
        let model = model(cx, source, "normal_map", NormalMap::open, NormalMap::bytes)?;
        let small = cut_to_multiple(&image, normals::MULTIPLE)?;
        let normals = model.forward(&numbers(cx, &small, unit)?)?;
        let bytes = to_samples(&normals)?.into_iter().map(|v| cut((v + 1.0) * 0.5)).collect();
        let drawn = Picture::from_samples(Mode::Rgb, small.width(), small.height(), bytes)?;
        store(cx, cv::resize_linear(&drawn, image.width(), image.height()))
    }
}

choices! {
    /// Which model estimates depths.
    enum DepthModel { Large = "large", Base = "base", Small = "small", SmallV2 = "small_v2" }
}

impl DepthModel {
    fn source(self) -> &'static str {
        match self {
            Self::Large => "LiheYoung/depth-anything-large-hf",
            Self::Base => "LiheYoung/depth-anything-base-hf",
            Self::Small => "LiheYoung/depth-anything-small-hf",
            Self::SmallV2 => "depth-anything/Depth-Anything-V2-Small-hf",
        }
    }
}

/// Depths, white for what is near.
#[derive(Debug, Deserialize, Node)]
#[node(id = "depth_anything_depth_estimation", title = "Depth Anything Depth Estimation", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "depth", "depth anything"), output = ImageOutput, board, metadata)]
struct DepthAnythingDepthEstimation {
    image: ImageField,
    #[field(default = "small_v2")]
    model_size: DepthModel,
}

impl Invoke for DepthAnythingDepthEstimation {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let model = model(
            cx,
            self.model_size.source(),
            "depth_anything",
            DepthAnything::open,
            DepthAnything::bytes,
        )?;
        let prepared = model.preparation();
        let (width, height) = prepared.resized(image.width(), image.height());
        let resized = image.resize(width, height, Resample::Bicubic);
        let column = |values: &[f32; 3]| Tensor::from_slice(values, (1, 3, 1, 1), &cx.workbench().device);
        let input = numbers(cx, &resized, unit)?
            .broadcast_sub(&column(&prepared.mean)?)?
            .broadcast_div(&column(&prepared.deviation)?)?;
        let depths = model.forward(&input)?.to_dtype(DType::F32)?;
        let depths = resize_bicubic(&depths, image.height(), image.width())?;
        let samples = to_samples(&depths)?;
        let (least, most) = samples.iter().fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        // One depth everywhere is black.
        let range = if most > least { most - least } else { 1.0 };
        store(cx, grey(&depths, |v| ((v - least) / range * 255.0) as u8)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use serde_json::json;

    use super::*;
    use crate::nodes::{
        image::into_dynamic,
        testing::{TestCx, run_in},
    };

    #[test]
    fn a_model_that_is_not_there_is_named() {
        let cx = TestCx::default();
        cx.images
            .lock()
            .push(("in.png".into(), into_dynamic(Picture::new(Mode::Rgb, 80, 70)).into(), None));
        for (node, file) in [
            ("hed_edge_detection", "ControlNetHED.pth"),
            ("lineart_edge_detection", "sk_model.pth"),
            ("lineart_anime_edge_detection", "netG.pth"),
            ("pidi_edge_detection", "table5_pidinet.pth"),
            ("mlsd_detection", "mlsd_large_512_fp32.pth"),
            ("normal_map", "scannet.pt"),
            ("depth_anything_depth_estimation", "depth-anything/Depth-Anything-V2-Small-hf"),
        ] {
            let error = run_in(&cx, node, json!({"image": {"image_name": "in.png"}}))
                .unwrap_err()
                .to_string();
            assert!(error.contains(file), "{node}: {error}");
        }
    }

    #[test]
    fn pictures_become_smaller_in_multiples() {
        let size = |w: usize, h: usize, multiple: usize| cut_to_multiple(&Picture::new(Mode::L, w, h), multiple).map(|p| p.size());
        assert_eq!(size(200, 150, 64), Ok((192, 128)));
        assert_eq!(size(128, 64, 64), Ok((128, 64)));
        assert_eq!(size(17, 30, 8), Ok((16, 24)));
        assert!(size(63, 100, 64).is_err());
    }

    #[test]
    fn samples_become_bytes() {
        let x = Tensor::new(&[[[[0.0_f32, 0.9999], [1.5, -1.0]]]], &Device::Cpu).unwrap();
        assert_eq!(grey(&x, cut).unwrap().data(), [0, 254, 255, 0]);
        let lines = Picture::from_samples(Mode::L, 4, 1, vec![255, 244, 243, 0]).unwrap();
        assert_eq!(inverted(lines).data(), [0, 0, 12, 255]);
    }
}
