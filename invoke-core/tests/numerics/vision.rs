//! The models of pictures held to what they are in Python, by `tests/numerics/record_vision.py`. Weights and inputs are numbers drawn from their names.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

use candle_core::{DType, Device, Tensor};
use invoke_core::{
    diffusion::{ModelError, weights::Source},
    imaging::{Mode, Picture, cv},
    models::{identify, upscalers::Family},
    vision::{
        depth::DepthAnything,
        edges::{AnimeLines, Hed, Lineart, PidiNet},
        lama::Lama,
        lines::LineDetector,
        normals::NormalMap,
        segment::{Label, Prompt, SegmentAnything},
        upscale::Upscaler,
    },
};

use crate::{Recorded, drawn::Drawn, recordings};

/// Largest relative error. Most lie below 3e-5; the deepest network, which brings its results to length 1, reaches 5e-4.
const TOLERANCE: f64 = 1e-3;

/// Holds `found` to the recording `name`.
#[track_caller]
fn check(recorded: &Recorded, name: &str, found: &Tensor) {
    let error = recorded.error(name, found);
    assert!(error <= TOLERANCE, "{name}: relative error {error:.2e}");
}

/// The script's `noise`.
pub(crate) fn noise(name: &str, shape: &[usize]) -> Tensor {
    let seed = name
        .bytes()
        .fold(2_166_136_261_u32, |h, byte| (h ^ u32::from(byte)).wrapping_mul(16_777_619));
    let count: usize = shape.iter().product();
    let number = |i: usize| {
        let mut h = seed.wrapping_add(i as u32);
        h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
        h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
        h ^= h >> 16;
        (h >> 8) as f32 / 8_388_608.0 - 1.0
    };
    Tensor::from_vec((0..count).map(number).collect(), shape, &Device::Cpu).unwrap()
}

/// The script's `weight`.
pub(crate) fn weight(name: &str, shape: &[usize]) -> Tensor {
    let values = noise(name, shape);
    if shape.len() >= 2 {
        let inputs: usize = shape[1..].iter().product();
        let scale = (6.0 / inputs as f64).sqrt() as f32;
        let values: Vec<f32> = values.flatten_all().unwrap().to_vec1().unwrap();
        return Tensor::from_vec(values.into_iter().map(|v| v * scale).collect(), shape, &Device::Cpu).unwrap();
    }
    if shape.is_empty() {
        return Tensor::new(0.5_f32, &Device::Cpu).unwrap();
    }
    let near_one = ["weight", "running_var", "gamma", "lambda1"].iter().any(|end| name.ends_with(end));
    if near_one {
        ((values * 0.25).unwrap() + 1.0).unwrap()
    } else {
        (values * 0.1).unwrap()
    }
}

/// The shapes of a model's weights, by name.
type Shapes = HashMap<String, Vec<usize>>;

/// The recorded shapes of all models.
fn shapes() -> BTreeMap<String, Shapes> {
    serde_json::from_slice(&std::fs::read(recordings().join("vision/shapes.json")).unwrap()).unwrap()
}

/// Those of upscalers.
fn upscalers() -> impl Iterator<Item = (String, Shapes)> {
    shapes()
        .into_iter()
        .filter(|(name, _)| name.starts_with("upscalers/") || name.starts_with("swin/"))
}

/// A tensor of these models.
fn draw(name: &str, shape: &[usize]) -> Tensor {
    if name.ends_with("rpe_biases") {
        // Distances within a window, the farthest last; 4 by 8 pixels or 8 by 8.
        let rows = shape[0];
        let far = if rows == 225 { [7.0, 7.0] } else { [3.0, 7.0] };
        let table: Vec<f32> = far.into_iter().cycle().take(2 * rows).collect();
        return Tensor::from_vec(table, (rows, 2), &Device::Cpu).unwrap();
    }
    weight(name, shape)
}

/// The weights whose shapes were recorded for `model`.
fn drawn(model: &str) -> Arc<dyn Source> {
    let shapes = shapes().remove(model).unwrap_or_else(|| panic!("no shapes of {model}"));
    Arc::new(Drawn::new(shapes, draw))
}

/// The script's picture of some channels in 0 to 1.
fn picture(channels: usize, h: usize, w: usize) -> Tensor {
    ((noise("picture", &[1, channels, h, w]) * 0.5).unwrap() + 0.5).unwrap()
}

/// Lets a network go on to its end.
fn to_the_end() -> Result<(), ModelError> {
    Ok(())
}

#[test]
fn upscalers_agree_with_spandrel() {
    let recorded = Recorded::open("vision/vision");
    let cases = [
        ("compact_x4", 4, (20, 24)),
        ("compact_x1", 1, (20, 24)),
        ("rrdb_x4", 4, (20, 24)),
        ("rrdb_x2", 2, (20, 24)),
        ("rrdb_x1", 1, (20, 24)),
        ("rrdb_plus", 2, (20, 24)),
        ("real_x4", 4, (20, 24)),
        ("real_x2", 2, (22, 27)),
        ("real_x1", 1, (22, 27)),
        ("trunk_x4", 4, (20, 24)),
        ("span", 2, (20, 24)),
        ("span_plain", 2, (20, 24)),
        ("plksr", 2, (20, 24)),
        ("plksr_real", 3, (20, 24)),
        ("plksr_sampled", 2, (20, 24)),
        ("mosr_ps", 3, (20, 24)),
        ("mosr_gps", 2, (20, 24)),
        ("mosr_dys", 2, (20, 24)),
        ("scunet", 1, (44, 60)),
        ("cugan_x2", 2, (35, 40)),
        ("cugan_x3_pro", 3, (35, 42)),
        ("cugan_x4", 4, (33, 36)),
        ("cugan_fast", 2, (44, 40)),
    ];
    for (name, scale, (h, w)) in cases {
        let name = format!("upscalers/{name}");
        let model = Upscaler::load(drawn(&name), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(model.scale(), scale, "{name}");
        let x = picture(3, h, w);
        check(&recorded, &name, &model.forward(&x, &to_the_end).unwrap());
        if h % 4 != 0 {
            check(&recorded, &format!("{name}.run"), &model.run(&x, &to_the_end).unwrap());
        }
    }
}

/// Upscalers by their recordings' names, and how often each asks whether to go on: once for a block, and once for each step after its blocks. `rrdb_x4` has
/// two blocks of three dense ones (6), a convolution after them (1), two doublings (2) and the last two convolutions (2): 11. `swin/hat` has two groups of two
/// and of one block (3), each of which ends by windows that overlap (2), then a convolution, a step of enlarging and the last convolution (3): 8.
const FAMILIES: &[(&str, &str, usize)] = &[
    ("upscalers/compact_x1", "Real-ESRGAN Compact", 4),
    ("upscalers/compact_x4", "Real-ESRGAN Compact", 5),
    ("upscalers/rrdb_x1", "ESRGAN", 9),
    ("upscalers/rrdb_x2", "ESRGAN", 10),
    ("upscalers/rrdb_x4", "ESRGAN", 11),
    ("upscalers/rrdb_plus", "ESRGAN", 10),
    ("upscalers/real_x1", "ESRGAN", 11),
    ("upscalers/real_x2", "ESRGAN", 11),
    ("upscalers/real_x4", "ESRGAN", 11),
    ("upscalers/trunk_x4", "ESRGAN", 11),
    ("upscalers/span", "SPAN", 7),
    ("upscalers/span_plain", "SPAN", 7),
    ("upscalers/plksr", "PLKSR", 3),
    ("upscalers/plksr_real", "PLKSR", 3),
    ("upscalers/plksr_sampled", "PLKSR", 4),
    ("upscalers/mosr_ps", "MoSR", 4),
    ("upscalers/mosr_gps", "MoSR", 4),
    ("upscalers/mosr_dys", "MoSR", 4),
    ("upscalers/scunet", "SCUNet", 11),
    ("upscalers/cugan_x2", "RealCUGAN", 8),
    ("upscalers/cugan_x3_pro", "RealCUGAN", 8),
    ("upscalers/cugan_x4", "RealCUGAN", 8),
    ("upscalers/cugan_fast", "RealCUGAN", 8),
    ("swin/shuffle", "SwinIR", 7),
    ("swin/direct", "SwinIR", 5),
    ("swin/nearest", "SwinIR", 9),
    ("swin/jpeg", "SwinIR", 5),
    ("swin/hat", "HAT", 8),
    ("swin/dat", "DAT", 12),
    ("swin/dat_light", "DAT", 6),
    ("swin/omni", "OmniSR", 3),
    ("swin/omni_plain", "OmniSR", 3),
    ("swin/omni_odd", "OmniSR", 2),
    ("swin/swin2_shuffle", "Swin2SR", 7),
    ("swin/swin2_aux", "Swin2SR", 8),
    ("swin/swin2_jpeg", "Swin2SR", 5),
    ("swin/rgt", "RGT", 12),
    ("swin/rgt_odd", "RGT", 6),
    ("swin/drct", "DRCT", 13),
    ("swin/drct_identity", "DRCT", 9),
    ("swin/atd", "ATD", 8),
    ("swin/atd_light", "ATD", 6),
    ("swin/atd_plain", "ATD", 6),
];

/// The architecture of a recording, and how often it asks whether to go on.
fn family_of(recording: &str) -> (&'static str, usize) {
    let row = FAMILIES.iter().find(|(name, ..)| *name == recording);
    let (_, family, asked) = row.unwrap_or_else(|| panic!("no family is known of {recording}"));
    (family, *asked)
}

/// What identifies an installed file takes it for an upscaler of the architecture that opens it, whatever stands before all of its names.
#[test]
fn upscalers_are_identified_and_opened_as_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |tensors: HashMap<String, Tensor>| {
        let file = folder.path().join("model.safetensors");
        candle_core::safetensors::save(&tensors, &file).unwrap();
        file
    };
    let is_upscaler = |file: &Path| {
        let found = identify(file).unwrap().class;
        let fields = ["type", "base", "format"].map(|field| found[field].as_str().unwrap().to_owned());
        fields == ["spandrel_image_to_image", "any", "checkpoint"]
    };
    let mut seen = Vec::new();
    for (recording, shapes) in upscalers() {
        let (family, _) = family_of(&recording);
        for prefix in ["", "module.", "netG.", "module.netG."] {
            let named = |name: &String| format!("{prefix}{name}");
            let names: Vec<String> = shapes.keys().map(named).collect();
            let axes = |name: &str| Some(shapes.get(name.strip_prefix(prefix)?)?.len());
            let found = Family::of(names.iter().map(String::as_str), axes);
            assert_eq!(found.map(Family::name), Some(family), "{prefix} {recording}");
            let zeros = |shape: &Vec<usize>| Tensor::zeros(shape.as_slice(), DType::U8, &Device::Cpu).unwrap();
            let file = saved(shapes.iter().map(|(name, shape)| (named(name), zeros(shape))).collect());
            assert!(is_upscaler(&file), "{prefix} {recording}");
        }
        let drawn = Drawn::new(shapes, draw);
        let tensors = drawn
            .names()
            .into_iter()
            .map(|name| (format!("module.netG.{name}"), drawn.read(&name).unwrap()));
        let file = saved(tensors.collect());
        let model = Upscaler::open(&file, DType::F32, &Device::Cpu).unwrap();
        assert!(
            is_upscaler(&file) && model.family().name() == family,
            "{recording}: {:?}",
            model.family()
        );
        seen.push(family);
    }
    let untried: Vec<&str> = Family::all().iter().map(Family::name).filter(|name| !seen.contains(name)).collect();
    assert!(untried.is_empty(), "no recording of {untried:?}");
}

/// On the CPU, whoever no longer wants a picture waits for one block at most.
#[test]
fn upscalers_end_before_the_next_block() {
    for (recording, shapes) in upscalers() {
        let (_, all) = family_of(&recording);
        let model = Upscaler::load(Arc::new(Drawn::new(shapes, draw)), DType::F32, &Device::Cpu).unwrap();
        let ended = |at: usize| {
            let asked = Cell::new(0);
            let result = model.run(&picture(3, 18, 21), &|| {
                asked.set(asked.get() + 1);
                if asked.get() < at { Ok(()) } else { Err(ModelError::Stopped) }
            });
            (result, asked.get())
        };
        let (result, asked) = ended(usize::MAX);
        result.unwrap();
        assert_eq!(asked, all, "so often does {recording} ask");
        for at in [1, all.div_ceil(2), all] {
            let (result, asked) = ended(at);
            assert!(
                matches!(result, Err(ModelError::Stopped)),
                "{recording}, asked {at} times of {all}: {result:?}"
            );
            assert_eq!(asked, at, "{recording} went on");
        }
        // What fails by itself is no cancel.
        let failed = model.run(&picture(2, 18, 21), &to_the_end);
        assert!(matches!(failed, Err(ModelError::Input(_))), "{recording}: {failed:?}");
    }
}

#[test]
fn what_is_no_upscaler_is_refused() {
    let other = HashMap::from([("down.weight".to_owned(), vec![4, 4, 3, 3])]);
    // An MM-RealSR has all tensors of an ESRGAN, and would make other pictures than that.
    let mut modulated = shapes().remove("upscalers/real_x4").unwrap();
    modulated.insert("am_list.0.fc.0.weight".to_owned(), vec![32, 16]);
    for tensors in [other, modulated] {
        let refused = Upscaler::load(Arc::new(Drawn::new(tensors, draw)), DType::F32, &Device::Cpu);
        let error = refused.unwrap_err().to_string();
        assert!(error.contains("none of the known upscalers"), "{error}");
    }
}

/// Sizes are told by the weights' shapes alone: whatever those are, a model is refused, or runs, or says why it does not.
#[test]
fn odd_shapes_of_upscalers_do_no_harm() {
    let mut chance = 1_u32;
    let mut below = |n: usize| {
        chance = chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (chance >> 8) as usize % n
    };
    let (mut refused, mut run) = (0, 0);
    for (name, sound) in upscalers() {
        let mut names: Vec<_> = sound.keys().cloned().collect();
        names.sort();
        for _ in 0..12 {
            let mut odd = sound.clone();
            for _ in 0..=below(3) {
                let tensor = &names[below(names.len())];
                let Some(shape) = odd.get_mut(tensor) else { continue };
                let axis = below(shape.len().max(1));
                match below(7) {
                    0 => drop(odd.remove(tensor)),
                    1 => drop(shape.pop()),
                    2 => shape.push(below(3)),
                    3 => shape.reverse(),
                    _ if shape.is_empty() => {}
                    4 => shape[axis] = [0, 1, 2, 5, 9, 25, 49, 225, 961][below(9)],
                    5 => shape[axis] *= 2,
                    _ => shape[axis] += 1,
                }
            }
            let Ok(model) = Upscaler::load(Arc::new(Drawn::new(odd, draw)), DType::F32, &Device::Cpu) else {
                refused += 1;
                continue;
            };
            if let Ok(y) = model.run(&picture(3, 17, 19), &to_the_end) {
                assert_eq!(y.dims(), [1, 3, 17 * model.scale(), 19 * model.scale()], "{name}");
                run += 1;
            }
        }
    }
    assert!(refused > 100 && run > 10, "{refused} were refused, {run} ran");
}

/// Accelerators compute in half floats: the way that is not the kernels' takes them from start to end.
#[test]
fn upscalers_take_half_floats() {
    for (name, shapes) in upscalers() {
        let source = Arc::new(Drawn::new(shapes, draw));
        let run = |dtype| {
            let model = Upscaler::load(source.clone(), dtype, &Device::Cpu).unwrap();
            let y = model.run(&picture(3, 32, 17).to_dtype(dtype).unwrap(), &to_the_end).unwrap();
            assert_eq!(
                (y.dims(), y.dtype()),
                (&[1, 3, 32 * model.scale(), 17 * model.scale()][..], dtype),
                "{name}"
            );
            y.to_dtype(DType::F32).unwrap()
        };
        let apart = (run(DType::F16) - run(DType::F32)).unwrap().abs().unwrap();
        // On average: rounding moves a pixel from one group to another where pixels are sorted.
        let apart = apart.mean_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(apart < 3e-2, "{name}: {apart}");
    }
}

#[test]
fn lama_agrees_with_spandrel() {
    let model = Lama::load(drawn("lama/small"), DType::F32, &Device::Cpu).unwrap();
    let (h, w) = (48, 40);
    let inside = |i: usize| (10..30).contains(&(i / w)) && (8..33).contains(&(i % w));
    let hole = (0..h * w).map(|i| if inside(i) { 1.0_f32 } else { 0.0 }).collect();
    let hole = Tensor::from_vec(hole, (1, 1, h, w), &Device::Cpu).unwrap();
    let filled = model.fill(&picture(3, h, w), &hole).unwrap();
    check(&Recorded::open("vision/vision"), "lama/small", &filled);
    assert_eq!(
        model
            .fill(&picture(3, 21, 17), &hole.narrow(2, 0, 21).unwrap().narrow(3, 0, 17).unwrap())
            .unwrap()
            .dims(),
        [1, 3, 21, 17]
    );
}

#[test]
fn edges_agree_with_the_original() {
    let recorded = Recorded::open("vision/vision");
    let (dtype, device) = (DType::F32, &Device::Cpu);
    let hed = Hed::load(drawn("edges/hed"), dtype, device).unwrap();
    check(
        &recorded,
        "edges/hed",
        &hed.forward(&(picture(3, 36, 50) * 255.0).unwrap()).unwrap(),
    );
    let lineart = Lineart::load(drawn("edges/lineart"), dtype, device).unwrap();
    check(&recorded, "edges/lineart", &lineart.forward(&picture(3, 24, 32)).unwrap());
    let anime = AnimeLines::load(drawn("edges/anime"), dtype, device).unwrap();
    assert_eq!(anime.multiple(), 64);
    let x = ((picture(3, 128, 64) * 2.0).unwrap() - 1.0).unwrap();
    check(&recorded, "edges/anime", &anime.forward(&x).unwrap());
    let pidi = PidiNet::load(drawn("edges/pidi"), dtype, device).unwrap();
    check(&recorded, "edges/pidi", &pidi.forward(&picture(3, 36, 50)).unwrap());
}

#[test]
fn lines_agree_with_the_original() {
    let mlsd = LineDetector::load(drawn("lines/mlsd"), DType::F32, &Device::Cpu).unwrap();
    let x = ((picture(4, 64, 128) * 2.0).unwrap() - 1.0).unwrap();
    check(&Recorded::open("vision/vision"), "lines/mlsd", &mlsd.forward(&x).unwrap());
}

#[test]
fn depths_agree_with_transformers() {
    let recorded = Recorded::open("vision/vision");
    let config = serde_json::json!({
        "backbone_config": {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 3, "out_features": ["stage1", "stage2", "stage3", "stage4"]},
        "head_hidden_size": 6, "neck_hidden_sizes": [8, 12, 16, 16], "patch_size": 14, "reassemble_factors": [4, 2, 1, 0.5],
    });
    for (name, h, w) in [("depth", 42, 56), ("depth_square", 42, 42)] {
        let source = drawn(&format!("depth/{name}"));
        let model = DepthAnything::load(&config, &serde_json::Value::Null, source, DType::F32, &Device::Cpu).unwrap();
        let x = ((picture(3, h, w) * 2.0).unwrap() - 1.0).unwrap();
        check(&recorded, &format!("depth/{name}"), &model.forward(&x).unwrap());
    }
}

#[test]
fn filters_agree_with_opencv() {
    let recorded = Recorded::open("vision/vision");
    let bytes = |name: &str| -> Vec<u8> { recorded.values(&format!("cv/{name}")).into_iter().map(|v| v as u8).collect() };
    let grey = |data| Picture::from_samples(Mode::L, 56, 40, data).unwrap();
    let noise = noise("picture", &[40, 56]).flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let image = grey(noise.into_iter().map(|v| (v * 127.5 + 127.5) as u8).collect());
    assert_eq!(cv::gaussian_blur(&image, 3.0).data(), bytes("blur"));
    assert_eq!(cv::gaussian_blur(&image, 1.5).data(), bytes("smooth"));
    assert_eq!(cv::scribble(&grey(bytes("scribble_from"))).data(), bytes("scribble"));
    assert_eq!(cv::resize_linear(&image, 75, 61).data(), bytes("linear"));
    let mut canvas = Picture::new(Mode::L, 56, 40);
    for line in recorded.values("cv/segments").chunks_exact(4) {
        let [x0, y0, x1, y1] = [line[0] as i32, line[1] as i32, line[2] as i32, line[3] as i32];
        cv::draw_line(&mut canvas, (x0, y0), (x1, y1), &[255]);
    }
    assert_eq!(canvas.data(), bytes("lines"));
}

#[test]
fn transformers_that_enlarge_agree_with_spandrel() {
    let recorded = Recorded::open("vision/vision");
    for (name, scale) in [
        ("shuffle", 2),
        ("direct", 3),
        ("nearest", 4),
        ("jpeg", 1),
        ("hat", 2),
        ("dat", 2),
        ("dat_light", 3),
        ("omni", 2),
        ("omni_plain", 3),
        ("omni_odd", 1),
        ("swin2_shuffle", 2),
        ("swin2_aux", 4),
        ("swin2_jpeg", 1),
        ("rgt", 2),
        ("rgt_odd", 3),
        ("drct", 2),
        ("drct_identity", 4),
        ("atd", 2),
        ("atd_light", 3),
        ("atd_plain", 1),
    ] {
        let name = format!("swin/{name}");
        let model = Upscaler::load(drawn(&name), DType::F32, &Device::Cpu).unwrap();
        assert_eq!(model.scale(), scale, "{name}");
        check(&recorded, &name, &model.forward(&picture(3, 26, 37), &to_the_end).unwrap());
    }
}

#[test]
fn normals_agree_with_the_original() {
    let model = NormalMap::load(drawn("normals/bae"), DType::F32, &Device::Cpu).unwrap();
    check(
        &Recorded::open("vision/vision"),
        "normals/bae",
        &model.forward(&picture(3, 40, 72)).unwrap(),
    );
}

#[test]
fn segments_agree_with_transformers() {
    let recorded = Recorded::open("vision/vision");
    let model = SegmentAnything::load(&serde_json::Value::Null, drawn("segment/sam"), 0, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(model.resized(128, 96), (64, 48));
    let seen = model.look(&(picture(3, 48, 64) * 255.0).unwrap(), (128, 96)).unwrap();
    let points = vec![
        ((20.0, 11.0), Label::Inside),
        ((40.5, 30.0), Label::Outside),
        ((3.0, 4.0), Label::Filler),
    ];
    let corners = Some([(5.0, 6.0), (50.0, 33.0)]);
    let cases = [
        (
            "points",
            Prompt {
                points: points.clone(),
                corners: None,
            },
        ),
        ("box", Prompt { points: vec![], corners }),
        (
            "both",
            Prompt {
                points: points.clone(),
                corners,
            },
        ),
    ];
    for (name, prompt) in cases {
        let scores = model.scores(&seen, &prompt).unwrap();
        check(&recorded, &format!("segment/{name}"), &scores);
        // In the picture's own pixels, twice as large.
        let twice = Prompt {
            points: prompt.points.iter().map(|((x, y), label)| ((x * 2.0, y * 2.0), *label)).collect(),
            corners: prompt.corners.map(|corners| corners.map(|(x, y)| (x * 2.0, y * 2.0))),
        };
        assert_eq!(model.segment(&seen, &twice).unwrap().len(), 128 * 96);
    }
}

#[test]
fn segments_of_the_second_model_agree_with_transformers() {
    let recorded = Recorded::open("vision/vision");
    let backbone = serde_json::json!({
        "blocks_per_stage": [1, 2, 2, 1], "num_attention_heads_per_stage": [1, 2, 4, 8], "window_size_per_stage": [4, 2, 6, 3],
        "global_attention_blocks": [4],
    });
    let config = serde_json::json!({"vision_config": {"backbone_config": backbone}});
    let model = SegmentAnything::load(&config, drawn("segment/sam2"), 128, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(model.resized(200, 100), (128, 128));
    let seen = model.look(&(picture(3, 128, 128) * 255.0).unwrap(), (200, 100)).unwrap();
    let points = vec![
        ((20.0, 11.0), Label::Inside),
        ((40.5, 30.0), Label::Outside),
        ((3.0, 4.0), Label::Filler),
    ];
    for (name, corners) in [("second_points", None), ("second_both", Some([(5.0, 6.0), (50.0, 33.0)]))] {
        let prompt = Prompt {
            points: points.clone(),
            corners,
        };
        check(&recorded, &format!("segment/{name}"), &model.scores(&seen, &prompt).unwrap());
        assert_eq!(model.segment(&seen, &prompt).unwrap().len(), 200 * 100);
    }
}
