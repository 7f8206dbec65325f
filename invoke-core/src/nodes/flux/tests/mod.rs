//! Whole runs of the nodes, held to what InvokeAI's modules made of the same models (`tests/numerics/record_flux.py`).

mod runs;

use std::{collections::HashMap, path::Path};

use candle_core::Tensor;
use half::f16;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nodes::{
    NodeError,
    latents::tests::{
        Recorded,
        checkpoints::{safetensors, weight},
        model, root, with_models,
    },
    testing::{TestCx, run_in},
    workbench::tensor,
};

fn told() -> Value {
    serde_json::from_slice(&std::fs::read(root().join("tests/numerics/flux.json")).unwrap()).unwrap()
}

/// Writes one of the script's models, its names behind `prefix`.
fn write(name: &str, path: &Path, prefix: &str) {
    let shapes: HashMap<String, Vec<usize>> = serde_json::from_value(told()["shapes"][name].clone()).unwrap();
    let drawn = shapes.into_iter().map(|(name, shape)| {
        let mut bytes = weight(&name.replace(".scale", ".weight"), &shape);
        if name.ends_with("relative_attention_bias.weight") {
            // The script's distances tell more.
            let values = bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|b| f16::from_f32(f16::from_le_bytes(*b).to_f32() * 4.0));
            bytes = values.flat_map(f16::to_le_bytes).collect();
        }
        (format!("{prefix}{name}"), shape, bytes)
    });
    safetensors(path, drawn.collect());
}

/// A context with a transformer (`m`, under its bundle's prefix), T5, CLIP and an autoencoder.
struct House {
    cx: TestCx,
    _folder: TempDir,
}

impl House {
    fn new(transformer: &str, variant: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        write(transformer, &at("m.safetensors"), "model.diffusion_model.");
        write("vae", &at("ae.safetensors"), "");
        let t5 = at("t5").join("text_encoder_2");
        std::fs::create_dir_all(&t5).unwrap();
        write("t5", &t5.join("model.safetensors"), "");
        std::fs::write(t5.join("config.json"), told()["t5"].to_string()).unwrap();
        let tokens = at("t5").join("tokenizer_2");
        std::fs::create_dir_all(&tokens).unwrap();
        std::fs::copy(
            root().join("tests/numerics/models/t5/tokenizer_2/spiece.model"),
            tokens.join("spiece.model"),
        )
        .unwrap();
        let mut record = model("m", "flux", "main");
        record["variant"] = variant.into();
        let cx = with_models(vec![
            (record, at("m.safetensors")),
            (model("ae", "flux", "vae"), at("ae.safetensors")),
            (model("t5", "any", "t5_encoder"), at("t5")),
            (model("clip", "any", "clip_embed"), root().join("assets/models/invoke-tiny")),
            (model("sd", "sd-1", "main"), root().join("assets/models/invoke-tiny")),
        ]);
        Self { cx, _folder: folder }
    }

    fn run(&self, id: &str, inputs: Value) -> Result<Value, NodeError> {
        run_in(&self.cx, id, inputs)
    }

    fn part(key: &str, base: &str, kind: &str, part: &str) -> Value {
        let mut model = model(key, base, kind);
        model["submodel_type"] = part.into();
        model
    }

    fn vae() -> Value {
        json!({"vae": Self::part("ae", "flux", "vae", "vae"), "seamless_axes": []})
    }

    fn transformer() -> Value {
        json!({"transformer": Self::part("m", "flux", "main", "transformer"), "loras": []})
    }

    fn encoder(tokenizer: &str) -> Value {
        let clip = |part| Self::part("clip", "any", "clip_embed", part);
        let t5 = |part| Self::part("t5", "any", "t5_encoder", part);
        json!({
            "clip": {"tokenizer": clip("tokenizer"), "text_encoder": clip("text_encoder"), "skipped_layers": 0, "loras": []},
            "t5_encoder": {"tokenizer": t5(tokenizer), "text_encoder": t5("text_encoder_2"), "loras": []},
            "t5_max_seq_len": 256, "prompt": "a red circle by the sea",
        })
    }

    fn prompt(&self, prompt: &str, mask: Option<&str>) -> Value {
        let mut inputs = Self::encoder("tokenizer_2");
        inputs["prompt"] = prompt.into();
        inputs["mask"] = mask.map(|name| json!({"tensor_name": name})).into();
        self.run("flux_text_encoder", inputs).unwrap()["conditioning"].clone()
    }

    /// Denoises 96 by 64 pixels in four steps, with more inputs.
    fn denoised(&self, more: Value) -> Result<Tensor, NodeError> {
        let mut inputs = json!({
            "transformer": Self::transformer(), "positive_text_conditioning": self.prompt("a red circle by the sea", None), "width": 96, "height": 64,
            "guidance": 3.5, "seed": 7,
        });
        for (key, value) in more.as_object().unwrap() {
            inputs[key] = value.clone();
        }
        let made = self.run("flux_denoise", inputs)?;
        assert_eq!((&made["width"], &made["height"]), (&json!(96), &json!(64)));
        tensor(&self.cx, made["latents"]["latents_name"].as_str().unwrap())
    }
}

/// Norm of the difference of two over the norm of the second.
fn apart(a: &Tensor, b: &Tensor) -> f64 {
    let norm = |t: &Tensor| -> f64 { f64::from(t.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt() };
    norm(&(a - b).unwrap()) / norm(b)
}
