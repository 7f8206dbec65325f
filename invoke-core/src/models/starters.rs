//! Public models that can be installed by a click: the Stable Diffusion families, FLUX.1, and what goes with them, all without a programme inside their files.

use serde_json::{Map, Value, json};

/// One of them.
struct Starter {
    name: &'static str,
    source: &'static str,
    base: &'static str,
    kind: &'static str,
    description: &'static str,
    /// Names of those that it does not work without.
    needs: &'static [&'static str],
}

macro_rules! starters {
    ($($base:literal $kind:literal { $($name:literal = $source:literal: $description:literal $(needs $($needs:literal),+)?;)+ })+) => {
        const STARTERS: &[Starter] = &[$($(Starter {
            name: $name, source: $source, base: $base, kind: $kind, description: $description, needs: &[$($($needs),+)?],
        }),+),+];
    };
}

starters! {
    "sd-1" "main" {
        "Stable Diffusion 1.5" = "stable-diffusion-v1-5/stable-diffusion-v1-5": "The model that most add-ons of its family were made for. 512×512.";
        "Stable Diffusion 1.5 (inpainting)" = "stable-diffusion-v1-5/stable-diffusion-inpainting": "Fills masked parts of pictures. 512×512.";
        "Dreamshaper 8" = "Lykon/dreamshaper-8": "Illustrations and photographs alike. 512×512.";
        "Dreamshaper 8 (inpainting)" = "Lykon/dreamshaper-8-inpainting": "Fills masked parts of pictures in the manner of Dreamshaper 8.";
        "Dreamshaper 7 LCM" = "SimianLuo/LCM_Dreamshaper_v7": "Pictures in four to eight steps, with the LCM scheduler.";
    }
    "sd-2" "main" {
        "SD Turbo" = "stabilityai/sd-turbo": "Pictures in one to four steps, without guidance. 512×512.";
    }
    "sdxl" "main" {
        "SDXL 1.0 base" = "stabilityai/stable-diffusion-xl-base-1.0": "The model that most add-ons of its family were made for. 1024×1024.";
        "SDXL 1.0 (inpainting)" = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1": "Fills masked parts of pictures. 1024×1024.";
        "SDXL Turbo" = "stabilityai/sdxl-turbo": "Pictures in one to four steps, without guidance. 512×512.";
        "Dreamshaper XL Turbo" = "Lykon/dreamshaper-xl-v2-turbo": "Illustrations and photographs alike, in four to eight steps.";
    }
    "sdxl-refiner" "main" {
        "SDXL 1.0 refiner" = "stabilityai/stable-diffusion-xl-refiner-1.0": "Adds detail in the last steps of an SDXL picture.";
    }
    "flux" "main" {
        "FLUX.1 schnell" = "InvokeAI/flux_schnell::transformer/base/flux1-schnell.safetensors": "Pictures in four steps, without guidance. 24 GB." needs "T5-XXL text encoder", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 schnell (NF4)" = "InvokeAI/flux_schnell::transformer/bnb_nf4/flux1-schnell-bnb_nf4.safetensors": "The same with 4 bits a weight. 7 GB." needs "T5-XXL text encoder (8 bits)", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 dev" = "InvokeAI/flux_dev::transformer/base/flux1-dev.safetensors": "The model that most add-ons of its family were made for. 24 GB; not for commercial use." needs "T5-XXL text encoder", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 dev (NF4)" = "InvokeAI/flux_dev::transformer/bnb_nf4/flux1-dev-bnb_nf4.safetensors": "The same with 4 bits a weight. 7 GB; not for commercial use." needs "T5-XXL text encoder (8 bits)", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 Krea dev" = "https://huggingface.co/InvokeAI/FLUX.1-Krea-dev/resolve/main/flux1-krea-dev.safetensors": "Photographs. 24 GB; not for commercial use." needs "T5-XXL text encoder (8 bits)", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 Krea dev (Q4)" = "https://huggingface.co/InvokeAI/FLUX.1-Krea-dev-GGUF/resolve/main/flux1-krea-dev-Q4_K_M.gguf": "The same with 4 bits a weight. 7 GB; not for commercial use." needs "T5-XXL text encoder (8 bits)", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 Fill dev" = "black-forest-labs/FLUX.1-Fill-dev::flux1-fill-dev.safetensors": "Fills masked parts of pictures. 24 GB; not for commercial use." needs "T5-XXL text encoder", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 Kontext dev" = "https://huggingface.co/black-forest-labs/FLUX.1-Kontext-dev/resolve/main/flux1-kontext-dev.safetensors": "Changes a picture as the prompt says. 24 GB; not for commercial use." needs "T5-XXL text encoder", "CLIP-L text encoder", "FLUX.1 VAE";
        "FLUX.1 Kontext dev (Q4)" = "https://huggingface.co/unsloth/FLUX.1-Kontext-dev-GGUF/resolve/main/flux1-kontext-dev-Q4_K_M.gguf": "The same with 4 bits a weight. 7 GB; not for commercial use." needs "T5-XXL text encoder (8 bits)", "CLIP-L text encoder", "FLUX.1 VAE";
    }
    "any" "t5_encoder" {
        "T5-XXL text encoder" = "InvokeAI/t5-v1_1-xxl::bfloat16": "The larger text encoder of FLUX.1. 9 GB.";
        "T5-XXL text encoder (8 bits)" = "InvokeAI/t5-v1_1-xxl::bnb_llm_int8": "The same with 8 bits a weight. 5 GB.";
    }
    "any" "clip_embed" {
        "CLIP-L text encoder" = "InvokeAI/clip-vit-large-patch14-text-encoder::bfloat16": "The smaller text encoder of FLUX.1.";
    }
    "flux" "vae" {
        "FLUX.1 VAE" = "black-forest-labs/FLUX.1-schnell::ae.safetensors": "Encodes and decodes the pictures of FLUX.1.";
    }
    "sd-1" "vae" {
        "VAE ft-mse" = "stabilityai/sd-vae-ft-mse": "Smoother decoding of faces and fine detail.";
    }
    "sdxl" "vae" {
        "SDXL VAE fp16" = "madebyollin/sdxl-vae-fp16-fix": "Decodes in half precision without black pictures.";
    }
    "sd-1" "lora" {
        "LCM-LoRA SD 1.5" = "latent-consistency/lcm-lora-sdv1-5": "Turns a model of the family into one of four to eight steps.";
    }
    "sdxl" "lora" {
        "LCM-LoRA SDXL" = "latent-consistency/lcm-lora-sdxl": "Turns a model of the family into one of four to eight steps.";
    }
    "sd-1" "controlnet" {
        "Canny (SD 1.5)" = "lllyasviel/control_v11p_sd15_canny": "Follows edges.";
        "Depth (SD 1.5)" = "lllyasviel/control_v11f1p_sd15_depth": "Follows a depth map.";
        "Inpaint (SD 1.5)" = "lllyasviel/control_v11p_sd15_inpaint": "Keeps what lies around a masked part.";
        "Instruct Pix2Pix (SD 1.5)" = "lllyasviel/control_v11e_sd15_ip2p": "Changes a picture as the prompt says.";
        "Line art (SD 1.5)" = "lllyasviel/control_v11p_sd15_lineart": "Follows drawn lines.";
        "Line art, anime (SD 1.5)" = "lllyasviel/control_v11p_sd15s2_lineart_anime": "Follows drawn lines of anime pictures.";
        "MLSD (SD 1.5)" = "lllyasviel/control_v11p_sd15_mlsd": "Follows straight lines, as of buildings.";
        "Normals (SD 1.5)" = "lllyasviel/control_v11p_sd15_normalbae": "Follows a map of surface directions.";
        "Pose (SD 1.5)" = "lllyasviel/control_v11p_sd15_openpose": "Follows the pose of people.";
        "Scribble (SD 1.5)" = "lllyasviel/control_v11p_sd15_scribble": "Follows a sketch.";
        "Segmentation (SD 1.5)" = "lllyasviel/control_v11p_sd15_seg": "Follows a map of regions.";
        "Shuffle (SD 1.5)" = "lllyasviel/control_v11e_sd15_shuffle": "Takes colours and style from a picture.";
        "Soft edge (SD 1.5)" = "lllyasviel/control_v11p_sd15_softedge": "Follows soft edges.";
        "Tile (SD 1.5)" = "lllyasviel/control_v11f1e_sd15_tile": "Adds detail to what is there, for enlarging.";
    }
    "sdxl" "controlnet" {
        "Canny (SDXL)" = "diffusers/controlnet-canny-sdxl-1.0": "Follows edges.";
        "Depth (SDXL)" = "diffusers/controlnet-depth-sdxl-1.0": "Follows a depth map.";
        "Pose (SDXL)" = "xinsir/controlnet-openpose-sdxl-1.0": "Follows the pose of people.";
        "Scribble (SDXL)" = "xinsir/controlnet-scribble-sdxl-1.0": "Follows a sketch.";
        "Tile (SDXL)" = "xinsir/controlnet-tile-sdxl-1.0": "Adds detail to what is there, for enlarging.";
    }
    "sd-1" "t2i_adapter" {
        "Canny adapter (SD 1.5)" = "TencentARC/t2iadapter_canny_sd15v2": "Follows edges, at little cost.";
        "Depth adapter (SD 1.5)" = "TencentARC/t2iadapter_depth_sd15v2": "Follows a depth map, at little cost.";
        "Sketch adapter (SD 1.5)" = "TencentARC/t2iadapter_sketch_sd15v2": "Follows a sketch, at little cost.";
    }
    "sdxl" "t2i_adapter" {
        "Canny adapter (SDXL)" = "TencentARC/t2i-adapter-canny-sdxl-1.0": "Follows edges, at little cost.";
        "Line art adapter (SDXL)" = "TencentARC/t2i-adapter-lineart-sdxl-1.0": "Follows drawn lines, at little cost.";
        "Sketch adapter (SDXL)" = "TencentARC/t2i-adapter-sketch-sdxl-1.0": "Follows a sketch, at little cost.";
    }
    "any" "clip_vision" {
        "IP-Adapter image encoder" = "InvokeAI/ip_adapter_sd_image_encoder": "Reads pictures for IP-Adapters.";
    }
    "sd-1" "ip_adapter" {
        "IP-Adapter (SD 1.5)" = "https://huggingface.co/h94/IP-Adapter/resolve/main/models/ip-adapter_sd15.safetensors": "Takes content and style from a picture." needs "IP-Adapter image encoder";
        "IP-Adapter Plus (SD 1.5)" = "https://huggingface.co/h94/IP-Adapter/resolve/main/models/ip-adapter-plus_sd15.safetensors": "Takes more of a picture." needs "IP-Adapter image encoder";
        "IP-Adapter Plus Face (SD 1.5)" = "https://huggingface.co/h94/IP-Adapter/resolve/main/models/ip-adapter-plus-face_sd15.safetensors": "Takes a face from a picture." needs "IP-Adapter image encoder";
    }
    "sdxl" "ip_adapter" {
        "IP-Adapter (SDXL)" = "https://huggingface.co/h94/IP-Adapter/resolve/main/sdxl_models/ip-adapter_sdxl_vit-h.safetensors": "Takes content and style from a picture." needs "IP-Adapter image encoder";
    }
    "sd-1" "embedding" {
        "EasyNegative" = "https://huggingface.co/embed/EasyNegative/resolve/main/EasyNegative.safetensors": "For the negative prompt: fewer faults of many kinds.";
    }
}

/// A group of them: its key, its name, and the names of those in it.
const BUNDLES: &[(&str, &str, &[&str])] = &[
    (
        "sd-1",
        "Stable Diffusion 1.5",
        &[
            "Dreamshaper 8",
            "Dreamshaper 8 (inpainting)",
            "VAE ft-mse",
            "IP-Adapter (SD 1.5)",
            "IP-Adapter Plus Face (SD 1.5)",
            "Canny (SD 1.5)",
            "Depth (SD 1.5)",
            "Line art (SD 1.5)",
            "Pose (SD 1.5)",
            "Scribble (SD 1.5)",
            "Soft edge (SD 1.5)",
            "Tile (SD 1.5)",
            "EasyNegative",
        ],
    ),
    (
        "sdxl",
        "SDXL",
        &[
            "SDXL 1.0 base",
            "SDXL 1.0 (inpainting)",
            "SDXL VAE fp16",
            "IP-Adapter (SDXL)",
            "Canny (SDXL)",
            "Depth (SDXL)",
            "Pose (SDXL)",
            "Scribble (SDXL)",
            "Tile (SDXL)",
        ],
    ),
    (
        "flux",
        "FLUX.1",
        &[
            "FLUX.1 schnell (NF4)",
            "FLUX.1 dev (NF4)",
            "T5-XXL text encoder (8 bits)",
            "CLIP-L text encoder",
            "FLUX.1 VAE",
        ],
    ),
];

impl Starter {
    /// The JSON of the wire, without what it needs.
    fn alone(&self, installed: &dyn Fn(&str, &str, &str, &str) -> bool) -> Map<String, Value> {
        let json = json!({
            "description": self.description,
            "source": self.source,
            "name": self.name,
            "base": self.base,
            "type": self.kind,
            "format": null,
            "variant": null,
            "is_installed": installed(self.source, self.name, self.base, self.kind),
            "capabilities": null,
            "default_settings": null,
            "panel_schema": null,
            "previous_names": [],
        });
        match json {
            Value::Object(map) => map,
            _ => Map::new(),
        }
    }

    fn whole(&self, installed: &dyn Fn(&str, &str, &str, &str) -> bool) -> Value {
        let mut map = self.alone(installed);
        let missing: Vec<Value> = STARTERS
            .iter()
            .filter(|other| self.needs.contains(&other.name))
            .filter(|other| !installed(other.source, other.name, other.base, other.kind))
            .map(|other| Value::Object(other.alone(installed)))
            .collect();
        map.insert("dependencies".into(), json!(missing));
        Value::Object(map)
    }
}

/// All of them and their groups, as the wire has them. `installed` tells of a source, name, base and type whether there is such a model.
pub fn starters(installed: &dyn Fn(&str, &str, &str, &str) -> bool) -> Value {
    let models: Vec<Value> = STARTERS.iter().map(|starter| starter.whole(installed)).collect();
    let bundles: Map<String, Value> = BUNDLES
        .iter()
        .map(|(key, name, members)| {
            let members: Vec<Value> = STARTERS
                .iter()
                .filter(|starter| members.contains(&starter.name))
                .map(|starter| starter.whole(installed))
                .collect();
            ((*key).to_owned(), json!({"name": name, "models": members}))
        })
        .collect();
    json!({"starter_models": models, "starter_bundles": bundles})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model_kind::{BASES, TYPES};

    #[test]
    fn the_list_is_whole() {
        for starter in STARTERS {
            assert!(BASES.contains(&starter.base) && TYPES.contains(&starter.kind), "{}", starter.name);
            assert!(
                starter.source.contains('/') && !starter.source.ends_with(".pth"),
                "{}",
                starter.name
            );
            let known = |name: &&str| STARTERS.iter().any(|other| other.name == *name);
            assert!(starter.needs.iter().all(known), "{}", starter.name);
            let twins = STARTERS
                .iter()
                .filter(|other| other.name == starter.name || other.source == starter.source);
            assert_eq!(twins.count(), 1, "{}", starter.name);
        }
        for (_, _, members) in BUNDLES {
            for member in *members {
                assert!(STARTERS.iter().any(|starter| starter.name == *member), "{member}");
            }
        }
    }

    #[test]
    fn what_is_installed_is_marked_and_no_longer_needed() {
        let none = starters(&|_, _, _, _| false);
        let adapter = |list: &Value| {
            let all = list["starter_models"].as_array().unwrap();
            all.iter()
                .find(|model| model["name"] == json!("IP-Adapter (SDXL)"))
                .cloned()
                .unwrap()
        };
        assert_eq!(
            adapter(&none)["dependencies"][0]["source"],
            json!("InvokeAI/ip_adapter_sd_image_encoder")
        );
        let all = starters(&|source, _, _, _| source == "InvokeAI/ip_adapter_sd_image_encoder");
        assert_eq!(
            (&adapter(&all)["dependencies"], &adapter(&all)["is_installed"]),
            (&json!([]), &json!(false))
        );
        assert_eq!(none["starter_bundles"]["sd-1"]["models"].as_array().map(Vec::len), Some(13));
    }
}
