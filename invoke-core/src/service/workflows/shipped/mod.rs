//! The workflows that ship with the program.

/// Identifier and document of each.
pub(super) const WORKFLOWS: &[(&str, &str)] = &[
    ("default_7c1d5f0e-3a52-4f0e-9c44-000000000001", include_str!("text_to_image.json")),
    ("default_7c1d5f0e-3a52-4f0e-9c44-000000000002", include_str!("image_to_image.json")),
    (
        "default_7c1d5f0e-3a52-4f0e-9c44-000000000003",
        include_str!("text_to_image_sdxl.json"),
    ),
    (
        "default_7c1d5f0e-3a52-4f0e-9c44-000000000004",
        include_str!("text_to_image_lora.json"),
    ),
    ("default_7c1d5f0e-3a52-4f0e-9c44-000000000005", include_str!("two_passes.json")),
    (
        "default_7c1d5f0e-3a52-4f0e-9c44-000000000006",
        include_str!("controlnet_edges.json"),
    ),
    ("default_7c1d5f0e-3a52-4f0e-9c44-000000000007", include_str!("inpaint.json")),
    ("default_7c1d5f0e-3a52-4f0e-9c44-000000000008", include_str!("prompt_variants.json")),
    ("default_7c1d5f0e-3a52-4f0e-9c44-000000000009", include_str!("upscale.json")),
    ("default_7c1d5f0e-3a52-4f0e-9c44-000000000010", include_str!("upscale_tiles.json")),
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn edges_join_fields_of_nodes_that_are_there() {
        for (id, text) in WORKFLOWS {
            let document: Value = serde_json::from_str(text).unwrap();
            assert_eq!(document["meta"]["category"], "default");
            let nodes = document["nodes"].as_array().unwrap();
            let node = |id: &Value| nodes.iter().find(|node| &node["id"] == id).unwrap_or_else(|| panic!("{id}"));
            for edge in document["edges"].as_array().unwrap() {
                node(&edge["source"]);
                let field = edge["targetHandle"].as_str().unwrap();
                assert!(node(&edge["target"])["data"]["inputs"].get(field).is_some(), "{id}: {field}");
            }
            for exposed in document["exposedFields"].as_array().unwrap() {
                assert!(
                    node(&exposed["nodeId"])["data"]["inputs"]
                        .get(exposed["fieldName"].as_str().unwrap())
                        .is_some(),
                    "{id}: {exposed}"
                );
            }
        }
    }
}
