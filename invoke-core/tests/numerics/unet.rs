//! The denoiser.

use candle_core::{DType, Device, Tensor};
use invoke_core::diffusion::unet::regions::{Region, region_bias};
use invoke_core::diffusion::unet::{Context, ControlResiduals, CrossBias, FreeU, StepInputs, UNet};
use invoke_core::diffusion::weights::Weights;
use invoke_core::diffusion::{Seamless, open_unet};

use super::{Recorded, tiny, wave};

fn unet() -> UNet {
    UNet::open(&tiny("unet"), DType::F32, &Device::Cpu).unwrap()
}

fn context(unet: &UNet, batch: usize) -> Context {
    let embeds = wave(&[2, 77, 768], 1.0, 1.0).narrow(0, 0, batch).unwrap();
    unet.prepare(&embeds, CrossBias::None, None).unwrap()
}

#[test]
fn sizes_and_timesteps() {
    let (unet, recorded) = (unet(), Recorded::open("unet"));
    assert_eq!(unet.bytes(), 39_164_176);
    let cases = [
        ("square", 2, 32, 32, 999.0),
        ("last", 2, 32, 32, 1.0),
        ("fraction", 1, 16, 16, 499.25),
        ("odd", 1, 31, 33, 601.0),
        ("wide", 1, 24, 48, 301.0),
        ("tiny", 1, 8, 8, 50.0),
    ];
    for (name, b, h, w, t) in cases {
        let y = unet
            .forward(&wave(&[b, 4, h, w], 0.0, 1.0), t, &context(&unet, b), &StepInputs::default())
            .unwrap();
        assert_eq!(y.dims(), [b, 4, h, w]);
        recorded.check(name, &y);
    }
}

#[test]
fn half_floats() {
    let (single, recorded) = (unet(), Recorded::open("unet"));
    let unet = UNet::open(&tiny("unet"), DType::BF16, &Device::Cpu).unwrap();
    // By what the file would take; `Workbench::denoiser_dtype` asks for halves only where they are packed as such.
    assert_eq!(unet.bytes(), single.bytes() / 2);
    for (name, b, h, w, t) in [("square", 2, 32, 32, 999.0), ("odd", 1, 31, 33, 601.0), ("tiny", 1, 8, 8, 50.0)] {
        let y = unet
            .forward(&wave(&[b, 4, h, w], 0.0, 1.0), t, &context(&unet, b), &StepInputs::default())
            .unwrap();
        assert_eq!(y.dtype(), DType::F32);
        let error = recorded.error(name, &y);
        // They round indeed, and no more than that.
        assert!((1e-4..2e-2).contains(&error), "{name}: relative error {error:.2e}");
    }
}

#[test]
fn weights_that_rest_beside_the_device() {
    let recorded = Recorded::open("unet");
    let (config, source) = open_unet(&tiny("unet")).unwrap();
    for room in [0, 20_000_000] {
        let weights = Weights::new(source.clone(), DType::F32, &Device::Cpu).within(room);
        let unet = UNet::load(config.clone(), &weights).unwrap();
        // Norms and biases, which are few, always lie where they are used.
        let (all, resting) = (weights.bytes_loaded(), weights.bytes_resting());
        assert_eq!(all, 39_164_176);
        assert!(resting >= all - room - 700_000 && resting <= all - room / 2, "{resting} of {all}");
        let y = unet
            .forward(&wave(&[1, 4, 24, 48], 0.0, 1.0), 301.0, &context(&unet, 1), &StepInputs::default())
            .unwrap();
        recorded.check("wide", &y);
    }
}

#[test]
fn additions_to_a_step() {
    let (unet, recorded) = (unet(), Recorded::open("unet"));
    let context = context(&unet, 1);
    let run = |h, w, inputs: &StepInputs<'_>| unet.forward(&wave(&[1, 4, h, w], 0.0, 1.0), 301.0, &context, inputs).unwrap();
    let free_u = FreeU::new(1.2, 1.4, 0.9, 0.2);
    recorded.check(
        "freeu",
        &run(
            24,
            16,
            &StepInputs {
                free_u,
                ..StepInputs::default()
            },
        ),
    );
    recorded.check(
        "freeu tiny",
        &run(
            8,
            8,
            &StepInputs {
                free_u,
                ..StepInputs::default()
            },
        ),
    );
    let states = |shapes: &[(usize, usize)]| -> Vec<Tensor> {
        let state = |(i, (c, d)): (usize, &(usize, usize))| wave(&[1, *c, 16 / d, 24 / d], i as f64, 0.3);
        shapes.iter().enumerate().map(state).collect()
    };
    let control = ControlResiduals {
        down: states(&[(32, 1), (32, 1), (32, 2), (64, 2), (64, 4), (128, 4), (128, 8), (160, 8)]),
        mid: wave(&[1, 160, 2, 3], 9.0, 0.3),
    };
    recorded.check(
        "control",
        &run(
            16,
            24,
            &StepInputs {
                control: Some(&control),
                ..StepInputs::default()
            },
        ),
    );
    let adapter = states(&[(32, 2), (64, 4), (128, 4), (160, 8)]);
    recorded.check(
        "adapter",
        &run(
            16,
            24,
            &StepInputs {
                adapter: &adapter,
                ..StepInputs::default()
            },
        ),
    );
    let seamless = |x, y| StepInputs {
        seamless: Seamless { x, y },
        ..StepInputs::default()
    };
    recorded.check("seamless xy", &run(16, 16, &seamless(true, true)));
    recorded.check("seamless x", &run(16, 16, &seamless(true, false)));
    let few = StepInputs {
        adapter: &adapter[..2],
        ..StepInputs::default()
    };
    let refused = unet.forward(&wave(&[1, 4, 16, 24], 0.0, 1.0), 1.0, &context, &few).unwrap_err();
    assert!(refused.to_string().contains("2 states"), "{refused}");
}

#[test]
fn masks_on_the_context() {
    let (unet, recorded) = (unet(), Recorded::open("unet"));
    let device = Device::Cpu;
    let rows: Vec<f32> = (0..2 * 154).map(|i| if (77..154).contains(&i) { -10000.0 } else { 0.0 }).collect();
    let bias = CrossBias::Tokens(Tensor::from_vec(rows, (2, 1, 154), &device).unwrap());
    let padded = unet.prepare(&wave(&[2, 154, 768], 2.0, 1.0), bias, None).unwrap();
    recorded.check(
        "padded",
        &unet
            .forward(&wave(&[2, 4, 16, 16], 0.0, 1.0), 400.0, &padded, &StepInputs::default())
            .unwrap(),
    );

    let (h, w) = (15usize, 20usize);
    let left: Vec<f32> = (0..h * w).map(|i| if i % w < w.div_ceil(3) { 1.0 } else { 0.0 }).collect();
    let region = Region {
        tokens: 10..40,
        mask: Some(Tensor::from_vec(left, (h, w), &device).unwrap()),
    };
    let bias = CrossBias::Pixels(region_bias(&[vec![region]], (h, w), 77, DType::F32, &device).unwrap());
    let embeds = wave(&[2, 77, 768], 1.0, 1.0).narrow(0, 0, 1).unwrap();
    let regions = unet.prepare(&embeds, bias, None).unwrap();
    let run = |h, w| unet.forward(&wave(&[1, 4, h, w], 0.0, 1.0), 301.0, &regions, &StepInputs::default());
    recorded.check("regions", &run(h, w).unwrap());
    assert!(run(8, 8).unwrap_err().to_string().contains("another size"));
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    let unet = unet();
    let wrong = unet.prepare(&wave(&[1, 77, 64], 0.0, 1.0), CrossBias::None, None).unwrap_err();
    assert!(wrong.to_string().contains("64 wide, this model takes 768"), "{wrong}");
    let wrong = unet
        .forward(&wave(&[1, 9, 8, 8], 0.0, 1.0), 1.0, &context(&unet, 1), &StepInputs::default())
        .unwrap_err();
    assert!(wrong.to_string().contains("9 channels, this model takes 4"), "{wrong}");
}
