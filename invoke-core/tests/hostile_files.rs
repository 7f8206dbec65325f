//! Files of models are whatever people upload: parsers are given damaged ones by the thousand. Nothing may panic, and nothing may be promised that
//! the file is too short to hold.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use candle_core::Tensor;
use invoke_core::{
    diffusion::{
        flux::{open_flux, open_flux_vae, open_t5},
        lora::Lora,
        open_control_net, open_text_encoder, open_unet, open_vae,
        text::Inversion,
        weights::{TextPart, open_weights},
    },
    models::identify,
};

/// Numbers without a pattern, the same every time (xorshift).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// A damaged copy: bytes changed, numbers made large, parts cut out, repeated or exchanged.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let (at, other) = (self.below(out.len()), self.below(out.len()));
            match self.below(8) {
                0 if !out.is_empty() => out[at] ^= 1 << self.below(8),
                1 if !out.is_empty() => out[at] = self.next() as u8,
                2 => out.truncate(at),
                3 => {
                    let value = [u64::MAX, 0, 1 << 63, 1 << 32, 0xffff_ffff, 1 << 40][self.below(6)].to_le_bytes();
                    let end = out.len().min(at + 8);
                    out[at..end].copy_from_slice(&value[..end - at]);
                }
                4 => {
                    let part = out[at.min(other)..at.max(other)].to_vec();
                    out.splice(at..at, part);
                    out.truncate(1 << 16);
                }
                5 => drop(out.drain(at.min(other)..at.max(other))),
                6 => {
                    // In the text of a header: another number for one that stands there.
                    if let Some(digit) = (at..out.len()).find(|&i| out[i].is_ascii_digit()) {
                        let number = ["-1", "18446744073709551615", "4294967296", "1e9", "0", "99999999999999999999"][self.below(6)];
                        out.splice(digit..=digit, number.bytes());
                    }
                }
                _ if !out.is_empty() => out.swap(at, other),
                _ => {}
            }
        }
        out
    }
}

/// Everything that a file may be taken for.
fn read_in_every_way(path: &Path, length: usize) {
    if let Ok(source) = open_weights(path) {
        for name in source.names() {
            let info = source.info(&name).unwrap();
            assert!(
                info.shape.iter().product::<usize>() <= 16 * length,
                "{name}: {info:?} in {length} bytes"
            );
            let _: Result<Tensor, _> = source.read(&name);
        }
        let _ = Lora::read(&*source);
        let _ = Inversion::read("x", &*source);
    }
    let _ = (
        open_unet(path),
        open_vae(path, None),
        open_text_encoder(path, TextPart::First),
        open_control_net(path),
    );
    let _ = (open_flux(path), open_flux_vae(path), open_t5(path));
    let _ = identify(path);
}

fn safetensors(tensors: &[(&str, &str, &[usize], usize)]) -> Vec<u8> {
    let (mut header, mut end) = (Vec::new(), 0);
    for (name, dtype, shape, width) in tensors {
        let start = end;
        end += width * shape.iter().product::<usize>();
        header.push(format!(
            r#""{name}":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}"#
        ));
    }
    let header = format!("{{\"__metadata__\":{{\"format\":\"pt\"}},{}}}", header.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend((0..end).map(|i| (i * 37) as u8));
    bytes
}

/// A weight of FLUX' transformer in 4 bits an element, and one of T5's in 8.
fn packed() -> Vec<u8> {
    const STATE: &str = r#"{"quant_type":"nf4","shape":[4,4],"blocksize":8,"nested_blocksize":2,"nested_offset":0.5}"#;
    let weight = "double_blocks.0.img_attn.qkv.weight";
    let mut bytes = safetensors(&[
        (&format!("{weight}.quant_state.bitsandbytes__nf4"), "U8", &[STATE.len()], 1),
        (weight, "U8", &[8, 1], 1),
        (&format!("{weight}.absmax"), "U8", &[2], 1),
        (&format!("{weight}.quant_map"), "F32", &[16], 4),
        (&format!("{weight}.nested_absmax"), "F32", &[1], 4),
        (&format!("{weight}.nested_quant_map"), "F32", &[256], 4),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "I8", &[2, 3], 1),
        ("encoder.block.0.layer.0.SelfAttention.q.SCB", "F32", &[2], 4),
    ]);
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[header..][..STATE.len()].copy_from_slice(STATE.as_bytes());
    bytes
}

fn gguf() -> Vec<u8> {
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend(2u64.to_le_bytes());
    out.extend(2u64.to_le_bytes());
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    };
    text(&mut out, "general.alignment");
    out.extend(4u32.to_le_bytes());
    out.extend(32u32.to_le_bytes());
    text(&mut out, "list");
    out.extend(9u32.to_le_bytes());
    out.extend(8u32.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    text(&mut out, "a");
    for (name, kind, offset) in [("input_blocks.0.0.weight", 8u32, 0u64), ("model.diffusion_model.b", 12, 64)] {
        text(&mut out, name);
        out.extend(1u32.to_le_bytes());
        out.extend(if kind == 8 { 32u64 } else { 256 }.to_le_bytes());
        out.extend(kind.to_le_bytes());
        out.extend(offset.to_le_bytes());
    }
    out.resize(out.len().next_multiple_of(32) + 64 + 144, 7);
    out
}

fn try_out(rounds: usize) {
    let folder = tempfile::tempdir().unwrap();
    let torch = |name: &str| std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/numerics/vision").join(name)).unwrap();
    let examples: [(&str, Vec<u8>); 10] = [
        ("upscaler.pth", torch("compact.pth")),
        ("before_1_6.ckpt", torch("before_1_6.pth")),
        ("script.pt", torch("script.pt")),
        (
            "a.safetensors",
            safetensors(&[("w", "F32", &[2, 3], 4), ("b", "BF16", &[4], 2), ("m", "BOOL", &[3], 1)]),
        ),
        (
            "lora.safetensors",
            safetensors(&[
                ("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight", "F16", &[4, 2], 2),
                ("lora_unet_mid_block_attentions_0_proj_in.lora_down.weight", "F16", &[2, 4], 2),
                ("lora_unet_mid_block_attentions_0_proj_in.alpha", "F16", &[], 2),
                ("lora_unet_conv_in.hada_w1_a", "F16", &[2, 2], 2),
                ("lora_unet_conv_in.hada_w1_b", "F16", &[2, 2], 2),
                ("lora_unet_conv_in.hada_w2_a", "F16", &[2, 2], 2),
                ("lora_unet_conv_in.hada_w2_b", "F16", &[2, 2], 2),
            ]),
        ),
        (
            "style.safetensors",
            safetensors(&[("clip_g", "F32", &[2, 4], 4), ("clip_l", "F32", &[2, 3], 4)]),
        ),
        (
            "main.safetensors",
            safetensors(&[
                ("model.diffusion_model.input_blocks.0.0.weight", "F16", &[2, 4, 3, 3], 2),
                (
                    "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
                    "F16",
                    &[2, 768],
                    2,
                ),
                ("first_stage_model.decoder.up.0.block.0.conv1.weight", "F16", &[2, 2, 3, 3], 2),
                (
                    "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
                    "F16",
                    &[3, 4],
                    2,
                ),
            ]),
        ),
        ("q.gguf", gguf()),
        ("packed.safetensors", packed()),
        (
            "model.safetensors.index.json",
            br#"{"metadata":{},"weight_map":{"w":"a.safetensors","b":"a.safetensors"}}"#.to_vec(),
        ),
    ];
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for (name, bytes) in &examples {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert!(open_weights(&path).is_ok(), "{name} as it is");
        read_in_every_way(&path, bytes.len());
    }
    for round in 0..rounds {
        let (name, bytes) = &examples[round % examples.len()];
        let damaged = chance.damage(bytes);
        let path = folder.path().join(format!("x.{name}"));
        std::fs::write(&path, &damaged).unwrap();
        read_in_every_way(&path, damaged.len().max(1 << 10));
    }
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    try_out(6_000);
}

/// As above for some ten minutes: `cargo test --test hostile_files -- --ignored`.
#[test]
#[ignore = "takes ten minutes"]
fn damaged_files_are_refused_for_ten_minutes() {
    try_out(2_000_000);
}
