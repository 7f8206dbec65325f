//! Which sessions may run as one batch, as far as their graphs say before they run.

use std::{collections::BTreeSet, fmt::Write};

use serde_json::Value;

use super::known::Known;
use crate::{
    domain::queue_item::{FieldValue, Likeness},
    graph::Graph,
};

/// Denoisers that take several jobs at a time.
const DENOISERS: &[&str] = &["denoise_latents", "denoise_latents_meta"];
/// Nodes that may run before them, which are all that do not need what they make: those that take little beside them. Whoever shares a batch waits until
/// all have come to it, and nobody is to wait for somebody's upscaler.
const LIGHT: &[&str] = &[
    "boolean",
    "clip_skip",
    "collect",
    "compel",
    "core_metadata",
    "create_denoise_mask",
    "create_gradient_mask",
    "float",
    "freeu",
    "i2l",
    "image",
    "img_crop",
    "img_resize",
    "integer",
    "lora_collection_loader",
    "lora_loader",
    "lora_selector",
    "lresize",
    "main_model_loader",
    "noise",
    "scheduler",
    "sdxl_compel_prompt",
    "sdxl_lora_collection_loader",
    "sdxl_lora_loader",
    "sdxl_model_loader",
    "sdxl_refiner_compel_prompt",
    "sdxl_refiner_model_loader",
    "seamless",
    "string",
    "vae_loader",
];
/// Inputs with which a job runs alone.
const ALONE: &[&str] = &["control", "ip_adapter"];
/// Fields of every node that say nothing about what it computes.
const ASIDE: &[&str] = &["id", "type", "is_intermediate", "use_cache", "board", "metadata"];

/// The likeness of a session of this graph with these values; `None` if it runs alone. Sessions alike have the same model with the same LoRAs and
/// settings, the same size, schedule and kind of guidance.
pub fn of(graph: &Graph, values: &[FieldValue]) -> Option<Likeness> {
    let known = Known::of(graph, values);
    let mut denoisers = graph.nodes.iter().filter(|(_, node)| node.meta.id.contains("denoise"));
    let (id, denoiser) = denoisers.next()?;
    let light = |node: &str| graph.nodes.get(node).is_some_and(|node| LIGHT.contains(&node.meta.id));
    let is_connected = |field: &str| graph.edges_into(id).any(|edge| edge.destination.field == field);
    let on_the_way_of = |field: Option<&str>| before(graph, id, field);
    if denoisers.next().is_some()
        || !DENOISERS.contains(&denoiser.meta.id)
        || ALONE.iter().any(|field| is_connected(field))
        || known.value(id, "hidiffusion") == Some(&Value::Bool(true))
        || !beside(graph, id).all(light)
    {
        return None;
    }
    let sizes = on_the_way_of(Some("noise"));
    let size = |field: &str| sizes.iter().find_map(|node| known.number(node, field));
    let mut text = format!("{}x{}", size("width")?, size("height")?);
    for field in ["steps", "scheduler", "denoising_start", "denoising_end"] {
        // Where an edge brings what nobody knows yet, the node's own value stands for it; the run sees the truth.
        let _ = write!(text, ", {field} {}", known.value(id, field)?);
    }
    let guided = match known.value(id, "cfg_scale")? {
        Value::Number(scale) => scale.as_f64() > Some(1.0),
        _ => true,
    };
    text.push_str(if guided { ", guided" } else { ", unguided" });
    for node in on_the_way_of(Some("unet")) {
        let Some(kind) = graph.nodes.get(&node) else { continue };
        let _ = write!(text, ", {}", kind.meta.id);
        for field in kind.values.keys().filter(|field| !ASIDE.contains(&field.as_str())) {
            match known.value(&node, field) {
                None | Some(Value::Null) => {}
                Some(Value::Object(model)) if model.contains_key("key") => {
                    let _ = write!(text, " {}", model["key"]);
                }
                Some(value) => {
                    let _ = write!(text, " {field} {value}");
                }
            }
        }
    }
    Some(Likeness::new(text))
}

/// Nodes other than this one that need nothing from it, and so may run before it.
fn beside<'g>(graph: &'g Graph, id: &'g str) -> impl Iterator<Item = &'g str> {
    let (mut open, mut after) = (vec![id], BTreeSet::new());
    while let Some(node) = open.pop() {
        if after.insert(node) {
            let edges = graph.edges.iter().filter(|edge| edge.source.node_id == node);
            open.extend(edges.map(|edge| edge.destination.node_id.as_str()));
        }
    }
    graph.nodes.keys().map(String::as_str).filter(move |node| !after.contains(node))
}

/// Nodes from which something comes to a node, or to one of its fields, however long the way, in the order of their kinds.
fn before(graph: &Graph, id: &str, field: Option<&str>) -> Vec<String> {
    let edges = graph
        .edges_into(id)
        .filter(|edge| field.is_none_or(|field| edge.destination.field == field));
    let mut open: Vec<&str> = edges.map(|edge| edge.source.node_id.as_str()).collect();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    while let Some(node) = open.pop() {
        if seen.insert(node) {
            open.extend(graph.edges_into(node).map(|edge| edge.source.node_id.as_str()));
        }
    }
    let mut nodes: Vec<String> = seen.into_iter().map(str::to_owned).collect();
    nodes.sort_by_cached_key(|node| (graph.nodes.get(node).map(|node| node.meta.id), node.clone()));
    nodes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::known::recorded::{DENOISE, LOADER, NOISE, graph},
        *,
    };

    #[test]
    fn whatever_may_run_before_the_denoiser_has_to_be_light() {
        let with = |kind: &str| {
            like(&|nodes| {
                nodes["beside"] = json!({"id": "beside", "type": kind, "image": {"image_name": "a.png"}});
            })
        };
        assert!(with("img_resize").is_some());
        // Nothing leads from it to the denoiser, and it runs before it all the same.
        assert!(with("esrgan").is_none());
    }

    fn like(change: &dyn Fn(&mut Value)) -> Option<Likeness> {
        of(&graph(change), &[])
    }

    #[test]
    fn prompts_and_seeds_may_differ_and_what_the_denoiser_is_told_may_not() {
        let plain = like(&|_| {}).unwrap();
        assert_eq!(
            plain.to_string(),
            "512x512, steps 30, scheduler \"dpmpp_3m_k\", denoising_start 0, denoising_end 1, guided, \
             main_model_loader \"95abe2f0-dbfd-4503-a58d-6f0b79b89ac5\""
        );
        let own = |node: &str, field: &str, value: Value| {
            let value = FieldValue {
                node_path: node.into(),
                field_name: field.into(),
                value,
            };
            of(&graph(|_| {}), &[value]).unwrap()
        };
        let same: [&dyn Fn(&mut Value); 3] = [
            &|nodes| nodes["seed:YRW8x4F1ob"]["value"] = json!(9),
            &|nodes| nodes["positive_prompt:u0rzA6MvXf"]["value"] = json!("a cat"),
            &|nodes| nodes[DENOISE]["cfg_scale"] = json!(3.5),
        ];
        assert!(same.iter().all(|change| like(change).unwrap() == plain));
        assert_eq!(own("seed:YRW8x4F1ob", "value", json!(7)), plain);
        let other: [&dyn Fn(&mut Value); 6] = [
            &|nodes| nodes[DENOISE]["steps"] = json!(31),
            &|nodes| nodes[DENOISE]["scheduler"] = json!("euler"),
            &|nodes| nodes[DENOISE]["cfg_scale"] = json!(1),
            &|nodes| nodes[DENOISE]["denoising_start"] = json!(0.25),
            &|nodes| nodes[NOISE]["width"] = json!(640),
            &|nodes| nodes[LOADER]["model"]["key"] = json!("another"),
        ];
        assert!(other.iter().all(|change| like(change).unwrap() != plain));
        assert_ne!(own(DENOISE, "steps", json!(15)), plain);
    }

    #[test]
    fn what_takes_long_before_it_or_cannot_share_runs_alone() {
        assert_eq!(like(&|nodes| nodes[DENOISE]["hidiffusion"] = json!(true)), None);
        // Two pictures in one session.
        assert_eq!(
            like(&|nodes| nodes["again"] = json!({"id": "again", "type": "denoise_latents"})),
            None
        );
        let registry = crate::nodes::registry(None, None);
        let with = |kind: &str, output: &str, input: &str| {
            let mut graph = serde_json::to_value(graph(|_| {}).to_value()).unwrap();
            graph["nodes"]["new"] = json!({"id": "new", "type": kind});
            let edge = json!({"source": {"node_id": "new", "field": output}, "destination": {"node_id": DENOISE, "field": input}});
            graph["edges"].as_array_mut().unwrap().push(edge);
            of(&Graph::from_stored(&registry, graph).unwrap(), &[])
        };
        assert_eq!(with("lscale", "latents", "latents"), None);
        assert_eq!(with("controlnet", "control", "control"), None);
        assert!(with("i2l", "latents", "latents").is_some());
        assert_ne!(with("integer", "value", "steps"), like(&|_| {}));
        assert_eq!(
            of(
                &Graph::from_stored(&registry, json!({"id": "g", "nodes": {}, "edges": []})).unwrap(),
                &[]
            ),
            None
        );
    }
}
