//! Which of several executable nodes runs first.

use std::collections::{BTreeMap, VecDeque};

use super::{Session, State};

/// Executions that could run now.
///
/// Executions of one kind of node run one after another, by path, until none is left; then the kinds follow by the name of their schema. So a
/// model that one kind needs is loaded once.
#[derive(Debug, Default)]
pub(super) struct Ready {
    queues: BTreeMap<&'static str, VecDeque<usize>>,
    active: Option<&'static str>,
}

impl Session {
    /// Makes an execution ready if nothing keeps it waiting.
    pub(super) fn offer(&mut self, at: usize) {
        let execution = &self.executions[at];
        if execution.missing != 0 || execution.state != State::Waiting {
            return;
        }
        match self.wanted(at) {
            Some(true) => {}
            Some(false) => return self.skip(at),
            None => return,
        }
        self.executions[at].state = State::Ready;
        let kind = self.graph.nodes[self.executions[at].source].meta.schema;
        let executions = &self.executions;
        let queue = self.ready.queues.entry(kind).or_default();
        let path = &executions[at].path;
        if queue.back().is_none_or(|last| executions[*last].path <= *path) {
            queue.push_back(at);
        } else {
            let place = queue.partition_point(|other| executions[*other].path <= *path);
            queue.insert(place, at);
        }
    }

    /// Takes the execution that runs first.
    pub(super) fn take_ready(&mut self) -> Option<usize> {
        loop {
            if let Some(active) = self.ready.active {
                while let Some(at) = self.ready.queues.get_mut(active).and_then(VecDeque::pop_front) {
                    if self.executions[at].state == State::Ready {
                        return Some(at);
                    }
                }
            }
            self.ready.active = Some(*self.ready.queues.iter().find(|(_, queue)| !queue.is_empty())?.0);
        }
    }
}
