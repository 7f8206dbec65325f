//! The generation queue.

use invoke_core::{
    domain::{
        BatchId, QueueId,
        page::Direction,
        shape::{Bounds, Extra, Field, Length, ObjectShape, Shape},
    },
    service::workflows::document::NEW_DOCUMENT,
};
use serde::Deserialize;
use serde_json::Value;

use super::shapes::{BOOL, DIRECTION, INT, INT_OR_NULL, INTS, STR, STR_OR_NULL, STRINGS, TIME, TIME_OR_NULL, def, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

/// Items that one request may ask for by their numbers.
const MANY: usize = 1000;
const STATUS: Shape = Shape::Enum(&["pending", "in_progress", "waiting", "completed", "failed", "canceled"]);

/// Definitions that the graph's own part of the document fills in.
const fn defined_elsewhere(name: &'static str) -> ObjectShape {
    ObjectShape {
        name,
        fields: &[],
        extra: Extra::Keep,
    }
}
static GRAPH: ObjectShape = defined_elsewhere("Graph");
static SESSION: ObjectShape = defined_elsewhere("GraphExecutionState");

object!(IMAGE_FIELD = "ImageField" { req("image_name", STR) });
object!(VIDEO_FIELD = "VideoField" { req("video_name", STR) });
const SCALAR: Shape = Shape::Union(&[STR, Shape::FLOAT, INT, Shape::Object(&IMAGE_FIELD), Shape::Object(&VIDEO_FIELD)]);
const VALUE: Shape = Shape::Union(&[
    STR,
    Shape::FLOAT,
    INT,
    Shape::Object(&IMAGE_FIELD),
    Shape::Object(&VIDEO_FIELD),
    Shape::list(&SCALAR),
]);
object!(DATUM = "BatchDatum" { req("node_path", STR), req("field_name", STR), def("items", Shape::list(&VALUE), "[]") });
const DATUM_SHAPE: Shape = Shape::Object(&DATUM);
const GROUP: Shape = Shape::list(&DATUM_SHAPE);
object!(BATCH = "Batch" {
    opt("batch_id", STR),
    opt("origin", STR_OR_NULL),
    opt("destination", STR_OR_NULL),
    opt("data", Shape::Nullable(&Shape::list(&GROUP))),
    req("graph", Shape::Object(&GRAPH)),
    opt("workflow", Shape::Nullable(&NEW_DOCUMENT)),
    def("runs", Shape::Int(Bounds::NONE.ge(1.0)), "1"),
});
object!(ENQUEUED = "EnqueueBatchResult" {
    req("queue_id", STR),
    req("enqueued", INT),
    req("requested", INT),
    req("batch", Shape::Object(&BATCH)),
    req("priority", INT),
    req("item_ids", INTS),
});
object!(FIELD_VALUE = "NodeFieldValue" { req("node_path", STR), req("field_name", STR), req("value", VALUE) });
const FIELD_VALUE_SHAPE: Shape = Shape::Object(&FIELD_VALUE);
const FIELD_VALUES: Shape = Shape::Nullable(&Shape::list(&FIELD_VALUE_SHAPE));
object!(ITEM = "SessionQueueItem" {
    req("item_id", INT),
    def("status", STATUS, "\"pending\""),
    opt("status_sequence", INT_OR_NULL),
    def("priority", INT, "0"),
    req("batch_id", STR),
    opt("origin", STR_OR_NULL),
    opt("destination", STR_OR_NULL),
    req("session_id", STR),
    opt("error_type", STR_OR_NULL),
    opt("error_message", STR_OR_NULL),
    opt("error_traceback", STR_OR_NULL),
    req("created_at", TIME),
    req("updated_at", TIME),
    opt("started_at", TIME_OR_NULL),
    opt("completed_at", TIME_OR_NULL),
    req("queue_id", STR),
    def("user_id", STR, "\"system\""),
    opt("user_display_name", STR_OR_NULL),
    opt("user_email", STR_OR_NULL),
    opt("field_values", FIELD_VALUES),
    opt("retried_from_item_id", INT_OR_NULL),
    opt("device", STR_OR_NULL),
    opt("workflow_call_id", STR_OR_NULL),
    opt("parent_item_id", INT_OR_NULL),
    opt("parent_session_id", STR_OR_NULL),
    opt("root_item_id", INT_OR_NULL),
    opt("workflow_call_depth", INT_OR_NULL),
    req("session", Shape::Object(&SESSION)),
    opt("workflow", Shape::Nullable(&NEW_DOCUMENT)),
});
object!(SUMMARY = "SessionQueueItemSummary" {
    req("item_id", INT),
    req("created_at", TIME),
    req("status", STATUS),
    opt("device", STR_OR_NULL),
    req("started_at", TIME_OR_NULL),
    req("completed_at", TIME_OR_NULL),
    req("origin", STR_OR_NULL),
    req("destination", STR_OR_NULL),
    req("batch_id", STR),
    req("user_id", STR),
    req("user_display_name", STR_OR_NULL),
    req("user_email", STR_OR_NULL),
    req("field_values", FIELD_VALUES),
    req("parent_item_id", INT_OR_NULL),
});
object!(ITEM_IDS = "ItemIdsResult" { req("item_ids", INTS), req("total_count", INT) });
object!(QUEUE_STATUS = "SessionQueueStatus" {
    req("queue_id", STR),
    req("item_id", INT_OR_NULL),
    req("batch_id", STR_OR_NULL),
    req("session_id", STR_OR_NULL),
    req("pending", INT),
    req("in_progress", INT),
    req("waiting", INT),
    req("completed", INT),
    req("failed", INT),
    req("canceled", INT),
    req("total", INT),
    opt("user_pending", INT_OR_NULL),
    opt("user_in_progress", INT_OR_NULL),
});
object!(PROCESSOR = "SessionProcessorStatus" { req("is_started", BOOL), req("is_processing", BOOL) });
object!(QUEUE_AND_PROCESSOR = "SessionQueueAndProcessorStatus" {
    req("queue", Shape::Object(&QUEUE_STATUS)),
    req("processor", Shape::Object(&PROCESSOR)),
});
object!(BATCH_STATUS = "BatchStatus" {
    req("queue_id", STR),
    req("batch_id", STR),
    req("origin", STR_OR_NULL),
    req("destination", STR_OR_NULL),
    req("pending", INT),
    req("in_progress", INT),
    req("waiting", INT),
    req("completed", INT),
    req("failed", INT),
    req("canceled", INT),
    req("total", INT),
});
object!(DESTINATION_COUNTS = "SessionQueueCountsByDestination" {
    req("queue_id", STR),
    req("destination", STR),
    req("pending", INT),
    req("in_progress", INT),
    req("waiting", INT),
    req("completed", INT),
    req("failed", INT),
    req("canceled", INT),
    req("total", INT),
});
object!(CANCELED_ALL = "CancelAllExceptCurrentResult" { req("canceled", INT) });
object!(CANCELED_BATCHES = "CancelByBatchIDsResult" { req("canceled", INT) });
object!(CANCELED_DESTINATION = "CancelByDestinationResult" { req("canceled", INT) });
object!(DELETED_ALL = "DeleteAllExceptCurrentResult" { req("deleted", INT) });
object!(DELETED_DESTINATION = "DeleteByDestinationResult" { req("deleted", INT) });
object!(CLEARED = "ClearResult" { req("deleted", INT) });
object!(PRUNED = "PruneResult" { req("deleted", INT) });
object!(RETRIED = "RetryItemsResult" { req("queue_id", STR), req("retried_item_ids", INTS) });

const ITEM_SHAPE: Shape = Shape::Object(&ITEM);
const ITEMS: Shape = Shape::list(&ITEM_SHAPE);
const SUMMARY_SHAPE: Shape = Shape::Object(&SUMMARY);
const SUMMARIES: Shape = Shape::list(&SUMMARY_SHAPE);
const ITEM_OR_NULL: Shape = Shape::Nullable(&ITEM_SHAPE);
const ASKED_IDS: &[Field] = &[req("item_ids", Shape::List(&INT, Length::ANY.max(MANY)))];
const TO_ENQUEUE: &[Field] = &[req("batch", Shape::Object(&BATCH)), def("prepend", BOOL, "false")];
const ITEM_ID: &[Field] = &[req("item_id", INT)];

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/queue/{queue_id}/enqueue_batch", Access::User, enqueue_batch)
        .doc("queue", "enqueue_batch", "Enqueues a batch of sessions")
        // The batch is checked together with the graph in it, by what knows the nodes.
        .fields(&[req("batch", Shape::Any), def("prepend", BOOL, "false")])
        .described_by(TO_ENQUEUE)
        .returns(200, Shape::Object(&ENQUEUED))
        .returns(201, Shape::Object(&ENQUEUED))
        .heavy()
        .fault("Unexpected error while enqueuing batch"),
    Route::get("/api/v1/queue/{queue_id}/list_all", Access::User, list_all)
        .doc("queue", "list_all_queue_items", "All items in the order of service")
        .query(&[opt("destination", STR_OR_NULL)])
        .returns(200, ITEMS)
        .heavy()
        .fault("Unexpected error while listing all queue items"),
    Route::get("/api/v1/queue/{queue_id}/item_ids", Access::User, item_ids)
        .doc("queue", "get_queue_item_ids", "Numbers of all items by time of creation")
        .query(&[def("order_dir", DIRECTION, "\"DESC\"")])
        .returns(200, Shape::Object(&ITEM_IDS))
        .fault("Unexpected error while listing all queue item ids"),
    Route::post("/api/v1/queue/{queue_id}/items_by_ids", Access::User, items_by_ids)
        .doc("queue", "get_queue_items_by_item_ids", "Items by their numbers")
        .fields(ASKED_IDS)
        .returns(200, ITEMS)
        .fault("Failed to get queue items"),
    Route::post(
        "/api/v1/queue/{queue_id}/item_summaries_by_ids",
        Access::User,
        item_summaries_by_ids,
    )
    .doc("queue", "get_queue_item_summaries_by_ids", "List rows of items by their numbers")
    .fields(ASKED_IDS)
    .returns(200, SUMMARIES)
    .fault("Failed to get queue item summaries"),
    Route::put("/api/v1/queue/{queue_id}/processor/resume", Access::Admin, resume)
        .doc("queue", "resume", "Claims items again")
        .returns(200, Shape::Object(&PROCESSOR))
        .fault("Unexpected error while resuming queue"),
    Route::put("/api/v1/queue/{queue_id}/processor/pause", Access::Admin, pause)
        .doc("queue", "pause", "Claims no more items; what runs goes on")
        .returns(200, Shape::Object(&PROCESSOR))
        .fault("Unexpected error while pausing queue"),
    Route::put(
        "/api/v1/queue/{queue_id}/cancel_all_except_current",
        Access::User,
        cancel_all_except_current,
    )
    .doc("queue", "cancel_all_except_current", "Cancels what waits")
    .returns(200, Shape::Object(&CANCELED_ALL))
    .fault("Unexpected error while canceling all except current"),
    Route::put(
        "/api/v1/queue/{queue_id}/delete_all_except_current",
        Access::User,
        delete_all_except_current,
    )
    .doc("queue", "delete_all_except_current", "Deletes what waits")
    .returns(200, Shape::Object(&DELETED_ALL))
    .fault("Unexpected error while deleting all except current"),
    Route::put("/api/v1/queue/{queue_id}/cancel_by_batch_ids", Access::User, cancel_by_batch_ids)
        .doc("queue", "cancel_by_batch_ids", "Cancels the items of batches")
        .fields(&[req("batch_ids", STRINGS)])
        .returns(200, Shape::Object(&CANCELED_BATCHES))
        .fault("Unexpected error while canceling by batch id"),
    Route::put(
        "/api/v1/queue/{queue_id}/cancel_by_destination",
        Access::User,
        cancel_by_destination,
    )
    .doc("queue", "cancel_by_destination", "Cancels the items with a destination")
    .query(&[req("destination", STR)])
    .returns(200, Shape::Object(&CANCELED_DESTINATION))
    .fault("Unexpected error while canceling by destination"),
    Route::put("/api/v1/queue/{queue_id}/retry_items_by_id", Access::User, retry_items)
        .doc("queue", "retry_items_by_id", "Enqueues ended items again")
        .json(INTS)
        .returns(200, Shape::Object(&RETRIED))
        .fault("Unexpected error while retrying queue items"),
    Route::put("/api/v1/queue/{queue_id}/clear", Access::User, clear)
        .doc("queue", "clear", "Deletes everything, ending what runs")
        .returns(200, Shape::Object(&CLEARED))
        .fault("Unexpected error while clearing queue"),
    Route::put("/api/v1/queue/{queue_id}/prune", Access::User, prune)
        .doc("queue", "prune", "Deletes what has ended")
        .returns(200, Shape::Object(&PRUNED))
        .fault("Unexpected error while pruning queue"),
    Route::get("/api/v1/queue/{queue_id}/current", Access::User, current)
        .doc("queue", "get_current_queue_item", "An item that runs")
        .returns(200, ITEM_OR_NULL)
        .fault("Unexpected error while getting current queue item"),
    Route::get("/api/v1/queue/{queue_id}/next", Access::User, next)
        .doc("queue", "get_next_queue_item", "The item that has waited longest")
        .returns(200, ITEM_OR_NULL)
        .fault("Unexpected error while getting next queue item"),
    Route::get("/api/v1/queue/{queue_id}/status", Access::User, status)
        .doc("queue", "get_queue_status", "Counts of the queue, and whether it is worked on")
        .returns(200, Shape::Object(&QUEUE_AND_PROCESSOR))
        .fault("Unexpected error while getting queue status"),
    Route::get("/api/v1/queue/{queue_id}/b/{batch_id}/status", Access::User, batch_status)
        .doc("queue", "get_batch_status", "Counts of a batch")
        .returns(200, Shape::Object(&BATCH_STATUS))
        .fault("Unexpected error while getting batch status"),
    Route::get("/api/v1/queue/{queue_id}/i/{item_id}", Access::User, item)
        .doc("queue", "get_queue_item", "One item")
        .path_shapes(ITEM_ID)
        .returns(200, ITEM_SHAPE)
        .fault("Unexpected error while fetching queue item"),
    Route::delete("/api/v1/queue/{queue_id}/i/{item_id}", Access::User, delete_item)
        .doc("queue", "delete_queue_item", "Deletes one item, ending it first")
        .path_shapes(ITEM_ID)
        .returns(200, Shape::Any)
        .fault("Unexpected error while deleting queue item"),
    Route::put("/api/v1/queue/{queue_id}/i/{item_id}/cancel", Access::User, cancel_item)
        .doc("queue", "cancel_queue_item", "Cancels one item")
        .path_shapes(ITEM_ID)
        .returns(200, ITEM_SHAPE)
        .fault("Unexpected error while canceling queue item"),
    Route::get(
        "/api/v1/queue/{queue_id}/counts_by_destination",
        Access::User,
        counts_by_destination,
    )
    .doc("queue", "counts_by_destination", "Counts of a destination")
    .query(&[req("destination", STR)])
    .returns(200, Shape::Object(&DESTINATION_COUNTS))
    .fault("Unexpected error while fetching counts by destination"),
    Route::delete("/api/v1/queue/{queue_id}/d/{destination}", Access::User, delete_by_destination)
        .doc("queue", "delete_by_destination", "Deletes the items with a destination")
        .returns(200, Shape::Object(&DELETED_DESTINATION))
        .fault("Unexpected error while deleting by destination"),
];

fn queue_id(call: &Call<'_>) -> QueueId {
    QueueId::new(call.path("queue_id"))
}

/// A required text of the query.
fn destination<'c>(call: &'c Call<'_>) -> &'c str {
    call.query_text("destination").unwrap_or_default()
}

#[derive(Deserialize)]
struct Enqueue {
    batch: Value,
    prepend: bool,
}

fn enqueue_batch(call: &mut Call<'_>) -> Result<Reply> {
    let body: Enqueue = call.body()?;
    Ok(Reply::ok(&call.core().queue.enqueue_batch(
        &call.actor,
        &queue_id(call),
        body.batch,
        body.prepend,
    )?))
}

fn list_all(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.list_all(
        &call.actor,
        &queue_id(call),
        call.query_text("destination"),
    )?))
}

fn item_ids(call: &mut Call<'_>) -> Result<Reply> {
    let direction = if call.query_text("order_dir") == Some("ASC") {
        Direction::Asc
    } else {
        Direction::Desc
    };
    Ok(Reply::ok(&call.core().queue.item_ids(&call.actor, &queue_id(call), direction)?))
}

#[derive(Deserialize)]
struct Ids {
    item_ids: Vec<i64>,
}

fn items_by_ids(call: &mut Call<'_>) -> Result<Reply> {
    let body: Ids = call.body()?;
    Ok(Reply::ok(&call.core().queue.items_by_ids(
        &call.actor,
        &queue_id(call),
        &body.item_ids,
    )?))
}

fn item_summaries_by_ids(call: &mut Call<'_>) -> Result<Reply> {
    let body: Ids = call.body()?;
    Ok(Reply::ok(&call.core().queue.item_summaries_by_ids(
        &call.actor,
        &queue_id(call),
        &body.item_ids,
    )?))
}

fn resume(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.resume(&call.actor)?))
}

fn pause(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.pause(&call.actor)?))
}

fn cancel_all_except_current(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(
        &call.core().queue.cancel_all_except_current(&call.actor, &queue_id(call))?,
    ))
}

fn delete_all_except_current(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(
        &call.core().queue.delete_all_except_current(&call.actor, &queue_id(call))?,
    ))
}

#[derive(Deserialize)]
struct Batches {
    batch_ids: Vec<String>,
}

fn cancel_by_batch_ids(call: &mut Call<'_>) -> Result<Reply> {
    let body: Batches = call.body()?;
    let batches: Vec<BatchId> = body.batch_ids.into_iter().map(BatchId::new).collect();
    Ok(Reply::ok(&call.core().queue.cancel_by_batch_ids(
        &call.actor,
        &queue_id(call),
        &batches,
    )?))
}

fn cancel_by_destination(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.cancel_by_destination(
        &call.actor,
        &queue_id(call),
        destination(call),
    )?))
}

fn retry_items(call: &mut Call<'_>) -> Result<Reply> {
    let ids: Vec<i64> = call.body()?;
    Ok(Reply::ok(&call.core().queue.retry_items(&call.actor, &queue_id(call), &ids)?))
}

fn clear(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.clear(&call.actor, &queue_id(call))?))
}

fn prune(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.prune(&call.actor, &queue_id(call))?))
}

fn current(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.current(&call.actor, &queue_id(call))?))
}

fn next(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.next(&call.actor, &queue_id(call))?))
}

fn status(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.status(&call.actor, &queue_id(call))?))
}

fn batch_status(call: &mut Call<'_>) -> Result<Reply> {
    let batch_id = BatchId::new(call.path("batch_id"));
    Ok(Reply::ok(&call.core().queue.batch_status(
        &call.actor,
        &queue_id(call),
        &batch_id,
    )?))
}

fn item(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.item(
        &call.actor,
        &queue_id(call),
        call.path_int("item_id"),
    )?))
}

fn delete_item(call: &mut Call<'_>) -> Result<Reply> {
    call.core()
        .queue
        .delete_item(&call.actor, &queue_id(call), call.path_int("item_id"))?;
    Ok(Reply::ok(&()))
}

fn cancel_item(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.cancel_item(
        &call.actor,
        &queue_id(call),
        call.path_int("item_id"),
    )?))
}

fn counts_by_destination(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.counts_by_destination(
        &call.actor,
        &queue_id(call),
        destination(call),
    )?))
}

fn delete_by_destination(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().queue.delete_by_destination(
        &call.actor,
        &queue_id(call),
        call.path("destination"),
    )?))
}
