//! The queue's tables.

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
    Stored, any_in_progress, find, ids_by_creation, ids_of_batch, list, next_pending, owned_in_progress, queue_of, root_of, running_on,
    sealed_many, stored_session,
};
pub use transition::{
    Change, Deleted, cancel_waiting, chain_of, delete_items, delete_rows, ended_item, fail_unfinished_at_startup, finish, in_progress_of,
    is_running, keep_newest, reload, requeue, resume, running_item, store_session, suspend, terminal_rows, waiting_item,
};
