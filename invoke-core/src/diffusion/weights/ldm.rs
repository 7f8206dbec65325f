//! Names of single-file checkpoints (the original "latent diffusion" code's) and their counterparts in diffusers' folders.

use super::Change;
use crate::diffusion::unet::UNetConfig;

/// How a UNet's blocks are made up: all that its names depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UNetLayout {
    /// For each block on the way down: its layers, and whether it has attention.
    pub(crate) down: Vec<(usize, bool)>,
    /// The same on the way up, smallest picture first.
    pub(crate) up: Vec<(usize, bool)>,
}

impl UNetLayout {
    pub(crate) fn of(config: &UNetConfig) -> Self {
        let block = |b: &crate::diffusion::unet::BlockConfig| (b.layers, b.attention.is_some());
        Self {
            down: config.down.iter().map(block).collect(),
            up: config.up.iter().map(block).collect(),
        }
    }

    /// Reads the layout off the names of a model's tensors.
    pub(crate) fn from_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let side = |prefix: &str| {
            let mut blocks: Vec<(usize, bool)> = Vec::new();
            for name in names.clone() {
                let Some(rest) = name.strip_prefix(prefix).and_then(|n| n.strip_prefix('.')) else {
                    continue;
                };
                let mut parts = rest.split('.');
                let (block, kind, layer) = (parts.next(), parts.next(), parts.next());
                let (Some(Ok(block)), Some(kind), Some(Ok(layer))) = (block.map(str::parse::<usize>), kind, layer.map(str::parse::<usize>))
                else {
                    continue;
                };
                if block >= 16 || layer >= 64 {
                    continue;
                }
                if blocks.len() <= block {
                    blocks.resize(block + 1, (0, false));
                }
                match kind {
                    "resnets" => blocks[block].0 = blocks[block].0.max(layer + 1),
                    "attentions" => blocks[block].1 = true,
                    _ => {}
                }
            }
            blocks
        };
        Self {
            down: side("down_blocks"),
            up: side("up_blocks"),
        }
    }

    /// Pairs of (checkpoint's module, diffusers' module), without the checkpoint's `model.diffusion_model.`. A module stands
    /// for everything below it.
    pub(crate) fn modules(&self) -> Vec<(String, String)> {
        const RESNET: [(&str, &str); 6] = [
            ("in_layers.0", "norm1"),
            ("in_layers.2", "conv1"),
            ("out_layers.0", "norm2"),
            ("out_layers.3", "conv2"),
            ("emb_layers.1", "time_emb_proj"),
            ("skip_connection", "conv_shortcut"),
        ];
        let mut out: Vec<(String, String)> = [
            ("input_blocks.0.0", "conv_in"),
            ("time_embed.0", "time_embedding.linear_1"),
            ("time_embed.2", "time_embedding.linear_2"),
            ("label_emb.0.0", "add_embedding.linear_1"),
            ("label_emb.0.2", "add_embedding.linear_2"),
            ("middle_block.1", "mid_block.attentions.0"),
            ("out.0", "conv_norm_out"),
            ("out.2", "conv_out"),
        ]
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .into();
        let resnet = |out: &mut Vec<(String, String)>, old: String, new: String| {
            out.extend(RESNET.iter().map(|(a, b)| (format!("{old}.{a}"), format!("{new}.{b}"))));
        };
        resnet(&mut out, "middle_block.0".into(), "mid_block.resnets.0".into());
        resnet(&mut out, "middle_block.2".into(), "mid_block.resnets.1".into());
        let mut number = 1;
        for (i, (layers, attention)) in self.down.iter().enumerate() {
            for j in 0..*layers {
                resnet(&mut out, format!("input_blocks.{number}.0"), format!("down_blocks.{i}.resnets.{j}"));
                if *attention {
                    out.push((format!("input_blocks.{number}.1"), format!("down_blocks.{i}.attentions.{j}")));
                }
                number += 1;
            }
            if i + 1 < self.down.len() {
                out.push((
                    format!("input_blocks.{number}.0.op"),
                    format!("down_blocks.{i}.downsamplers.0.conv"),
                ));
                number += 1;
            }
        }
        number = 0;
        for (i, (layers, attention)) in self.up.iter().enumerate() {
            for j in 0..*layers {
                resnet(&mut out, format!("output_blocks.{number}.0"), format!("up_blocks.{i}.resnets.{j}"));
                if *attention {
                    out.push((format!("output_blocks.{number}.1"), format!("up_blocks.{i}.attentions.{j}")));
                }
                if j + 1 == *layers && i + 1 < self.up.len() {
                    let place = if *attention { 2 } else { 1 };
                    out.push((
                        format!("output_blocks.{number}.{place}.conv"),
                        format!("up_blocks.{i}.upsamplers.0.conv"),
                    ));
                }
                number += 1;
            }
        }
        out
    }

    /// What a ControlNet's checkpoint has besides, with `hints` stages of its picture's embedding.
    pub(crate) fn control_modules(&self, hints: usize) -> Vec<(String, String)> {
        let mut out = self.modules();
        let skips: usize = 1 + self.down.iter().map(|(layers, _)| layers + 1).sum::<usize>() - 1;
        out.extend((0..skips).map(|i| (format!("zero_convs.{i}.0"), format!("controlnet_down_blocks.{i}"))));
        out.push(("middle_block_out.0".into(), "controlnet_mid_block".into()));
        out.push(("input_hint_block.0".into(), "controlnet_cond_embedding.conv_in".into()));
        let blocks = hints.saturating_sub(1) * 2;
        out.extend((0..blocks).map(|i| {
            (
                format!("input_hint_block.{}", 2 + 2 * i),
                format!("controlnet_cond_embedding.blocks.{i}"),
            )
        }));
        out.push((
            format!("input_hint_block.{}", 2 + 2 * blocks),
            "controlnet_cond_embedding.conv_out".into(),
        ));
        out
    }
}

/// Translates a tensor's name by the longest module that it begins with.
pub(crate) fn translate(name: &str, modules: &std::collections::HashMap<String, String>) -> Option<String> {
    let mut end = name.len();
    while let Some(dot) = name[..end].rfind('.') {
        if let Some(new) = modules.get(&name[..dot]) {
            return Some(format!("{new}{}", &name[dot..]));
        }
        end = dot;
    }
    None
}

/// An autoencoder's tensor, without the checkpoint's `first_stage_model.`, for a model of `blocks` blocks.
pub(crate) fn vae_name(name: &str, blocks: usize) -> Option<String> {
    let Some((half, rest)) = name.split_once('.') else {
        return Some(name.to_owned());
    };
    if half != "encoder" && half != "decoder" {
        return matches!(half, "quant_conv" | "post_quant_conv").then(|| name.to_owned());
    }
    let attention = |rest: &str| {
        let (part, field) = rest.split_once('.')?;
        let part = match part {
            "norm" => "group_norm",
            "q" => "to_q",
            "k" => "to_k",
            "v" => "to_v",
            "proj_out" => "to_out.0",
            _ => return None,
        };
        Some(format!("{part}.{field}"))
    };
    let resnet = |rest: &str| rest.replacen("nin_shortcut", "conv_shortcut", 1);
    let rest = if let Some(rest) = rest.strip_prefix("mid.block_1.") {
        format!("mid_block.resnets.0.{}", resnet(rest))
    } else if let Some(rest) = rest.strip_prefix("mid.block_2.") {
        format!("mid_block.resnets.1.{}", resnet(rest))
    } else if let Some(rest) = rest.strip_prefix("mid.attn_1.") {
        format!("mid_block.attentions.0.{}", attention(rest)?)
    } else if let Some(rest) = rest.strip_prefix("norm_out.") {
        format!("conv_norm_out.{rest}")
    } else if let Some(rest) = rest.strip_prefix("down.") {
        let (block, rest) = rest.split_once('.')?;
        let rest = match rest.strip_prefix("downsample.") {
            Some(rest) => format!("downsamplers.0.{rest}"),
            None => resnet(rest).replacen("block.", "resnets.", 1),
        };
        format!("down_blocks.{block}.{rest}")
    } else if let Some(rest) = rest.strip_prefix("up.") {
        let (block, rest) = rest.split_once('.')?;
        let rest = match rest.strip_prefix("upsample.") {
            Some(rest) => format!("upsamplers.0.{rest}"),
            None => resnet(rest).replacen("block.", "resnets.", 1),
        };
        format!("up_blocks.{}.{rest}", (blocks - 1).checked_sub(block.parse().ok()?)?)
    } else {
        rest.to_owned()
    };
    Some(format!("{half}.{rest}"))
}

/// The tensors of transformers' CLIP that one of OpenCLIP's text encoder gives (its joint attention weights give three).
pub(crate) fn open_clip_names(name: &str) -> Vec<(String, Change)> {
    let one = |new: String| vec![(new, Change::None)];
    match name {
        "token_embedding.weight" => return one("text_model.embeddings.token_embedding.weight".into()),
        "positional_embedding" => return one("text_model.embeddings.position_embedding.weight".into()),
        "text_projection" => return vec![("text_projection.weight".into(), Change::Transpose)],
        "text_projection.weight" => return one(name.into()),
        _ => {}
    }
    if let Some(field) = name.strip_prefix("ln_final.") {
        return one(format!("text_model.final_layer_norm.{field}"));
    }
    let Some((layer, rest)) = name.strip_prefix("transformer.resblocks.").and_then(|n| n.split_once('.')) else {
        return Vec::new();
    };
    let new = |part: &str| format!("text_model.encoder.layers.{layer}.{part}");
    if let Some(field) = rest.strip_prefix("attn.in_proj_") {
        let thirds = ["q_proj", "k_proj", "v_proj"].into_iter().enumerate();
        return thirds
            .map(|(index, part)| (new(&format!("self_attn.{part}.{field}")), Change::Third { index }))
            .collect();
    }
    let parts = [
        ("attn.out_proj", "self_attn.out_proj"),
        ("ln_1", "layer_norm1"),
        ("ln_2", "layer_norm2"),
        ("mlp.c_fc", "mlp.fc1"),
        ("mlp.c_proj", "mlp.fc2"),
    ];
    let found = parts
        .iter()
        .find_map(|(old, part)| Some((part, rest.strip_prefix(old)?.strip_prefix('.')?)));
    found.map(|(part, field)| one(new(&format!("{part}.{field}")))).unwrap_or_default()
}
