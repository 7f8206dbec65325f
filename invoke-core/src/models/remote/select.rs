//! Which files of a repository make a model: one set of weights for each folder, in the wanted precision, with the texts beside them.

use std::collections::{BTreeMap, BTreeSet};

/// Variants in which repositories keep weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Weights without a qualifier.
    Default,
    /// Half precision.
    Fp16,
    /// Single precision.
    Fp32,
    /// ONNX.
    Onnx,
    /// OpenVINO.
    OpenVino,
    /// Flax.
    Flax,
}

impl Variant {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Default, Self::Fp16, Self::Fp32, Self::Onnx, Self::OpenVino, Self::Flax];

    /// The text of the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Fp16 => "fp16",
            Self::Fp32 => "fp32",
            Self::Onnx => "onnx",
            Self::OpenVino => "openvino",
            Self::Flax => "flax",
        }
    }

    /// From the text of the wire.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|variant| variant.as_str() == text)
    }
}

/// Endings of files that a subfolder may name directly.
const SINGLE: &[&str] = &["safetensors", "bin", "onnx", "xml", "pth", "pt", "ckpt", "msgpack"];
/// Endings of texts, which every variant needs.
const TEXTS: &[&str] = &["json", "txt", "jinja"];
/// Endings of names that are wanted although `model` is no part of them.
const NAMED: &[&str] = &[
    "learned_embeds.bin",
    "ip_adapter.bin",
    "lora_weights.safetensors",
    "weights.pb",
    "onnx_data",
    "spiece.model",
];

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// What follows the name's dots, the first part left out: `model.fp16.bin` has `fp16` and `bin`.
fn suffixes(path: &str) -> Vec<&str> {
    name_of(path).trim_start_matches('.').split('.').skip(1).collect()
}

fn suffix(path: &str) -> &str {
    suffixes(path).last().copied().unwrap_or("")
}

fn is_wanted(path: &str) -> bool {
    let name = name_of(path);
    let is_model = || SINGLE.contains(&suffix(path)) && name.rfind('.').is_some_and(|dot| name[..dot].contains("model"));
    TEXTS.contains(&suffix(path)) || NAMED.iter().any(|end| name.ends_with(end)) || is_model()
}

/// One file of weights, and how well it fits.
struct Weights<'p> {
    path: &'p str,
    score: u8,
}

impl Weights<'_> {
    fn label(&self) -> Option<&str> {
        match suffixes(self.path)[..] {
            [label, _] => Some(label),
            _ => None,
        }
    }
}

/// The part before and after `-00001-of-00002`, if a path has such a part.
fn shard(path: &str) -> Option<(&str, &str)> {
    let (stem, ending) = path.split_at(path.rfind('.')?);
    let (before, count) = stem.rsplit_once("-of-")?;
    let (head, number) = before.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(count) && digits(number)).then_some((head, ending))
}

/// Paths of a repository's files, each beginning with the repository's name, that make the variant; sorted. `subfolders` limits them to these; one
/// that names a file is that file.
pub fn select<'p>(paths: &[&'p str], variant: Variant, subfolders: &[String]) -> Vec<&'p str> {
    let Some(root) = paths.first().map(|path| path.split('/').next().unwrap_or(path)) else {
        return Vec::new();
    };
    if let [only] = subfolders
        && SINGLE.contains(&suffix(only))
    {
        let wanted = format!("{root}/{only}");
        return paths.iter().copied().filter(|path| *path == wanted).collect();
    }
    let inside = |path: &str| {
        subfolders.is_empty()
            || subfolders.iter().any(|folder| {
                path.strip_prefix(&*format!("{root}/{folder}"))
                    .is_some_and(|rest| rest.starts_with('/'))
            })
    };
    let wanted: Vec<&str> = paths.iter().copied().filter(|path| is_wanted(path) && inside(path)).collect();
    of_variant(&wanted, variant)
}

fn of_variant<'p>(paths: &[&'p str], variant: Variant) -> Vec<&'p str> {
    let mut chosen: BTreeSet<&str> = BTreeSet::new();
    let mut weights: BTreeMap<&str, Vec<Weights<'_>>> = BTreeMap::new();
    let torch = matches!(variant, Variant::Default | Variant::Fp16 | Variant::Fp32);
    let mut safe = false;
    for path in paths {
        let (name, ending) = (name_of(path), suffix(path));
        if matches!(ending, "onnx" | "pb" | "onnx_data") || name.ends_with("onnx_data") && ending.is_empty() {
            if variant == Variant::Onnx {
                chosen.insert(path);
            }
        } else if name.contains("openvino_model") {
            if variant == Variant::OpenVino {
                chosen.insert(path);
            }
        } else if name.contains("flax_model") {
            if variant == Variant::Flax {
                chosen.insert(path);
            }
        } else if TEXTS.contains(&ending) || ending == "model" {
            chosen.insert(path);
        } else if torch && matches!(ending, "bin" | "safetensors" | "pt" | "ckpt") {
            if safe && ending == "bin" {
                continue;
            }
            let folder = weights.entry(folder_of(path)).or_default();
            let mut found = Weights { path, score: 0 };
            if ending == "safetensors" {
                safe = true;
                folder.retain(|other| suffix(other.path) != "bin");
                found.score += 1;
            }
            let fits = match found.label() {
                Some(label) => variant != Variant::Default && label.starts_with(variant.as_str()),
                None => matches!(variant, Variant::Default | Variant::Fp32),
            };
            found.score += u8::from(fits);
            folder.push(found);
        }
    }
    for all in weights.values() {
        if !all.iter().any(|one| one.label().is_some_and(|label| label.starts_with("fp16"))) {
            // Nothing says how the names are meant: all of it, then.
            chosen.extend(all.iter().map(|one| one.path));
        }
        let highest = all.iter().map(|one| one.score).max();
        let Some(best) = all.iter().find(|one| Some(one.score) == highest) else {
            continue;
        };
        chosen.insert(best.path);
        if let Some((head, ending)) = shard(best.path) {
            chosen.extend(
                all.iter()
                    .map(|one| one.path)
                    .filter(|path| path.starts_with(head) && path.ends_with(ending)),
            );
        }
    }
    if !torch && !chosen.iter().any(|path| name_of(path).contains(variant.as_str())) {
        return Vec::new();
    }
    // A folder with nothing but its config is one whose weights do not exist in this variant.
    let mut sizes: BTreeMap<&str, usize> = BTreeMap::new();
    for path in &chosen {
        *sizes.entry(folder_of(path)).or_default() += 1;
    }
    chosen
        .into_iter()
        .filter(|path| sizes[folder_of(path)] > 1 || name_of(path) != "config.json")
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_files_are_those_that_the_original_takes() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/probe/selection.json");
        let recorded: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        let texts = |value: &Value| -> Vec<String> { value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect() };
        for repository in recorded.as_array().unwrap() {
            let files = texts(&repository["files"]);
            let paths: Vec<&str> = files.iter().map(String::as_str).collect();
            for case in repository["cases"].as_array().unwrap() {
                let variant = Variant::parse(case["variant"].as_str().unwrap()).unwrap();
                let mut chosen = select(&paths, variant, &texts(&case["subfolders"]));
                chosen.sort_unstable();
                assert_eq!(chosen, texts(&case["chosen"]), "{} {case}", repository["name"]);
            }
        }
    }
}
