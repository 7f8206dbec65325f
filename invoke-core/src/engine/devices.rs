//! The devices that sessions run on: those that the configuration names, as far as this machine and this build have them.

use std::sync::Arc;

use candle_core::Device as ComputeDevice;

use super::Device;
use crate::{
    config::{Devices, Settings},
    env::memory,
    nodes::workbench::Memory,
};

/// The most devices of a kind that are looked for.
const MOST: usize = 16;

/// A device and the means to compute on it.
pub type Opened = (Device, ComputeDevice);

/// The CPU, which is always there.
pub fn cpu() -> Opened {
    let device = Device {
        id: "cpu".into(),
        name: "CPU".into(),
    };
    (device, ComputeDevice::Cpu)
}

/// The device of a name: `cpu`, `cuda` (which is `cuda:0`), `cuda:1`, `mps`. An error says why it cannot be had.
fn open(name: &str) -> Result<Opened, String> {
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    let number: usize = number.parse().map_err(|_| "its number is none".to_owned())?;
    let opened = match kind {
        "cpu" => return Ok(cpu()),
        "cuda" => ComputeDevice::new_cuda(number).map(|device| (format!("cuda:{number}"), format!("CUDA device {number}"), device)),
        "mps" => ComputeDevice::new_metal(number).map(|device| ("mps".into(), "Metal".into(), device)),
        _ => return Err("it is none of cpu, cuda and mps".into()),
    };
    let (id, name, device) = opened.map_err(|error| error.to_string())?;
    Ok((Device { id, name }, device))
}

/// Every accelerator that there is; the CPU where there is none.
fn all() -> Vec<Opened> {
    let mut found: Vec<Opened> = (0..MOST).map_while(|number| open(&format!("cuda:{number}")).ok()).collect();
    if found.is_empty() {
        found.push(open("mps").unwrap_or_else(|_| cpu()));
    }
    found
}

/// The devices to run sessions on, one worker each. What is asked for and cannot be had is left out, and said to be; if nothing is left it is the CPU.
pub fn chosen(settings: &Settings) -> Vec<Opened> {
    let names: Vec<&str> = match (&settings.generation_devices, settings.device.as_str()) {
        (Devices::These(names), _) => names.iter().map(String::as_str).collect(),
        (Devices::Auto, "auto") => return all(),
        (Devices::Auto, name) => vec![name],
    };
    let mut found: Vec<Opened> = Vec::new();
    for name in names {
        match open(name) {
            Ok(one) if found.iter().all(|(known, _)| *known != one.0) => found.push(one),
            Ok(_) => {}
            Err(reason) => tracing::error!("the device {name} is configured and cannot be had: {reason}"),
        }
    }
    if found.is_empty() {
        found.push(cpu());
    }
    found
}

/// Where a device computes. Metal shares the machine's memory, of which nothing is known there.
pub fn memory_of(device: &ComputeDevice) -> Memory {
    match device {
        #[cfg(feature = "cuda")]
        ComputeDevice::Cuda(device) => {
            let stream = device.cuda_stream();
            let free = move || {
                // What was let go of is free once all that used it has run.
                stream.synchronize().ok()?;
                stream.context().mem_get_info().ok().map(|(free, _)| free as u64)
            };
            Memory {
                is_own: true,
                free: Arc::new(free),
            }
        }
        ComputeDevice::Cpu => Memory {
            is_own: false,
            free: Arc::new(memory::available),
        },
        _ => Memory {
            is_own: false,
            free: Arc::new(|| None),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(device: &str, generation_devices: Devices) -> Vec<String> {
        let settings = Settings {
            device: device.into(),
            generation_devices,
            ..Settings::default()
        };
        chosen(&settings).into_iter().map(|(device, _)| device.id).collect()
    }

    #[test]
    fn what_cannot_be_had_is_left_out_and_the_cpu_is_always_there() {
        let these = |names: &[&str]| Devices::These(names.iter().map(|name| (*name).into()).collect());
        assert_eq!(names("cpu", Devices::Auto), ["cpu"]);
        assert_eq!(names("cuda:15", Devices::Auto), ["cpu"]);
        assert_eq!(names("auto", these(&["cpu", "cuda:15", "cpu"])), ["cpu"]);
        assert_eq!(names("auto", these(&["cuda:x", "tpu"])), ["cpu"]);
        assert!(!names("auto", Devices::Auto).is_empty());
    }
}
