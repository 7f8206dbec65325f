//! Following a run of the denoiser: progress, previews, and the wish to stop.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::{
    diffusion::{
        denoise::{Progress, Stage, Watcher},
        preview::{LatentRgb, Preview as LatentPreview},
    },
    nodes::{NodeCx, cx::Preview},
};

/// Tells a node's progress to its session.
pub(in crate::nodes) struct Follower<'a> {
    cx: &'a (dyn NodeCx + 'a),
    colours: Option<LatentRgb>,
}

impl<'a> Follower<'a> {
    /// Follows a run of a denoiser whose latents have these colours; without any there are no previews.
    pub(in crate::nodes) fn new(cx: &'a (dyn NodeCx + 'a), colours: Option<LatentRgb>) -> Self {
        Self { cx, colours }
    }

    fn preview(&self, progress: &Progress<'_>) -> Option<Preview> {
        let colours = self.colours.as_ref()?;
        let latents = progress.predicted.unwrap_or(progress.latents);
        let small = LatentPreview::new(latents, colours).and_then(|preview| Ok((preview.jpeg()?, preview)));
        match small {
            Ok((jpeg, preview)) => Some(Preview {
                width: preview.width * 8,
                height: preview.height * 8,
                data_url: format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)),
            }),
            Err(error) => {
                tracing::warn!("a preview could not be made: {error}");
                None
            }
        }
    }
}

impl Watcher for Follower<'_> {
    fn is_cancelled(&self) -> bool {
        self.cx.check_canceled().is_err()
    }

    fn left(&self) {
        self.cx.left();
    }

    fn progressed(&self, progress: Progress<'_>) {
        // A step of a second-order sampler is two evaluations.
        let Stage { step, total, order, .. } = progress.stage;
        let (step, total) = (step / order, (total / order).max(1));
        self.cx
            .progress("Denoising", Some((step as f64 / total as f64).min(1.0)), self.preview(&progress));
    }
}
