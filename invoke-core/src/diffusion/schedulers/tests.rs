//! Whole runs against diffusers, recorded by `tests/numerics/record_schedulers.py`.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use serde::Deserialize;

use super::{SchedulerConfig, SchedulerName};
use crate::diffusion::noise::TorchGenerator;

const RECORDED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/numerics/schedulers.json"));

#[derive(Deserialize)]
struct Recording {
    configs: HashMap<String, SchedulerConfig>,
    seed: u64,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    config: String,
    name: SchedulerName,
    steps: usize,
    start: usize,
    timesteps: Vec<f64>,
    init_noise_sigma: f64,
    /// Step and every fifth value of the sample after it.
    trace: Vec<(usize, Vec<f32>)>,
}

fn linspace(from: f32, to: f32) -> Tensor {
    let values: Vec<f32> = (0..32).map(|i| from + (to - from) * i as f32 / 31.0).collect();
    Tensor::from_vec(values, (1, 2, 4, 4), &Device::Cpu).unwrap()
}

/// Largest relative error of a run, or what went wrong before it could be measured.
fn worst_error(case: &Case, config: &SchedulerConfig, seed: u64) -> Result<f32, String> {
    let mut sampler = case.name.build(config, case.steps, seed).map_err(|e| e.to_string())?;
    let timesteps = sampler.timesteps().to_vec();
    if timesteps.len() != case.timesteps.len() {
        return Err(format!(
            "{} timesteps, expected {}: {timesteps:?}",
            timesteps.len(),
            case.timesteps.len()
        ));
    }
    for (got, wanted) in timesteps.iter().zip(&case.timesteps) {
        if (got - wanted).abs() > 2e-3 {
            return Err(format!("timesteps {timesteps:?}, expected {:?}", case.timesteps));
        }
    }
    if (sampler.init_noise_sigma() / case.init_noise_sigma - 1.0).abs() > 1e-5 {
        return Err(format!(
            "init_noise_sigma {}, expected {}",
            sampler.init_noise_sigma(),
            case.init_noise_sigma
        ));
    }
    let visits = &timesteps[case.start * sampler.order()..];
    let noise = linspace(-1.0, 1.0);
    let picture = if case.start == 0 {
        noise.zeros_like().unwrap()
    } else {
        linspace(0.5, -0.25)
    };
    let mut x = sampler.add_noise(&picture, &noise, visits[0]).unwrap();
    let mut generator = TorchGenerator::for_steps(seed);
    let mut worst = 0f32;
    for (i, &t) in visits.iter().enumerate() {
        let scaled = sampler.scale_model_input(&x, t).unwrap();
        let output = scaled.affine(0.3, t / 2000.0).unwrap();
        x = sampler.step(&output, t, &x, &mut generator).unwrap().sample;
        if let Some((_, wanted)) = case.trace.iter().find(|(step, _)| *step == i) {
            let got = x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let scale = wanted.iter().fold(0f32, |m, v| m.max(v.abs()));
            for (got, wanted) in got.iter().step_by(5).zip(wanted) {
                let error = (got - wanted).abs() / scale;
                worst = if error.is_nan() { f32::INFINITY } else { worst.max(error) };
            }
        }
    }
    Ok(worst)
}

#[test]
fn every_scheduler_follows_diffusers() {
    let recording: Recording = serde_json::from_str(RECORDED).unwrap();
    let mut failures = Vec::new();
    for case in &recording.cases {
        let label = format!("{} on {} ({} steps from {})", case.name, case.config, case.steps, case.start);
        match worst_error(case, &recording.configs[&case.config], recording.seed) {
            Ok(worst) if worst <= 1e-5 => {}
            Ok(worst) => failures.push(format!("{label}: relative error {worst:e}")),
            Err(problem) => failures.push(format!("{label}: {problem}")),
        }
    }
    let names: Vec<&str> = SchedulerName::ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, crate::domain::model_kind::SCHEDULERS, "what the wire and the nodes name");
    for name in SchedulerName::ALL {
        assert!(recording.cases.iter().any(|case| case.name == *name), "{name} is not recorded");
    }
    assert!(
        failures.is_empty(),
        "{} of {}:\n{}",
        failures.len(),
        recording.cases.len(),
        failures.join("\n")
    );
}

#[test]
fn bad_settings_are_named() {
    let config = SchedulerConfig::default();
    let message = |r: super::Built<Box<dyn super::Scheduler>>| r.err().map(|e| e.to_string());
    let too_many = message(SchedulerName::Lcm.build(&config, 51, 0));
    assert_eq!(too_many.as_deref(), Some("steps: 51 is out of range, expected 1 to 50"));
    let odd = SchedulerConfig {
        algorithm_type: Some("dpmsolver".into()),
        ..config
    };
    let odd = message(SchedulerName::Dpmpp2m.build(&odd, 10, 0));
    assert!(odd.is_some_and(|m| m.contains("algorithm_type is dpmsolver")));
}
