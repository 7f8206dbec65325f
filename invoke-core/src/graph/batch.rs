//! Batches: one graph, run with other values again and again.

use serde_json::{Map, Value, json};

use super::{Graph, Registry, document::NEW_DOCUMENT, model::without_nulls, validate};
use crate::domain::{
    queue_item::FieldValue,
    shape::{Bounds, Check, Extra, Field, Length, ObjectShape, Shape},
    validation::{Issue, Step},
};

const IMAGE: Shape = Shape::Object(&ObjectShape {
    name: "ImageField",
    fields: &[Field::required("image_name", Shape::STR)],
    extra: Extra::Ignore,
});
const VIDEO: Shape = Shape::Object(&ObjectShape {
    name: "VideoField",
    fields: &[Field::required("video_name", Shape::STR)],
    extra: Extra::Ignore,
});
const SCALARS: &[Shape] = &[Shape::STR, Shape::FLOAT, Shape::INT, IMAGE, VIDEO];
const SCALAR_LIST: Shape = Shape::List(&Shape::Union(SCALARS), Length::ANY);
const ITEM: Shape = Shape::Union(&[Shape::STR, Shape::FLOAT, Shape::INT, IMAGE, VIDEO, SCALAR_LIST]);

/// The values that one field takes.
pub const DATUM: Shape = Shape::Object(&ObjectShape {
    name: "BatchDatum",
    fields: &[
        Field::required("node_path", Shape::STR),
        Field::required("field_name", Shape::STR),
        Field::with("items", Shape::List(&ITEM, Length::ANY), "[]"),
    ],
    extra: Extra::Ignore,
});

/// Groups of fields: those of one group change together, the groups in all combinations.
pub const DATA: Shape = Shape::Nullable(&Shape::List(&Shape::List(&DATUM, Length::ANY), Length::ANY));

/// Everything of a batch but its graph and workflow, which are read apart.
const REST: Shape = Shape::Object(&ObjectShape {
    name: "",
    fields: &[
        Field::optional("batch_id", Shape::STR),
        Field::with("origin", Shape::Nullable(&Shape::STR), "null"),
        Field::with("destination", Shape::Nullable(&Shape::STR), "null"),
        Field::with("data", DATA, "null"),
        Field::with("runs", Shape::Int(Bounds::NONE.ge(1.0)), "1"),
    ],
    extra: Extra::Ignore,
});

/// The values of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Datum {
    /// Node in the graph.
    pub node_path: String,
    /// Field of that node.
    pub field_name: String,
    /// Its values, one a session.
    pub items: Vec<Value>,
}

/// A checked batch.
#[derive(Debug)]
pub struct Batch {
    /// Its id, the caller's or a fresh one.
    pub batch_id: String,
    /// Which part of the client asked.
    pub origin: Option<String>,
    /// Where the client wants the results.
    pub destination: Option<String>,
    /// The groups; none at all, or none in them, are different things to clients.
    pub data: Option<Vec<Vec<Datum>>>,
    /// The graph.
    pub graph: Graph,
    /// The workflow it came from, as it came.
    pub workflow: Option<Value>,
    /// How often all of it runs.
    pub runs: u64,
}

fn below(loc: &[Step], step: &str) -> Vec<Step> {
    let mut loc = loc.to_vec();
    loc.push(step.into());
    loc
}

/// Kinds of values that may not mix in one list.
fn kind(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

impl Batch {
    /// Reads a batch at `loc` of a request.
    ///
    /// # Errors
    /// Everything that is wrong with its parts; if they are fine by themselves, the first rule that they break together.
    pub fn read(registry: &Registry, value: Value, loc: &[Step], new_id: &mut dyn FnMut() -> String) -> Result<Self, Vec<Issue>> {
        let whole = value.clone();
        let Value::Object(mut parts) = value else {
            let msg = "Input should be a valid dictionary or object to extract fields from";
            return Err(vec![Issue::new("model_attributes_type", loc.to_vec(), msg, value)]);
        };
        let (graph, workflow) = (parts.shift_remove("graph"), parts.shift_remove("workflow").filter(|w| !w.is_null()));
        let mut issues = Vec::new();
        let rest = Check::below(loc.to_vec()).run(&REST, Value::Object(parts)).unwrap_or_else(|found| {
            issues.extend(found);
            Value::Null
        });
        let graph = match graph {
            None => Err(vec![Issue::new("missing", below(loc, "graph"), "Field required", whole.clone())]),
            Some(graph) => validate::graph(registry, graph, &below(loc, "graph"), &mut *new_id),
        };
        let workflow = workflow.and_then(|workflow| {
            let checked = Check::below(below(loc, "workflow")).run(&NEW_DOCUMENT, workflow);
            checked.map_err(|found| issues.extend(found)).ok()
        });
        let graph = match graph {
            Ok(graph) if issues.is_empty() => graph,
            Ok(_) => return Err(issues),
            Err(found) => {
                issues.extend(found);
                return Err(issues);
            }
        };
        let text = |key: &str| rest[key].as_str().map(str::to_owned);
        let data = rest["data"].as_array().map(|groups| groups.iter().map(group).collect::<Vec<_>>());
        if let Some(data) = &data {
            check_data(data).map_err(|msg| vec![Issue::value_error(below(loc, "data"), msg, rest["data"].clone())])?;
            check_targets(data, &graph).map_err(|msg| vec![Issue::value_error(loc.to_vec(), msg, whole)])?;
        }
        Ok(Self {
            batch_id: text("batch_id").unwrap_or_else(&mut *new_id),
            origin: text("origin"),
            destination: text("destination"),
            data,
            graph,
            workflow,
            runs: rest["runs"].as_u64().unwrap_or(1),
        })
    }

    /// The batch as clients read it, nulls included.
    pub fn to_value(&self) -> Value {
        let datum = |d: &Datum| json!({"node_path": d.node_path, "field_name": d.field_name, "items": d.items});
        let data: Option<Vec<Vec<Value>>> = self
            .data
            .as_ref()
            .map(|groups| groups.iter().map(|g| g.iter().map(datum).collect()).collect());
        json!({
            "batch_id": self.batch_id, "origin": self.origin, "destination": self.destination, "data": data,
            "graph": self.graph.to_value(), "workflow": self.workflow, "runs": self.runs,
        })
    }

    /// The graph as it is stored, once for all sessions.
    pub fn stored_graph(&self) -> String {
        without_nulls(self.graph.to_value()).to_string()
    }

    /// How many sessions it asks for.
    pub fn requested(&self) -> u64 {
        let combinations = self
            .groups()
            .iter()
            .map(|group| group.first().map_or(0, |datum| datum.items.len() as u64));
        combinations.fold(self.runs, u64::saturating_mul)
    }

    fn groups(&self) -> &[Vec<Datum>] {
        self.data.as_deref().unwrap_or_default()
    }

    /// Node and field of each value of a session.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let data = self.groups().iter().flatten();
        data.map(|datum| (datum.node_path.as_str(), datum.field_name.as_str()))
    }

    /// The values of each session, one for each of [`Self::fields`], in order: runs outermost, then the first group, the last group changing fastest.
    pub fn values(&self) -> impl Iterator<Item = Vec<&Value>> {
        let sizes: Vec<u64> = self
            .groups()
            .iter()
            .map(|group| group.first().map_or(0, |datum| datum.items.len() as u64))
            .collect();
        let combinations: u64 = sizes.iter().fold(1, |n, size| n.saturating_mul(*size));
        (0..self.requested()).map(move |number| {
            let mut rest = number % combinations.max(1);
            let mut places = vec![0; sizes.len()];
            for (place, size) in places.iter_mut().zip(&sizes).rev() {
                *place = rest % size;
                rest /= size;
            }
            let groups = self.groups().iter().zip(places);
            groups
                .flat_map(|(group, place)| group.iter().map(move |datum| &datum.items[place as usize]))
                .collect()
        })
    }

    /// [`Self::values`] with their names.
    pub fn sessions(&self) -> impl Iterator<Item = Vec<FieldValue>> {
        self.values().map(|values| self.named(&values))
    }

    /// A session's values with their names.
    pub fn named(&self, values: &[&Value]) -> Vec<FieldValue> {
        let named = self.fields().zip(values);
        named
            .map(|((node_path, field_name), value)| FieldValue {
                node_path: node_path.to_owned(),
                field_name: field_name.to_owned(),
                value: (*value).clone(),
            })
            .collect()
    }
}

fn group(value: &Value) -> Vec<Datum> {
    let text = |datum: &Value, key: &str| datum[key].as_str().unwrap_or_default().to_owned();
    value
        .as_array()
        .into_iter()
        .flatten()
        .map(|datum| Datum {
            node_path: text(datum, "node_path"),
            field_name: text(datum, "field_name"),
            items: datum["items"].as_array().cloned().unwrap_or_default(),
        })
        .collect()
}

fn check_data(data: &[Vec<Datum>]) -> Result<(), &'static str> {
    let first_length = |group: &[Datum]| group.first().map_or(0, |datum| datum.items.len());
    if data
        .iter()
        .any(|group| group.iter().any(|datum| datum.items.len() != first_length(group)))
    {
        return Err("Zipped batch items must all have the same length");
    }
    let mixed = |datum: &Datum| datum.items.iter().any(|item| kind(item) != kind(&datum.items[0]));
    if data.iter().flatten().any(mixed) {
        return Err("All items in a batch must have the same type");
    }
    let mut seen = std::collections::HashSet::new();
    if data
        .iter()
        .flatten()
        .any(|datum| !seen.insert((&datum.node_path, &datum.field_name)))
    {
        return Err("Each batch data must have unique node_id and field_name");
    }
    Ok(())
}

fn check_targets(data: &[Vec<Datum>], graph: &Graph) -> Result<(), String> {
    for datum in data.iter().flatten() {
        let node = graph
            .nodes
            .get(&datum.node_path)
            .ok_or_else(|| format!("Node {} not found in graph", datum.node_path))?;
        if node.meta.field(&datum.field_name).is_none() && !node.values.contains_key(&datum.field_name) {
            return Err(format!("Field {} not found in node {}", datum.field_name, datum.node_path));
        }
    }
    Ok(())
}

/// Puts a session's values into its graph.
pub fn put_values(graph: &mut Map<String, Value>, values: &[FieldValue]) {
    let Some(Value::Object(nodes)) = graph.get_mut("nodes") else {
        return;
    };
    for value in values {
        if let Some(Value::Object(node)) = nodes.get_mut(&value.node_path) {
            node.insert(value.field_name.clone(), value.value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(more: Value) -> Result<Batch, Vec<Issue>> {
        let mut batch = json!({"graph": {"nodes": {"a": {"id": "a", "type": "add"}, "t": {"id": "t", "type": "string"}}, "edges": []}});
        batch.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut n = 0;
        Batch::read(
            &crate::nodes::registry(None, None),
            batch,
            &["body".into(), "batch".into()],
            &mut || {
                n += 1;
                format!("id{n}")
            },
        )
    }

    fn datum(node: &str, field: &str, items: Value) -> Value {
        json!({"node_path": node, "field_name": field, "items": items})
    }

    #[test]
    fn runs_are_outermost_and_the_last_group_changes_fastest() {
        let batch = read(json!({"runs": 2, "data": [[datum("a", "a", json!([1, 2]))], [datum("t", "value", json!(["x", "y", "z"])), datum("a", "b", json!([7, 8, 9]))]]})).unwrap();
        assert_eq!(batch.requested(), 12);
        let flat: Vec<String> = batch
            .sessions()
            .map(|s| s.iter().map(|v| v.value.to_string()).collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(
            flat[..6],
            ["1 \"x\" 7", "1 \"y\" 8", "1 \"z\" 9", "2 \"x\" 7", "2 \"y\" 8", "2 \"z\" 9"]
        );
        assert_eq!(flat[..6], flat[6..]);
    }

    #[test]
    fn without_data_there_is_one_session_a_run_and_with_empty_data_none() {
        assert_eq!(
            read(json!({"runs": 3})).unwrap().sessions().collect::<Vec<_>>(),
            vec![vec![], vec![], vec![]]
        );
        assert_eq!(read(json!({"data": []})).unwrap().requested(), 1);
        assert_eq!(read(json!({"data": [[]]})).unwrap().sessions().count(), 0);
        assert_eq!(read(json!({"data": [[datum("a", "a", json!([]))]]})).unwrap().sessions().count(), 0);
    }

    #[test]
    fn rules_that_values_break_together() {
        let wrong = |data: Value| {
            let issues = read(json!({ "data": data })).unwrap_err();
            (issues[0].loc.len(), issues[0].msg.clone())
        };
        let zipped = wrong(json!([[datum("a", "a", json!([1, 2])), datum("a", "b", json!([1]))]]));
        assert_eq!(zipped, (3, "Value error, Zipped batch items must all have the same length".into()));
        assert!(wrong(json!([[datum("a", "a", json!([1, "x"]))]])).1.ends_with("the same type"));
        assert!(
            wrong(json!([[datum("a", "a", json!([1]))], [datum("a", "a", json!([2]))]]))
                .1
                .ends_with("unique node_id and field_name")
        );
        assert_eq!(
            wrong(json!([[datum("zz", "a", json!([1]))]])),
            (2, "Value error, Node zz not found in graph".into())
        );
        assert_eq!(
            wrong(json!([[datum("a", "zz", json!([1]))]])),
            (2, "Value error, Field zz not found in node a".into())
        );
        assert!(read(json!({"data": [[datum("a", "a", json!([1, 2.5]))]]})).is_ok());
    }
}
