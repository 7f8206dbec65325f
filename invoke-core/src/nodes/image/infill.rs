//! Filling holes.

use candle_core::DType;
use invoke_macros::Node;
use serde::Deserialize;

use super::{ResampleMode, color_bytes, load, load_as, loading, pass, store};
use crate::{
    imaging::{Mode, Picture, chops, cv, infill},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{ColorField, ImageField},
        outputs::ImageOutput,
    },
    vision::{lama::Lama, to_samples, to_tensor},
};

/// Fills a picture that has opacity in colour; any other is passed on as it is, without a copy.
fn infill(cx: &dyn NodeCx, image: ImageField, fill: impl FnOnce(&Picture) -> Result<Picture, NodeError>) -> Result<ImageOutput, NodeError> {
    let picture = load(cx, &image)?;
    if picture.mode() != Mode::Rgba {
        return Ok(pass(image, &picture));
    }
    store(cx, fill(&picture)?)
}

pub(in crate::nodes) const NODES: &[NodeEntry] = &[
    entry::<InfillColor>(),
    entry::<InfillTile>(),
    entry::<CV2Infill>(),
    entry::<InfillPatchMatch>(),
    entry::<LaMaInfill>(),
    entry::<CvInpaint>(),
];

/// The transparent parts of a picture filled with a colour.
#[derive(Debug, Deserialize, Node)]
#[node(id = "infill_rgba", title = "Solid Color Infill", version = "1.2.2", category = "inpaint", tags("image", "inpaint"), output = ImageOutput, board, metadata)]
struct InfillColor {
    image: ImageField,
    #[field(json = "{\"r\": 127, \"g\": 127, \"b\": 127, \"a\": 255}")]
    color: ColorField,
}

impl Invoke for InfillColor {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        infill(cx, self.image, |image| Ok(infill::with_color(image, color_bytes(self.color))?))
    }
}

/// The transparent parts of a picture filled with squares of it.
#[derive(Debug, Deserialize, Node)]
#[node(id = "infill_tile", title = "Tile Infill", version = "1.2.3", category = "inpaint", tags("image", "inpaint"), output = ImageOutput, board, metadata)]
struct InfillTile {
    image: ImageField,
    #[field(default = 32, ge = 1)]
    tile_size: i64,
    #[field(default = 0, ge = 0, le = u32::MAX)]
    seed: i64,
}

impl Invoke for InfillTile {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        infill(cx, self.image, |image| {
            let side = usize::try_from(self.tile_size).unwrap_or(usize::MAX);
            infill::with_tiles(image, side, self.seed as u64).ok_or_else(|| {
                NodeError::value("tile_size: the picture has no opaque square of this size; take a smaller one or another picture")
            })
        })
    }
}

/// The transparent parts of a picture inpainted from around.
#[derive(Debug, Deserialize, Node)]
#[node(id = "infill_cv2", title = "CV2 Infill", version = "1.2.2", category = "inpaint", tags("image", "inpaint"), output = ImageOutput, board, metadata)]
struct CV2Infill {
    image: ImageField,
}

impl Invoke for CV2Infill {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        infill(cx, self.image, |image| Ok(infill::by_inpainting(image)?))
    }
}

/// The transparent parts of a picture filled with patches of it. The last two inputs change nothing: work is done at full size.
/// The result is RGB.
#[derive(Debug, Deserialize, Node)]
#[node(id = "infill_patchmatch", title = "PatchMatch Infill", version = "1.2.2", category = "inpaint", tags("image", "inpaint"), output = ImageOutput, board, metadata)]
struct InfillPatchMatch {
    image: ImageField,
    #[field(default = 2.0, gt = 0)]
    downscale: f64,
    #[field(default = "bicubic")]
    resample_mode: ResampleMode,
}

impl Invoke for InfillPatchMatch {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let _ = (self.downscale, self.resample_mode);
        infill(cx, self.image, |image| Ok(infill::with_patches(image)?))
    }
}

/// The black parts of a mask inpainted from around.
#[derive(Debug, Deserialize, Node)]
#[node(id = "cv_inpaint", title = "OpenCV Inpaint", version = "1.3.1", category = "inpaint", tags("opencv", "inpaint"), output = ImageOutput, board, metadata)]
struct CvInpaint {
    image: ImageField,
    mask: ImageField,
}

impl Invoke for CvInpaint {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let hole = chops::invert(&load_as(cx, &self.mask, Mode::L)?);
        store(cx, cv::inpaint_telea(&image, &hole, 3)?)
    }
}

/// The transparent parts of a picture filled by the LaMa model. The result is RGB.
#[derive(Debug, Deserialize, Node)]
#[node(id = "infill_lama", title = "LaMa Infill", version = "1.2.2", category = "inpaint", tags("image", "inpaint"), output = ImageOutput, board, metadata)]
struct LaMaInfill {
    image: ImageField,
}

/// Where the original has the model from: TorchScript, of which the weights are read.
const LAMA: &str = "https://github.com/Sanster/models/releases/download/add_big_lama/big-lama.pt";

impl Invoke for LaMaInfill {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        infill(cx, self.image, |image| {
            let device = &cx.workbench().device;
            // Frequencies need full precision.
            let model = loading::fetched(cx, LAMA, "lama", |path| {
                let model = Lama::open(path, DType::F32, device)?;
                let bytes = model.bytes();
                Ok((model, bytes))
            })?;
            cx.check_canceled()?;
            let hole = image.band(3).map(|alpha| u8::from(alpha < 255));
            let (picture, hole) = (
                to_tensor(&image.convert(Mode::Rgb), DType::F32, device, |v| v / 255.0)?,
                to_tensor(&hole, DType::F32, device, |v| v)?,
            );
            let filled = to_samples(&model.fill(&picture, &hole)?)?;
            let bytes = filled.into_iter().map(|v| (v * 255.0).clamp(0.0, 255.0) as u8).collect();
            Ok(Picture::from_samples(Mode::Rgb, image.width(), image.height(), bytes)?)
        })
    }
}
