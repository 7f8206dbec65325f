//! The queue's tables.
//!
//! What people ask for leaves sealed. What the queue asks for itself does not: the rows that its workers run, a row that a write has just changed, the
//! chain of calls around an item that was opened. Nothing outside of this crate can ask for these.

mod claim;
mod counts;
mod insert;
mod read;
#[cfg(test)]
mod tests;
mod transition;

pub use claim::{begin, cost_of, first_waiting, models_of, turns};
pub use counts::{Selection, batch_origin, count_selected, hand_over, queue_counts, user_counts};
pub use insert::{NewBatch, NewItem, capacity_left, insert_batch, next_priority, taken_apart};
pub use read::{
    Stored, find, first_in_progress, ids_by_creation, ids_of_batch, list, next_pending, of_numbers, queue_of, root_of, running_in,
    running_on, stored_session,
};
pub use transition::{
    Change, Deleted, cancel_unfinished, cancel_waiting, chain_of, delete_items, delete_rows, finish, in_progress_of, is_running,
    keep_newest, requeue, resume, store_session, suspend,
};
pub(crate) use transition::{ended_item, reload, running_item, terminal_rows, waiting_item};
