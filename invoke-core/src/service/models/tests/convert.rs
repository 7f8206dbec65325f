//! Converting single files.

use serde_json::{Map, Value, json};

use super::{Kit, lora, server::Page, zeros};
use crate::{
    authz::Actor,
    domain::{Error, ModelKey},
};

/// A checkpoint of SD-1 by the names of its tensors, of which it has a few, all small.
fn checkpoint() -> Vec<u8> {
    zeros(&[
        ("model.diffusion_model.input_blocks.0.0.weight", &[32, 4, 1, 1]),
        ("model.diffusion_model.input_blocks.1.0.in_layers.2.weight", &[32, 32, 1, 1]),
        ("model.diffusion_model.input_blocks.4.0.in_layers.2.weight", &[32, 32, 1, 1]),
        ("model.diffusion_model.input_blocks.7.0.in_layers.2.weight", &[32, 32, 1, 1]),
        ("model.diffusion_model.input_blocks.10.0.in_layers.2.weight", &[32, 32, 1, 1]),
        (
            "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight",
            &[32, 768],
        ),
        ("model.diffusion_model.out.2.bias", &[4]),
        ("first_stage_model.encoder.conv_in.weight", &[2, 3, 1, 1]),
        ("first_stage_model.encoder.mid.attn_1.q.weight", &[2, 2, 1, 1]),
        ("first_stage_model.decoder.up.0.block.0.conv1.weight", &[32, 32, 1, 1]),
        ("first_stage_model.decoder.up.0.block.0.nin_shortcut.bias", &[2]),
        (
            "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
            &[4, 64],
        ),
        ("cond_stage_model.transformer.text_model.encoder.layers.0.layer_norm1.bias", &[64]),
        ("cond_stage_model.transformer.text_model.final_layer_norm.bias", &[2]),
    ])
}

fn install(kit: &Kit, file: &str, bytes: &[u8]) -> Value {
    let place = kit.root.path().join(file);
    std::fs::write(&place, bytes).unwrap();
    let wishes = json!({"name": "Old name", "description": "kept"});
    let job = kit
        .models
        .install(
            &Actor::local_operator(),
            place.to_str().unwrap(),
            false,
            None,
            wishes.as_object().unwrap().clone(),
        )
        .unwrap();
    let job = kit.wait(job["id"].as_u64().unwrap(), "completed");
    kit.record(&job)
}

#[test]
fn a_checkpoint_becomes_a_folder_under_a_new_key_and_keeps_its_name_and_picture() {
    let kit = Kit::new();
    let admin = Actor::local_operator();
    for file in ["vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"] {
        kit.server
            .put(&format!("/openai/clip-vit-large-patch14/resolve/main/{file}"), Page::of("{}"));
    }
    let old = install(&kit, "old.safetensors", &checkpoint());
    let key = old["key"].as_str().unwrap();
    assert_eq!(
        (&old["format"], &old["type"], &old["base"]),
        (&json!("checkpoint"), &json!("main"), &json!("sd-1"))
    );
    let mut png = std::io::Cursor::new(Vec::new());
    image::DynamicImage::new_rgb8(4, 4)
        .write_to(&mut png, image::ImageFormat::Png)
        .unwrap();
    kit.models.set_cover(&admin, key, Some("image/png"), png.get_ref()).unwrap();

    let new = kit.models.convert(&admin, key).unwrap();
    assert_ne!(new["key"], old["key"]);
    for same in ["name", "description", "hash", "source", "base", "variant", "prediction_type"] {
        assert_eq!(new[same], old[same], "{same}");
    }
    assert_eq!(new["format"], json!("diffusers"));
    assert!(new["cover_image"].is_string(), "{new:#}");
    assert!(matches!(kit.models.get(&admin, &ModelKey::new(key)), Err(Error::NotFound(_))));
    let models = kit.models.shared.layout.models_dir();
    assert!(!models.join(key).exists());
    let folder = models.join(new["path"].as_str().unwrap());
    for file in [
        "model_index.json",
        "scheduler/scheduler_config.json",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer/vocab.json",
        "unet/diffusion_pytorch_model.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
    ] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    let scratch = std::fs::read_dir(models.join(".convert_tmp")).unwrap().count();
    assert_eq!(scratch, 0, "nothing is left of the conversion");
    let again = kit.models.reidentify(&admin, new["key"].as_str().unwrap()).unwrap();
    assert_eq!((&again["format"], &again["name"]), (&json!("diffusers"), &json!("Old name")));
    let reidentified = format!("models.reidentify {}", new["key"].as_str().unwrap());
    assert_eq!(
        kit.written_down()[1..],
        [format!("models.set_cover {key}"), format!("models.convert {key}"), reidentified]
    );
}

#[test]
fn what_cannot_be_converted_is_left_alone() {
    let kit = Kit::new();
    let admin = Actor::local_operator();
    let brush = install(&kit, "brush.safetensors", &lora());
    let refused = kit.models.convert(&admin, brush["key"].as_str().unwrap());
    assert!(
        matches!(&refused, Err(Error::BadRequest(text)) if text.contains("is not a main SD 1/2/XL checkpoint model")),
        "{refused:?}"
    );
    assert!(matches!(kit.models.convert(&admin, "absent"), Err(Error::NotFound(_))));
    // The hub of this test has no tokenizer: nothing is converted, and nothing is lost.
    let old = install(&kit, "old.safetensors", &checkpoint());
    let key = old["key"].as_str().unwrap();
    let refused = kit.models.convert(&admin, key);
    assert!(
        matches!(&refused, Err(Error::Conflict(text)) if text.contains("tokenizer")),
        "{refused:?}"
    );
    assert_eq!(kit.models.get(&admin, &ModelKey::new(key)).unwrap(), old);
    let file = kit.models.shared.layout.models_dir().join(old["path"].as_str().unwrap());
    assert_eq!(std::fs::read(file).unwrap(), checkpoint());
}

#[test]
fn a_model_with_which_something_is_done_is_busy_for_others() {
    let kit = Kit::new();
    let admin = Actor::local_operator();
    let brush = install(&kit, "brush.safetensors", &lora());
    let key = brush["key"].as_str().unwrap();
    let claim = kit.models.claim(key).unwrap();
    let busy = |outcome: crate::domain::Result<()>| matches!(outcome, Err(Error::Conflict(text)) if text.starts_with("Another operation on model"));
    assert!(busy(kit.models.delete(&admin, key)));
    assert!(busy(kit.models.reidentify(&admin, key).map(drop)));
    assert!(busy(kit.models.update(&admin, key, &Map::new()).map(drop)));
    drop(claim);
    kit.models.delete(&admin, key).unwrap();
}
