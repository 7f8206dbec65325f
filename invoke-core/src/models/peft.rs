//! Names of tensors as PEFT writes them.

use std::collections::BTreeSet;

/// A name without that of its adapter, and that: `….lora_A.NAME.weight`.
fn adapter(name: &str) -> Option<(String, &str)> {
    let (before, adapter) = name.strip_suffix(".weight")?.rsplit_once('.')?;
    (before.ends_with(".lora_A") || before.ends_with(".lora_B")).then(|| (format!("{before}.weight"), adapter))
}

/// What takes the adapter's name out of the names of a file's tensors, if it is one and the same in all that have one.
pub(crate) fn plain<'a>(names: impl IntoIterator<Item = &'a str>) -> impl Fn(&str) -> String {
    let adapters: BTreeSet<&str> = names.into_iter().filter_map(|name| Some(adapter(name)?.1)).collect();
    let one = adapters.len() == 1;
    move |name| match adapter(name) {
        Some((plain, _)) if one => plain,
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_adapter_is_left_out() {
        let plain_of = |names: [&str; 3]| {
            let plain = plain(names);
            names.map(plain)
        };
        assert_eq!(
            plain_of(["a.lora_A.style.weight", "a.lora_B.style.weight", "a.alpha"]),
            ["a.lora_A.weight", "a.lora_B.weight", "a.alpha"]
        );
        let two = ["a.lora_A.style.weight", "a.lora_B.other.weight", "a.lora_A.weight"];
        assert_eq!(plain_of(two), two);
    }
}
