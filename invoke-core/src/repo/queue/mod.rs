//! The queue's tables.

mod claim;
mod counts;
mod insert;
mod read;
mod transition;

pub use claim::{Claimed, Mode, claim};
pub use counts::{Selection, batch_origin, count_selected, queue_counts, user_counts};
pub use insert::{NewBatch, NewItem, capacity_left, insert_batch, next_priority};
pub use read::{
    Stored, any_in_progress, find, ids_by_creation, ids_of_batch, list, next_pending, owned_in_progress, sealed_many, stored_session,
};
pub use transition::{
    Change, Deleted, cancel_waiting, delete_items, delete_rows, fail_unfinished_at_startup, finish, in_progress_of, is_running,
    keep_newest, requeue, store_session, terminal_rows,
};
