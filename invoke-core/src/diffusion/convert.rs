//! Writing a single-file checkpoint as a folder of diffusers' layout: one tensor at a time, so that memory holds no more than the largest of them.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use candle_core::{DType, Tensor};
use serde_json::{Map, Value, json};

use super::{
    bases::Base,
    error::{ModelError, Result, short},
    open::{base_of, open_checkpoint, text_json, unet_json},
    unet::UNetConfig,
    vae::VaeConfig,
    weights::{Source, TextPart},
};

/// Names of the tokenizers' folders that a checkpoint of a base needs.
pub fn tokenizers_of(base: Base) -> &'static [&'static str] {
    match base {
        Base::Sd1 | Base::Sd2 => &["tokenizer"],
        Base::Sdxl => &["tokenizer", "tokenizer_2"],
        Base::SdxlRefiner => &["tokenizer_2"],
    }
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ModelError {
    let file = short(path);
    move |source| ModelError::Io { file, source }
}

/// Writes the models of a checkpoint below `folder`, with their configs. Tokenizers, which no checkpoint has, are left to the caller.
///
/// # Errors
/// A checkpoint of no known base, or one that lacks a part.
pub fn convert_checkpoint(file: &Path, prediction: &str, folder: &Path) -> Result<Base> {
    let checkpoint = open_checkpoint(file)?;
    let base = base_of(&checkpoint, file)?;
    let channels = checkpoint.latent_channels().unwrap_or(4);

    let mut unet = unet_json(&checkpoint, file)?;
    let shapes = UNetConfig::parse(&unet.to_string())?;
    unet["_class_name"] = json!("UNet2DConditionModel");
    unet["sample_size"] = json!(match base {
        Base::Sd1 => 64,
        Base::Sd2 => 96,
        Base::Sdxl | Base::SdxlRefiner => 128,
    });
    unet["use_linear_projection"] = json!(base != Base::Sd1);
    part(folder, "unet", "diffusion_pytorch_model", &unet, &*checkpoint.unet(&shapes)?)?;

    let widths = checkpoint.vae_widths();
    let mut vae = base.vae_json(&widths);
    let shapes = VaeConfig::parse(&vae.to_string())?;
    vae["_class_name"] = json!("AutoencoderKL");
    for (side, kind) in [("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")] {
        vae[side] = json!(vec![kind; widths.len()]);
    }
    part(folder, "vae", "diffusion_pytorch_model", &vae, &*checkpoint.vae(&shapes)?)?;

    let mut encoders = Vec::new();
    if base != Base::SdxlRefiner {
        encoders.push(("text_encoder", TextPart::First, "CLIPTextModel"));
    }
    if matches!(base, Base::Sdxl | Base::SdxlRefiner) {
        encoders.push(("text_encoder_2", TextPart::Second, "CLIPTextModelWithProjection"));
    }
    for (name, which, kind) in &encoders {
        let source = checkpoint.text(*which)?;
        let mut config = text_json(base, &*source, *which, file)?;
        config["architectures"] = json!([kind]);
        config["model_type"] = json!("clip_text_model");
        config["max_position_embeddings"] = json!(77);
        config["projection_dim"] = json!(if *kind == "CLIPTextModel" { 768 } else { 1280 });
        part(folder, name, "model", &config, &*source)?;
    }

    let mut scheduler = base.scheduler();
    let xl = matches!(base, Base::Sdxl | Base::SdxlRefiner);
    let kind = if xl { "EulerDiscreteScheduler" } else { "DDIMScheduler" };
    scheduler["_class_name"] = json!(kind);
    scheduler["prediction_type"] = json!(prediction);
    text(&folder.join("scheduler"), "scheduler_config.json", &scheduler)?;

    let pipeline = match (base, channels) {
        (Base::SdxlRefiner, _) => "StableDiffusionXLImg2ImgPipeline",
        (Base::Sdxl, 9) => "StableDiffusionXLInpaintPipeline",
        (Base::Sdxl, _) => "StableDiffusionXLPipeline",
        (_, 9) => "StableDiffusionInpaintPipeline",
        _ => "StableDiffusionPipeline",
    };
    let mut index = Map::new();
    index.insert("_class_name".into(), json!(pipeline));
    index.insert("scheduler".into(), json!(["diffusers", kind]));
    for (name, _, kind) in &encoders {
        index.insert((*name).into(), json!(["transformers", kind]));
    }
    for name in tokenizers_of(base) {
        index.insert((*name).into(), json!(["transformers", "CLIPTokenizer"]));
    }
    index.insert("unet".into(), json!(["diffusers", "UNet2DConditionModel"]));
    index.insert("vae".into(), json!(["diffusers", "AutoencoderKL"]));
    for (absent, named) in [("safety_checker", !xl), ("feature_extractor", !xl)] {
        if named {
            index.insert(absent.into(), json!([null, null]));
        }
    }
    text(folder, "model_index.json", &Value::Object(index))?;
    Ok(base)
}

fn text(folder: &Path, name: &str, json: &Value) -> Result<()> {
    let path = folder.join(name);
    std::fs::create_dir_all(folder).map_err(io(folder))?;
    std::fs::write(&path, format!("{json:#}\n")).map_err(io(&path))
}

fn part(folder: &Path, name: &str, stem: &str, config: &Value, source: &dyn Source) -> Result<()> {
    let own = folder.join(name);
    text(&own, "config.json", config)?;
    write_weights(&own.join(format!("{stem}.safetensors")), source)
}

/// The type in which a tensor is written, by its name in files and its bytes.
fn written_as(dtype: DType) -> (DType, &'static str, usize) {
    match dtype {
        DType::F16 => (dtype, "F16", 2),
        DType::BF16 => (dtype, "BF16", 2),
        // Weights of eight bits have no counterpart in diffusers' folders; nothing is lost in sixteen.
        DType::F8E4M3 => (DType::F16, "F16", 2),
        _ => (DType::F32, "F32", 4),
    }
}

/// The shape in which a tensor is written: attention of an autoencoder is 1×1 convolutions in checkpoints and matrices in folders.
fn written_shape(name: &str, shape: &[usize]) -> Vec<usize> {
    match shape {
        [rows, columns, 1, 1] if name.contains("mid_block.attentions.") => vec![*rows, *columns],
        other => other.to_vec(),
    }
}

/// Writes all tensors of a source into a safetensors file.
fn write_weights(path: &Path, source: &dyn Source) -> Result<()> {
    let mut names = source.names();
    names.sort();
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({"format": "pt"}));
    let mut end = 0_usize;
    for name in &names {
        let Some(info) = source.info(name) else { continue };
        let (_, word, width) = written_as(info.dtype);
        let begin = end;
        end += info.elements() * width;
        let shape = written_shape(name, &info.shape);
        header.insert(name.clone(), json!({"dtype": word, "shape": shape, "data_offsets": [begin, end]}));
    }
    let mut header = Value::Object(header).to_string();
    // Tensors begin at a multiple of eight bytes.
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut file = BufWriter::new(File::create(path).map_err(io(path))?);
    let length = u64::try_from(header.len()).unwrap_or(u64::MAX);
    file.write_all(&length.to_le_bytes())
        .and_then(|()| file.write_all(header.as_bytes()))
        .map_err(io(path))?;
    for name in names.iter().filter(|name| source.info(name).is_some()) {
        let tensor = source.read(name)?;
        let bytes = bytes_of(&tensor)?;
        file.write_all(&bytes).map_err(io(path))?;
    }
    file.flush().map_err(io(path))
}

fn bytes_of(tensor: &Tensor) -> Result<Vec<u8>> {
    let (dtype, _, _) = written_as(tensor.dtype());
    let flat = tensor.to_dtype(dtype)?.flatten_all()?;
    Ok(match dtype {
        DType::F16 => flat.to_vec1::<half::f16>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DType::BF16 => flat.to_vec1::<half::bf16>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => flat.to_vec1::<f32>()?.iter().flat_map(|x| x.to_le_bytes()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::weights::SafetensorsFile;

    #[test]
    fn weights_come_back_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let header = json!({
            "encoder.mid_block.attentions.0.to_q.weight": {"dtype": "F16", "shape": [2, 1, 1, 1], "data_offsets": [0, 4]},
            "ids": {"dtype": "I64", "shape": [1], "data_offsets": [4, 12]},
        })
        .to_string();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(&[0, 0x3c, 0, 0xc0, 7, 0, 0, 0, 0, 0, 0, 0]);
        let (one, other) = (dir.path().join("one.safetensors"), dir.path().join("other.safetensors"));
        std::fs::write(&one, bytes).unwrap();
        write_weights(&other, &SafetensorsFile::open(&one).unwrap()).unwrap();
        let back = SafetensorsFile::open(&other).unwrap();
        let info = back.info("encoder.mid_block.attentions.0.to_q.weight").unwrap();
        assert_eq!((info.shape.as_slice(), info.dtype), (&[2, 1][..], DType::F16));
        let weights: Vec<half::f16> = back
            .read("encoder.mid_block.attentions.0.to_q.weight")
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        assert_eq!(weights.iter().map(|x| x.to_f32()).collect::<Vec<_>>(), [1.0, -2.0]);
        assert_eq!(back.read("ids").unwrap().to_vec1::<f32>().unwrap(), [7.0]);
    }
}
