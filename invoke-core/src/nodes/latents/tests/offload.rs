//! Models for which an accelerator has too little memory. The CPU stands in for it: only what lies where differs.

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use super::{Run, checkpoints::write, model, picture, with_models};
use crate::{
    diffusion::{open_vae, vae::Vae, weights::Weights},
    models::{Footprint, ModelCache},
    nodes::testing::TestCx,
};

const MAIN: u64 = 1 << 40;

/// A picture on an accelerator that has so many bytes for weights, and what of the models lies where afterwards.
fn on_accelerator_of(device: u64, partial: bool) -> Result<(Tensor, Footprint), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    write("sd-1", &path, |_| true);
    let mut cx: TestCx = with_models(vec![(model("m", "sd-1", "main"), path)]);
    let bench = &mut cx.workbench.0;
    bench.memory.is_own = true;
    bench.options.partial = partial;
    bench.cache = ModelCache::new(Footprint { device, main: MAIN });
    let run = Run {
        base: "sd-1",
        prompts: ["a cat", "blurry"],
        seed: 3,
        size: (64, 96),
        denoise: json!({"steps": 3, "cfg_scale": 4.0, "scheduler": "euler"}),
    };
    let (_, pixels) = picture(&cx, &run).map_err(|error| error.to_string())?;
    let left = cx.workbench.0.cache.room();
    let held = Footprint {
        device: device - left.device,
        main: MAIN - left.main,
    };
    Ok((pixels, held))
}

#[test]
fn a_model_larger_than_the_device_makes_the_same_picture() {
    let (whole, all) = on_accelerator_of(u64::MAX, true).unwrap();
    assert_eq!(all.main, 0);
    let farthest = |pixels: &Tensor| {
        (pixels - &whole)
            .unwrap()
            .abs()
            .unwrap()
            .max_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    // The decoder is the smallest part and comes last: it finds half of the room that it needs, or none.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    write("sd-1", &path, |_| true);
    let (config, source) = open_vae(&path, None).unwrap();
    let weights = Weights::new(source, DType::F32, &Device::Cpu);
    Vae::load(config, &weights).unwrap();
    let decoder = weights.bytes_loaded();
    for room in [decoder / 2, 0] {
        let (pixels, held) = on_accelerator_of(room, true).unwrap();
        assert!(farthest(&pixels) <= 1.0, "{room}: {}", farthest(&pixels));
        let norms = decoder / 50;
        assert!(
            held.main + room + norms >= decoder && held.main < all.device,
            "{room}: {held:?} of {all:?}"
        );
        assert!(held.device <= room + norms, "{room}: {held:?} of {all:?}");
    }
}

#[test]
fn where_models_may_not_lie_apart_too_little_memory_is_an_error_that_helps() {
    let (_, all) = on_accelerator_of(u64::MAX, false).unwrap();
    let error = on_accelerator_of(all.device / 50, false).unwrap_err();
    assert!(
        error.starts_with("OutOfMemoryError: ") && error.contains("of the device's are free for it"),
        "{error}"
    );
}
