//! Texts that come with an uploaded picture: which are kept.

use serde_json::Value;

use crate::{
    files::Chunks,
    service::workflows::document::{NEW_DOCUMENT, checked},
};

/// The texts worth keeping: metadata that are an object, a workflow and a graph that have the shape of one. The form's metadata win over
/// the file's.
pub(super) fn kept(form_metadata: Option<String>, file: Chunks) -> Chunks {
    let keep = |text: Option<String>, is_one: fn(&Value) -> bool| {
        text.filter(|text| serde_json::from_str::<Value>(text).is_ok_and(|value| is_one(&value)))
    };
    Chunks {
        metadata: keep(form_metadata.or(file.metadata), Value::is_object),
        workflow: keep(file.workflow, is_workflow),
        graph: keep(file.graph, is_graph),
    }
}

fn is_graph(value: &Value) -> bool {
    value.get("nodes").is_some_and(Value::is_object) && value.get("edges").is_some_and(Value::is_array)
}

fn is_workflow(value: &Value) -> bool {
    checked(&NEW_DOCUMENT, value.clone()).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_the_wrong_shape_is_dropped() {
        let workflow = json!({
            "name": "n", "author": "", "description": "", "version": "", "contact": "", "tags": "", "notes": "", "exposedFields": [],
            "nodes": [{}], "edges": [], "meta": {"version": "3.0.0", "category": "user"},
        });
        let graph = json!({"nodes": {}, "edges": []});
        let file = |metadata: &str, workflow: &Value, graph: &Value| Chunks {
            metadata: Some(metadata.into()),
            workflow: Some(workflow.to_string()),
            graph: Some(graph.to_string()),
        };
        let good = kept(None, file("{\"seed\": 1}", &workflow, &graph));
        assert_eq!(good.metadata.as_deref(), Some("{\"seed\": 1}"));
        assert!(good.workflow.is_some() && good.graph.is_some());
        let mut odd = workflow.clone();
        odd["meta"]["version"] = json!("three");
        assert_eq!(kept(None, file("[1]", &odd, &json!({"nodes": []}))), Chunks::default());
        assert_eq!(kept(None, file("{", &json!(3), &json!(null))), Chunks::default());
        assert_eq!(
            kept(Some("{\"b\":2}".into()), file("{\"a\":1}", &odd, &graph)).metadata.as_deref(),
            Some("{\"b\":2}")
        );
        assert_eq!(kept(Some("[]".into()), file("{\"a\":1}", &odd, &graph)).metadata, None);
    }
}
