//! queue_item
