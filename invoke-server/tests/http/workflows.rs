//! The workflows that ship with the program, each run as a client runs it.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Map, Value, json};

use crate::{
    models::{install, named, open, repository, run, shipped_main},
    testkit::TestApp,
};

/// A workflow's nodes and edges as a graph: what the editor of a client makes of it.
fn graph_of(workflow: &Value) -> Value {
    let nodes = workflow["nodes"].as_array().unwrap().iter().map(|node| {
        let data = &node["data"];
        let mut values = Map::from_iter([
            ("id".to_owned(), node["id"].clone()),
            ("type".to_owned(), data["type"].clone()),
            ("is_intermediate".to_owned(), data["isIntermediate"].clone()),
            ("use_cache".to_owned(), data["useCache"].clone()),
        ]);
        let inputs = data["inputs"].as_object().unwrap();
        values.extend(
            inputs
                .iter()
                .filter_map(|(name, input)| Some((name.clone(), input.get("value")?.clone()))),
        );
        (node["id"].as_str().unwrap().to_owned(), Value::Object(values))
    });
    let end = |edge: &Value, node: &str, field: &str| json!({"node_id": edge[node], "field": edge[field]});
    let edges = workflow["edges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| json!({"source": end(edge, "source", "sourceHandle"), "destination": end(edge, "target", "targetHandle")}));
    json!({"nodes": nodes.collect::<Map<String, Value>>(), "edges": edges.collect::<Vec<_>>()})
}

/// A small model of SDXL's layout in one file, with weights of no meaning.
fn small_sdxl(file: &Path) {
    let listed: Value = serde_json::from_slice(&fs::read(repository("tests/numerics/checkpoints.json")).unwrap()).unwrap();
    let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_value(listed["sdxl"].clone()).unwrap();
    let (mut header, mut data) = (Map::new(), Vec::new());
    let mut number = 1_u32;
    for (name, shape) in shapes {
        let start = data.len();
        let spread = (3.0 / shape.iter().skip(1).product::<usize>() as f32).sqrt();
        for _ in 0..shape.iter().product::<usize>() {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let even = (number >> 8) as f32 / 8_388_608.0 - 1.0;
            let value = match (shape.len(), name.ends_with(".weight")) {
                (2.., _) => even * spread,
                (_, true) => 1.0,
                (_, false) => 0.0,
            };
            data.extend(value.to_le_bytes());
        }
        header.insert(name, json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}));
    }
    let header = Value::Object(header).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.extend(data);
    fs::write(file, bytes).unwrap();
}

/// A picture of one colour in Alice's gallery.
async fn picture(app: &TestApp, grey: u8) -> Value {
    let nodes = json!({"blank": {
        "type": "blank_image", "id": "blank", "width": 64, "height": 64, "is_intermediate": true, "color": {"r": grey, "g": grey, "b": grey, "a": 255},
    }});
    let item = run(app, "alice", &json!({"batch": {"graph": {"nodes": nodes, "edges": []}, "runs": 1}})).await;
    let results = item["session"]["results"].as_object().unwrap();
    results.values().next().unwrap()["image"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shipped_workflow_runs_to_a_picture() {
    let app = open();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("small-sdxl.safetensors");
    small_sdxl(&file);
    let shipped = shipped_main(&app).await;
    let mut of_field = BTreeMap::new();
    for (field, source) in [
        ("lora", repository("tests/contract/pictures/addons/tiny-lora.safetensors")),
        ("control_model", repository("tests/contract/pictures/addons/tiny-control")),
        ("image_to_image_model", repository("tests/numerics/vision/compact.pth")),
        ("sdxl", file),
    ] {
        of_field.insert(field, named(&install(&app, source.to_str().unwrap(), true).await));
    }
    let (grey, black) = (picture(&app, 128).await, picture(&app, 0).await);

    let listed = app
        .ask("alice", "GET", "/api/v1/workflows/?categories=default&per_page=50")
        .await
        .json();
    let listed = listed["items"].as_array().unwrap();
    assert!(listed.len() >= 10, "{listed:#?}");
    let mut pictures = 0;
    for entry in listed {
        let path = format!("/api/v1/workflows/i/{}", entry["workflow_id"].as_str().unwrap());
        let workflow = app.ask("alice", "GET", &path).await.json()["workflow"].clone();
        let mut graph = graph_of(&workflow);
        for (id, node) in graph["nodes"].as_object_mut().unwrap() {
            // What a person chooses, and sizes that a test has time for.
            let kind = node["type"].as_str().unwrap().to_owned();
            let set: Vec<(&str, Value)> = match kind.as_str() {
                "main_model_loader" => vec![("model", named(&shipped))],
                "sdxl_model_loader" => vec![("model", of_field["sdxl"].clone())],
                "lora_loader" => vec![("lora", of_field["lora"].clone())],
                "controlnet" => vec![("control_model", of_field["control_model"].clone())],
                "spandrel_image_to_image_autoscale" => vec![("image_to_image_model", of_field["image_to_image_model"].clone())],
                "image" => vec![("image", if id == "mask" { black.clone() } else { grey.clone() })],
                "noise" => vec![("width", json!(64)), ("height", json!(64))],
                "denoise_latents" => vec![("steps", json!(2))],
                "tiled_multi_diffusion_denoise_latents" => {
                    vec![
                        ("steps", json!(2)),
                        ("tile_height", json!(64)),
                        ("tile_width", json!(64)),
                        ("tile_overlap", json!(32)),
                    ]
                }
                _ => Vec::new(),
            };
            for (field, value) in set {
                node[field] = value;
            }
        }
        let batch = json!({"batch": {"graph": graph, "workflow": workflow, "runs": 1}});
        let item = run(&app, "alice", &batch).await;
        let name = &workflow["name"];
        assert_eq!(
            item["status"],
            json!("completed"),
            "{name}: {} {}",
            item["error_message"],
            item["error_traceback"]
        );
        let names = app.ask("alice", "GET", "/api/v1/images/names?is_intermediate=false").await.json();
        let now = names["image_names"].as_array().unwrap().len();
        let expected = if workflow["nodes"].to_string().contains("dynamic_prompt") {
            2
        } else {
            1
        };
        assert_eq!(now - pictures, expected, "{name}");
        pictures = now;
    }
}
