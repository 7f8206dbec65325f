//! A source whose tensors are patched as they are read.

use std::collections::HashMap;
use std::sync::Arc;

use candle_core::{DType, Tensor};

use super::Lora;
use super::delta::Delta;
use super::flux::Rows;
use super::keys::{Part, flat};
use crate::diffusion::error::Result;
use crate::diffusion::weights::ldm::UNetLayout;
use crate::diffusion::weights::{Source, TensorInfo};

/// `source` with patches added to its weights, in the order given, each at its strength (1 is full, negative subtracts).
///
/// `part` says what `source` holds. Layers that the model lacks, or whose shape is another, are skipped and logged; a patch of
/// strength 0 changes nothing.
pub fn patch(source: Arc<dyn Source>, part: Part, loras: &[(Arc<Lora>, f64)]) -> Arc<dyn Source> {
    let loras: Vec<_> = loras
        .iter()
        .filter(|(lora, strength)| *strength != 0.0 && lora.layers(part) > 0)
        .cloned()
        .collect();
    if loras.is_empty() {
        return source;
    }
    let names = source.names();
    let mut modules: HashMap<&str, Vec<String>> = HashMap::new();
    for name in &names {
        if let Some(module) = name.strip_suffix(".weight").or_else(|| name.strip_suffix(".bias")) {
            modules.entry(module).or_insert_with(|| vec![flat(part, module)]);
        }
    }
    if part == Part::UNet {
        let layout = UNetLayout::from_names(names.iter().map(String::as_str));
        for (old, new) in layout.modules() {
            for (module, keys) in &mut modules {
                if let Some(rest) = module.strip_prefix(new.as_str())
                    && (rest.is_empty() || rest.starts_with('.'))
                {
                    keys.push(flat(part, &format!("{old}{rest}")));
                }
            }
        }
    }
    let mut changes: HashMap<String, Vec<Change>> = HashMap::new();
    for (number, (lora, strength)) in loras.iter().enumerate() {
        let mut used = 0;
        for (module, keys) in &modules {
            let Some(key) = keys.iter().map(|key| (part, key.clone())).find(|key| lora.layers.contains_key(key)) else {
                continue;
            };
            used += 1;
            changes.entry((*module).to_owned()).or_default().push(Change {
                patch: number,
                key,
                strength: *strength,
            });
        }
        let total = lora.layers(part);
        if used < total {
            tracing::warn!(
                file = lora.label,
                skipped = total - used,
                total,
                "a LoRA has layers that the model lacks"
            );
        }
    }
    let loras = loras.into_iter().map(|(lora, _)| lora).collect();
    Arc::new(Patched {
        inner: source,
        loras,
        changes,
    })
}

/// What is done to a module's weights.
#[derive(Debug)]
struct Change {
    /// Which patch.
    patch: usize,
    /// Its layer.
    key: (Part, String),
    strength: f64,
}

#[derive(Debug)]
struct Patched {
    inner: Arc<dyn Source>,
    loras: Vec<Arc<Lora>>,
    /// By module, in order.
    changes: HashMap<String, Vec<Change>>,
}

impl Source for Patched {
    fn label(&self) -> String {
        self.inner.label()
    }

    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn info(&self, name: &str) -> Option<TensorInfo> {
        self.inner.info(name)
    }

    fn read(&self, name: &str) -> Result<Tensor> {
        let original = self.inner.read(name)?;
        let Some((module, field)) = name.rsplit_once('.') else {
            return Ok(original);
        };
        let Some(changes) = self.changes.get(module) else {
            return Ok(original);
        };
        let is_bias = field == "bias";
        let layers = |change: &Change| &self.loras[change.patch].layers[&change.key];
        if is_bias
            && !changes
                .iter()
                .any(|change| layers(change).iter().any(|(_, delta)| delta.has_bias()))
        {
            return Ok(original);
        }
        let mut weight = original.to_dtype(DType::F32)?;
        let fused = || {
            self.inner
                .info(&format!("{module}.weight"))
                .map(|info| info.shape)
                .unwrap_or_default()
        };
        for change in changes {
            for (rows, delta) in layers(change) {
                let place = (*rows != Rows::All).then(|| rows.of(&fused()));
                let added = match place {
                    None => added(delta, &weight, is_bias)?,
                    Some(Some((start, count))) if start + count <= weight.dims().first().copied().unwrap_or(0) => {
                        let part = weight.narrow(0, start, count)?.contiguous()?;
                        let added = added(delta, &part, is_bias)?;
                        added
                            .map(|added| added.pad_with_zeros(0, start, weight.dims()[0] - start - count))
                            .transpose()?
                    }
                    Some(_) => None,
                };
                match added {
                    Some(added) => weight = (weight + (added * change.strength)?)?,
                    None if is_bias => {}
                    None => tracing::warn!(
                        file = self.loras[change.patch].label,
                        layer = change.key.1,
                        "a LoRA layer was made for another shape and is skipped"
                    ),
                }
            }
        }
        Ok(weight)
    }
}

/// What a layer adds to a weight or a bias at strength 1.
fn added(delta: &Delta, weight: &Tensor, is_bias: bool) -> candle_core::Result<Option<Tensor>> {
    if is_bias { delta.of_bias(weight) } else { delta.of_weight(weight) }
}
