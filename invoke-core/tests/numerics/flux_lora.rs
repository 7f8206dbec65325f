//! LoRA for FLUX.1 in every layout, against the weights that InvokeAI's converters make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use invoke_core::diffusion::lora::{Lora, Part, patch};
use invoke_core::diffusion::weights::{SafetensorsFile, Source};

use super::{Recorded, random};

const PARTS: [(&str, Part); 3] = [("transformer", Part::UNet), ("clip", Part::Text), ("t5", Part::SecondText)];

fn file(name: &str) -> SafetensorsFile {
    SafetensorsFile::open(&random("flux_lora").join(format!("{name}.safetensors"))).unwrap()
}

fn values(source: &dyn Source, name: &str) -> Vec<f32> {
    let tensor = source.read(name).unwrap().to_dtype(candle_core::DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The patched weights of a part: those that differ from its own.
fn changed(layout: &str, part: &str, kind: Part) -> (Arc<dyn Source>, BTreeSet<String>) {
    let own = file(part);
    let lora = Arc::new(Lora::read(&file(layout)).unwrap());
    let patched = patch(Arc::new(file(part)), kind, &[(lora, 0.5)]);
    let names = own.names().into_iter().filter(|name| values(&own, name) != values(&*patched, name));
    let names = names.collect();
    (patched, names)
}

#[test]
fn every_layout_changes_the_same_weights_alike() {
    let recorded = Recorded::open("flux_lora");
    let mut layouts: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for name in recorded.names() {
        let mut parts = name.splitn(3, '/');
        let (layout, part, weight) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        layouts.entry(layout).or_default().push((part, weight));
    }
    assert_eq!(layouts.len(), 10);
    for (layout, weights) in layouts {
        for (part, kind) in PARTS {
            let wanted: BTreeSet<String> = weights
                .iter()
                .filter(|(p, _)| *p == part)
                .map(|(_, weight)| (*weight).to_owned())
                .collect();
            let (patched, changed) = changed(layout, part, kind);
            assert_eq!(changed, wanted, "{layout} {part}");
            for name in &wanted {
                recorded.check(&format!("{layout}/{part}/{name}"), &patched.read(name).unwrap());
            }
        }
    }
}
