//! Filling in the inputs of a node that is about to run.

use serde_json::Value;

use super::{Feed, Session, TOTAL};
use crate::graph::{validate::incoming, workflow::DYNAMIC_INPUT};

impl Session {
    /// Fills in the inputs of an execution; the way to what does not fit, if anything.
    pub(super) fn fill_inputs(&mut self, at: usize) -> Option<String> {
        let source = self.executions[at].source;
        let meta = self.graph.nodes[source].meta;
        if meta.id == "collect" {
            let gathered = self.gathered(at);
            self.executions[at].values.insert("collection".into(), Value::Array(gathered));
            return None;
        }
        if meta.id == "iterate" {
            self.fill_iterator(at);
            return None;
        }
        for feed in self.executions[at].feeds.clone() {
            let field = &self.graph.edges[feed.edge].destination.field;
            if field.starts_with(DYNAMIC_INPUT) {
                continue;
            }
            let value = self.brought(feed);
            let value = match meta.field(field) {
                Some(declared) => match incoming(declared, value) {
                    Ok(value) => value,
                    Err(way) => return Some(way),
                },
                None => value,
            };
            let field = field.clone();
            self.executions[at].values.insert(field, value);
        }
        let broken = meta.check.and_then(|check| check(&self.executions[at].values).err());
        broken.map(|rule| rule.field.unwrap_or_default().to_owned())
    }

    /// Gives an iterator its one element and tells it how many there are: a list copied for each of its elements would grow with its square.
    fn fill_iterator(&mut self, at: usize) {
        let execution = &self.executions[at];
        let feed = execution
            .feeds
            .iter()
            .find(|feed| self.graph.edges[feed.edge].destination.field == "collection");
        let index = execution
            .values
            .get("index")
            .and_then(Value::as_u64)
            .and_then(|index| usize::try_from(index).ok());
        let (Some(feed), Some(index)) = (feed, index) else { return };
        let id = self.executions.get_index(feed.from).expect("a feed comes from an execution").0;
        let output = self
            .results
            .get(id)
            .and_then(|output| output.get(&self.graph.edges[feed.edge].source.field));
        let Some(elements) = output.and_then(Value::as_array) else { return };
        let (element, total) = (elements.get(index).cloned().into_iter().collect(), elements.len());
        let values = &mut self.executions[at].values;
        values.insert("collection".into(), Value::Array(element));
        values.insert(TOTAL.into(), total.into());
    }

    /// What an edge brings.
    fn brought(&self, feed: Feed) -> Value {
        let id = self.executions.get_index(feed.from).expect("a feed comes from an execution").0;
        let output = self
            .results
            .get(id)
            .and_then(|output| output.get(&self.graph.edges[feed.edge].source.field));
        output.cloned().unwrap_or(Value::Null)
    }

    /// What a collector gathers: lists first, then single items by path; those of equal path in the order of the graph's edges.
    fn gathered(&self, at: usize) -> Vec<Value> {
        let feeds = &self.executions[at].feeds;
        let of = |field: &'static str| {
            let mut feeds: Vec<Feed> = feeds
                .iter()
                .copied()
                .filter(|feed| self.graph.edges[feed.edge].destination.field == field)
                .collect();
            feeds.sort_by(|a, b| self.executions[a.from].path.cmp(&self.executions[b.from].path));
            feeds
        };
        let mut gathered = Vec::new();
        for feed in of("collection") {
            match self.brought(feed) {
                Value::Array(values) => gathered.extend(values),
                other => gathered.push(other),
            }
        }
        gathered.extend(of("item").into_iter().map(|feed| self.brought(feed)));
        gathered
    }
}
