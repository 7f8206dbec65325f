//! Faces: drawn in lines, cut out, and masked.

mod crop;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use invoke_macros::Node;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{load, load_as, loading, store, store_mask};
use crate::{
    graph::meta::BrokenRule,
    imaging::{Mode, Picture, chops::invert, paste},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::ImageField,
        outputs::{FaceMaskOutput, FaceOffOutput, ImageOutput},
    },
    vision::face::{Detector, Mesh, Points, Region, sketch},
};
use crop::{Face, Shape, add, chunks, sort};

pub(in crate::nodes) const NODES: &[NodeEntry] = &[entry::<FaceOff>(), entry::<FaceMask>(), entry::<MediaPipeFaceDetection>()];

/// A file of MediaPipe's models.
macro_rules! mediapipe {
    ($file:literal) => {
        concat!("https://storage.googleapis.com/mediapipe-assets/", $file)
    };
}

/// Most faces where nodes do not ask for a number.
const MOST_FACES: usize = 999;

/// What faces are found with.
struct Finder {
    detector: Arc<Detector>,
    mesh: Arc<Mesh>,
}

impl Finder {
    /// `attention` is for points that are looked at once more, and irises.
    fn open(cx: &dyn NodeCx, attention: bool) -> Result<Self, NodeError> {
        let detector = loading::fetched(cx, mediapipe!("face_detection_short_range.tflite"), "face_detector", |path| {
            let model = Detector::open(path)?;
            let bytes = model.bytes();
            Ok((model, bytes))
        })?;
        let source = if attention {
            mediapipe!("face_landmark_with_attention.tflite")
        } else {
            mediapipe!("face_landmark.tflite")
        };
        let mesh = loading::fetched(cx, source, "face_mesh", |path| {
            let model = if attention {
                Mesh::open_with_attention(path)?
            } else {
                Mesh::open(path)?
            };
            let bytes = model.bytes();
            Ok((model, bytes))
        })?;
        Ok(Self { detector, mesh })
    }

    /// The points of `most` faces at most of a picture in RGB: found with a likelihood of `detected` at least, and once looked at with one of more than
    /// `confirmed`.
    fn find(&self, cx: &dyn NodeCx, picture: &Picture, most: usize, detected: f32, confirmed: f32) -> Result<Vec<Points>, NodeError> {
        let (width, height) = picture.size();
        let mut detections = self.detector.find(picture, detected, || cx.check_canceled())?;
        detections.truncate(most);
        let mut faces = Vec::new();
        for region in Region::apart(detections.iter().map(|d| d.region(width, height))) {
            faces.extend(self.mesh.points(picture, &region, confirmed, || cx.check_canceled())?);
        }
        Ok(faces)
    }
}

/// What the nodes that cut and mask ask for.
struct Search {
    confidence: f64,
    shape: Shape,
    chunk: bool,
}

impl Search {
    /// From the fields that the nodes of faces have in common.
    fn of(confidence: f64, [wider, higher]: [f64; 2], chunk: bool) -> Self {
        Self {
            confidence,
            shape: Shape { wider, higher },
            chunk,
        }
    }

    /// The faces of a picture, those further left first. If none is found, or `chunk` asks for it, squares are looked at that lie side by side in it.
    fn faces(&self, cx: &dyn NodeCx, image: &Picture) -> Result<Vec<Face>, NodeError> {
        let finder = Finder::open(cx, false)?;
        let picture = if image.mode() == Mode::Rgb {
            image.clone()
        } else {
            image.convert(Mode::Rgb)
        };
        let confidence = self.confidence as f32;
        let mut faces = Vec::new();
        let look = |faces: &mut Vec<Face>, picture: &Picture, corner: (usize, usize)| -> Result<(), NodeError> {
            for points in finder.find(cx, picture, MOST_FACES, confidence, confidence)? {
                cx.check_canceled()?;
                add(faces, Face::new(&points, picture.size(), corner, &self.shape));
            }
            Ok(())
        };
        if !self.chunk {
            look(&mut faces, &picture, (0, 0))?;
        }
        if faces.is_empty() {
            let side = picture.width().min(picture.height());
            for (x, y) in chunks(picture.width(), picture.height()) {
                let (left, top) = (x as i64, y as i64);
                let part = picture.crop(left, top, left + side as i64, top + side as i64);
                look(&mut faces, &part, (x, y))?;
            }
        }
        sort(&mut faces);
        Ok(faces)
    }
}

/// The name under which a picture was stored, and its size.
fn mask(cx: &dyn NodeCx, picture: Picture) -> Result<ImageField, NodeError> {
    Ok(store_mask(cx, picture)?.image)
}

/// White, of a picture's size: no face.
fn white(image: &Picture) -> Picture {
    Picture::filled(Mode::L, image.width(), image.height(), &[255])
}

/// A face cut out of a picture, with a mask of it.
#[derive(Debug, Deserialize, Node)]
#[node(id = "face_off", title = "FaceOff", version = "1.2.2", category = "segmentation", tags("image", "faceoff", "face", "mask"), output = FaceOffOutput, metadata)]
struct FaceOff {
    image: ImageField,
    #[field(default = 0, ge = 0)]
    face_id: i64,
    #[field(default = 0.5)]
    minimum_confidence: f64,
    #[field(default = 0.0)]
    x_offset: f64,
    #[field(default = 0.0)]
    y_offset: f64,
    #[field(default = 0)]
    padding: i64,
    #[field(default = false)]
    chunk: bool,
}

impl Invoke for FaceOff {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FaceOffOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let search = Search::of(self.minimum_confidence, [self.x_offset, self.y_offset], self.chunk);
        let faces = search.faces(cx, &image)?;
        let face = usize::try_from(self.face_id).ok().and_then(|i| faces.get(i));
        let (picture, face_mask, x, y) = match face {
            Some(face) => {
                let cut = face.cut(self.padding);
                let [left, top, right, bottom] = cut.sides;
                (image.crop(left, top, right, bottom).convert(Mode::Rgba), cut.mask, left, top)
            }
            // The whole picture goes on as it is.
            None => (image.clone(), white(&image), 0, 0),
        };
        let stored = store(cx, picture)?;
        Ok(FaceOffOutput {
            image: stored.image,
            width: stored.width,
            height: stored.height,
            mask: mask(cx, face_mask)?,
            x,
            y,
        })
    }
}

/// The faces that `face_ids` asks for; none for all.
fn ids(text: &str) -> Option<Vec<Option<usize>>> {
    // A number too large for a computer is that of no face.
    let id = |word: &str| word.bytes().all(|b| b.is_ascii_digit()).then(|| word.parse().ok());
    text.split(',').map(id).collect()
}

fn check(values: &Map<String, Value>) -> Result<(), BrokenRule> {
    match values.get("face_ids").and_then(Value::as_str) {
        Some(text) if !text.is_empty() && (ids(text).is_none() || text.split(',').any(str::is_empty)) => Err(BrokenRule::of(
            "face_ids",
            "Face IDs must be a comma-separated list of integers (e.g. \"1,2,3\")",
        )),
        _ => Ok(()),
    }
}

/// A mask of faces.
#[derive(Debug, Deserialize, Node)]
#[node(id = "face_mask_detection", check = check, title = "FaceMask", version = "1.2.2", category = "segmentation", tags("image", "face", "mask"), output = FaceMaskOutput, metadata)]
struct FaceMask {
    image: ImageField,
    #[field(default = "")]
    face_ids: String,
    #[field(default = 0.5)]
    minimum_confidence: f64,
    #[field(default = 0.0)]
    x_offset: f64,
    #[field(default = 0.0)]
    y_offset: f64,
    #[field(default = false)]
    chunk: bool,
    #[field(default = false)]
    invert_mask: bool,
}

impl FaceMask {
    /// Which of the faces are masked: `None` if some are asked for and none of them is there.
    fn chosen(&self, faces: usize) -> Option<Vec<usize>> {
        if self.face_ids.is_empty() {
            return Some((0..faces).collect());
        }
        let mut asked: Vec<usize> = ids(&self.face_ids)?.into_iter().flatten().filter(|i| *i < faces).collect();
        asked.sort_unstable();
        asked.dedup();
        (!asked.is_empty()).then_some(asked)
    }
}

impl Invoke for FaceMask {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FaceMaskOutput, NodeError> {
        let image = load(cx, &self.image)?;
        let search = Search::of(self.minimum_confidence, [self.x_offset, self.y_offset], self.chunk);
        let faces = search.faces(cx, &image)?;
        let mut all = white(&image);
        let picture = match self.chosen(faces.len()) {
            Some(chosen) => {
                for i in chosen {
                    cx.check_canceled()?;
                    let cut = faces[i].cut(0);
                    let [left, top, ..] = cut.sides;
                    let black = Picture::new(Mode::L, cut.mask.width(), cut.mask.height());
                    paste(&mut all, &black, left, top, Some(&invert(&cut.mask)))?;
                }
                if self.invert_mask {
                    all = invert(&all);
                }
                image.convert(Mode::Rgba)
            }
            None => image,
        };
        let stored = store(cx, picture)?;
        Ok(FaceMaskOutput {
            image: stored.image,
            width: stored.width,
            height: stored.height,
            mask: mask(cx, all)?,
        })
    }
}

/// Faces drawn in lines on black.
#[derive(Debug, Deserialize, Node)]
#[node(id = "mediapipe_face_detection", title = "MediaPipe Face Detection", version = "1.0.0", category = "controlnet_preprocessors", tags("controlnet", "face"), output = ImageOutput, board, metadata)]
struct MediaPipeFaceDetection {
    image: ImageField,
    #[field(default = 1, ge = 1)]
    max_faces: i64,
    #[field(default = 0.5, ge = 0, le = 1)]
    min_confidence: f64,
}

impl Invoke for MediaPipeFaceDetection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<ImageOutput, NodeError> {
        let image = load_as(cx, &self.image, Mode::Rgb)?;
        let most = usize::try_from(self.max_faces).unwrap_or(usize::MAX);
        let faces = Finder::open(cx, true)?.find(cx, &image, most, self.min_confidence as f32, 0.5)?;
        store(cx, sketch::draw(&faces, image.width(), image.height()))
    }
}
