//! What a session costs, estimated from its graph before it runs.
//!
//! The unit is one step of a 512 by 512 picture of Stable Diffusion 1 without guidance. Only denoising counts, everything else is small beside it;
//! a graph without it costs [`LEAST`] for each of its nodes.

use super::known::Known;
use crate::{domain::queue_item::FieldValue, graph::Graph};

/// Cost of a node that does not denoise.
const LEAST: f64 = 0.01;
/// Pixels of the unit.
const PIXELS: f64 = 512.0 * 512.0;
/// The most that one session is charged: nothing that a request says may cost more than any other user could ever be served.
const MOST: f64 = 1e6;
/// Keys that are kept of the models that a graph names.
const MODELS: usize = 50;
/// Fields that what a session costs depends on.
const FIELDS: &[&str] = &[
    "steps",
    "num_steps",
    "cfg_scale",
    "guidance_scale",
    "denoising_start",
    "denoising_end",
    "width",
    "height",
    "model",
];

/// The work of a step for a pixel, beside that of Stable Diffusion 1, for the families that have a denoiser here.
fn factor(base: &str) -> f64 {
    match base {
        "sd-2" => 1.1,
        "sdxl" | "sdxl-refiner" => 2.0,
        "flux" => 40.0,
        _ => 1.0,
    }
}

/// Whether sessions that differ in these nodes' fields may differ in cost.
pub fn varies<'f>(graph: &Graph, mut fields: impl Iterator<Item = (&'f str, &'f str)>) -> bool {
    fields.any(|(node, field)| {
        FIELDS.contains(&field)
            || graph
                .edges_out_of(node)
                .any(|edge| FIELDS.contains(&edge.destination.field.as_str()))
    })
}

/// What a session of this graph with these values costs.
pub fn of(graph: &Graph, values: &[FieldValue]) -> f64 {
    let known = Known::of(graph, values);
    let pixels = graph
        .nodes
        .keys()
        .filter_map(|id| Some(known.number(id, "width")? * known.number(id, "height")?))
        .fold(0.0, f64::max);
    let pixels = if pixels > 0.0 { pixels } else { PIXELS };
    let base = graph
        .nodes
        .keys()
        .find_map(|id| known.own(id, "model").filter(|model| model["type"] == "main")?["base"].as_str());
    let mut cost = 0.0;
    for (id, node) in &graph.nodes {
        let steps = known.number(id, "steps").or_else(|| known.number(id, "num_steps"));
        let (true, Some(steps)) = (node.meta.id.contains("denoise"), steps) else {
            cost += LEAST;
            continue;
        };
        let part = known.number(id, "denoising_end").unwrap_or(1.0) - known.number(id, "denoising_start").unwrap_or(0.0);
        let scale = known.number(id, "cfg_scale").or_else(|| known.number(id, "guidance_scale"));
        let guided = scale.unwrap_or(1.0) > 1.0;
        cost += steps * part.clamp(0.0, 1.0) * if guided { 2.0 } else { 1.0 } * pixels / PIXELS * factor(base.unwrap_or_default());
    }
    if cost.is_finite() { cost.clamp(LEAST, MOST) } else { MOST }
}

/// Keys of the models that a graph names, each once.
pub fn models(graph: &Graph) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    let named = graph.nodes.values().flat_map(|node| node.values.values());
    for key in named
        .filter(|value| value["base"].is_string() && value["type"].is_string())
        .filter_map(|value| value["key"].as_str())
    {
        if keys.len() < MODELS && !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{
        super::known::recorded::{DENOISE, LOADER, NOISE, graph},
        *,
    };

    #[test]
    fn steps_pixels_guidance_and_model_count() {
        let cost = |change: &dyn Fn(&mut Value)| of(&graph(change), &[]).round();
        assert_eq!(cost(&|_| {}), 60.0);
        assert_eq!(cost(&|nodes| nodes[DENOISE]["cfg_scale"] = json!(1.0)), 30.0);
        assert_eq!(cost(&|nodes| nodes[DENOISE]["steps"] = json!(10)), 20.0);
        assert_eq!(cost(&|nodes| nodes[DENOISE]["denoising_start"] = json!(0.5)), 30.0);
        assert_eq!(cost(&|nodes| nodes[NOISE]["width"] = json!(1024)), 120.0);
        let xl = |nodes: &mut Value| nodes[LOADER]["model"]["base"] = json!("sdxl");
        assert_eq!(cost(&xl), 120.0);
        let flux = |nodes: &mut Value| nodes[LOADER]["model"]["base"] = json!("flux");
        assert_eq!(cost(&flux), 2400.0);
    }

    #[test]
    fn a_sessions_own_values_count() {
        let own = |field: &str, value: Value| FieldValue {
            node_path: DENOISE.into(),
            field_name: field.into(),
            value,
        };
        let graph = graph(|_| {});
        assert_eq!(of(&graph, &[own("steps", json!(15))]).round(), 30.0);
        assert!(varies(&graph, [(DENOISE, "steps")].into_iter()));
        assert!(!varies(
            &graph,
            [("seed:YRW8x4F1ob", "value"), ("positive_prompt:u0rzA6MvXf", "value")].into_iter()
        ));
        // Nonsense is charged within bounds.
        assert_eq!(of(&graph, &[own("steps", json!(1e300))]), MOST);
        assert_eq!(of(&graph, &[own("steps", json!("many"))]).round(), 0.0);
        assert!(of(&graph, &[own("steps", json!(-5))]) >= LEAST);
    }

    #[test]
    fn models_are_named_once() {
        assert_eq!(models(&graph(|_| {})), ["95abe2f0-dbfd-4503-a58d-6f0b79b89ac5"]);
    }
}
