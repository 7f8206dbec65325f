//! Choosing, repeating and gathering. The order of execution that goes with them is the session's.

use invoke_macros::{Node, Output};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Invoke, NodeCx, NodeEntry, NodeError, entry};

pub(super) const NODES: &[NodeEntry] = &[entry::<Collect>(), entry::<If>(), entry::<Iterate>()];

/// The input of the branch that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "if_output")]
struct IfInvocationOutput {
    #[field(default = null, title = "Output", ui_type = "AnyField")]
    value: Option<Value>,
}

/// One element.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "iterate_output")]
struct IterateInvocationOutput {
    #[field(title = "Collection Item", ui_type = "CollectionItemField")]
    item: Value,
    index: i64,
    total: i64,
}

/// Elements.
#[derive(Debug, Clone, PartialEq, Serialize, Output)]
#[output(id = "collect_output")]
struct CollectInvocationOutput {
    #[field(ui_type = "CollectionField")]
    collection: Vec<Value>,
}

/// One of two inputs.
#[derive(Debug, Deserialize, Node)]
#[node(id = "if", title = "If", version = "1.0.0", category = "math", tags("logic", "conditional"), output = IfInvocationOutput)]
struct If {
    #[field(default = false)]
    condition: bool,
    #[field(ui_type = "AnyField")]
    true_input: Option<Value>,
    #[field(ui_type = "AnyField")]
    false_input: Option<Value>,
}

impl Invoke for If {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IfInvocationOutput, NodeError> {
        Ok(IfInvocationOutput {
            value: if self.condition { self.true_input } else { self.false_input },
        })
    }
}

/// The element at an index; a session runs one for every element.
#[derive(Debug, Deserialize, Node)]
#[node(id = "iterate", title = "IterateInvocation", version = "1.1.0", cache = false, output = IterateInvocationOutput)]
struct Iterate {
    #[field(default = [], ui_type = "CollectionField")]
    collection: Vec<Value>,
    #[field(default = 0, hidden)]
    index: i64,
    /// How many elements there are when `collection` holds only the one.
    #[serde(default)]
    #[field(unlisted)]
    total: Option<i64>,
}

impl Invoke for Iterate {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<IterateInvocationOutput, NodeError> {
        let total = self.total.unwrap_or(self.collection.len() as i64);
        let place = if self.total.is_some() {
            Some(0)
        } else {
            usize::try_from(self.index).ok()
        };
        let item = place.and_then(|place| self.collection.into_iter().nth(place));
        let item = item.ok_or_else(|| NodeError::new("IndexError", format!("no element {} among {total}", self.index)))?;
        Ok(IterateInvocationOutput {
            item,
            index: self.index,
            total,
        })
    }
}

/// Everything that was gathered; the session puts it into `collection`.
#[derive(Debug, Deserialize, Node)]
#[node(id = "collect", title = "CollectInvocation", version = "1.1.0", cache = false, output = CollectInvocationOutput)]
struct Collect {
    #[field(input = connection, title = "Collection Item", ui_type = "CollectionItemField")]
    #[serde(rename = "item")]
    _item: Option<Value>,
    #[field(default = [], input = connection, ui_type = "CollectionField")]
    collection: Vec<Value>,
}

impl Invoke for Collect {
    fn invoke(self, _cx: &dyn NodeCx) -> Result<CollectInvocationOutput, NodeError> {
        Ok(CollectInvocationOutput {
            collection: self.collection,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::nodes::testing::run;

    #[test]
    fn choice_and_elements() {
        assert_eq!(
            run("if", json!({"condition": true, "true_input": 1, "false_input": 2})).unwrap()["value"],
            1
        );
        assert_eq!(
            run("if", json!({"true_input": 1})).unwrap(),
            json!({"value": null, "type": "if_output"})
        );
        let element = run("iterate", json!({"collection": ["a", "b"], "index": 1})).unwrap();
        assert_eq!(element, json!({"item": "b", "index": 1, "total": 2, "type": "iterate_output"}));
        assert!(run("iterate", json!({"collection": [], "index": 0})).is_err());
        assert_eq!(run("collect", json!({"collection": [1, 2]})).unwrap()["collection"], json!([1, 2]));
    }
}
