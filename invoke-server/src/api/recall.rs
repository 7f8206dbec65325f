//! Parameters that a program sends to somebody's open client.

use invoke_core::domain::{
    QueueId,
    shape::{Bounds, Extra, Field, ObjectShape, Shape},
};
use serde_json::{Map, Value};

use super::shapes::{BOOL, BOOL_OR_NULL, STR, STR_OR_NULL, def, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

const FLOAT_OR_NULL: Shape = Shape::Nullable(&Shape::FLOAT);
const PART_OR_NULL: Shape = Shape::Nullable(&Shape::Float(Bounds::NONE.ge(0.0).le(1.0)));
const WEIGHT: Shape = Shape::Float(Bounds::NONE.ge(-1.0).le(2.0));
const SIDE_OR_NULL: Shape = Shape::Nullable(&Shape::Int(Bounds::NONE.ge(64.0)));
const COUNT_OR_NULL: Shape = Shape::Nullable(&Shape::Int(Bounds::NONE.ge(0.0)));

object!(LORA = "LoRARecallParameter" {
    req("model_name", STR),
    def("weight", Shape::Float(Bounds::NONE.ge(-10.0).le(10.0)), "0.75"),
    def("is_enabled", BOOL, "true"),
});
object!(CONTROL = "ControlNetRecallParameter" {
    req("model_name", STR),
    opt("image_name", STR_OR_NULL),
    def("weight", WEIGHT, "1.0"),
    opt("begin_step_percent", PART_OR_NULL),
    opt("end_step_percent", PART_OR_NULL),
    opt("control_mode", Shape::Nullable(&Shape::Enum(&["balanced", "more_prompt", "more_control"]))),
});
object!(ADAPTER = "IPAdapterRecallParameter" {
    req("model_name", STR),
    opt("image_name", STR_OR_NULL),
    def("weight", WEIGHT, "1.0"),
    opt("begin_step_percent", PART_OR_NULL),
    opt("end_step_percent", PART_OR_NULL),
    opt("method", Shape::Nullable(&Shape::Enum(&["full", "style", "composition"]))),
    opt("image_influence", Shape::Nullable(&Shape::Enum(&["lowest", "low", "medium", "high", "highest"]))),
});
object!(REFERENCE = "ReferenceImageRecallParameter" { req("image_name", STR) });

/// Every parameter; what is not given is absent, but for a strict update, where it is null.
static PARAMETERS: ObjectShape = ObjectShape {
    name: "RecallParameter",
    fields: FIELDS,
    extra: Extra::Forbid,
};
const LORA_SHAPE: Shape = Shape::Object(&LORA);
const LORAS: Shape = Shape::list(&LORA_SHAPE);
const CONTROL_SHAPE: Shape = Shape::Object(&CONTROL);
const CONTROLS: Shape = Shape::list(&CONTROL_SHAPE);
const ADAPTER_SHAPE: Shape = Shape::Object(&ADAPTER);
const ADAPTERS: Shape = Shape::list(&ADAPTER_SHAPE);
const REFERENCE_SHAPE: Shape = Shape::Object(&REFERENCE);
const REFERENCES: Shape = Shape::list(&REFERENCE_SHAPE);
const FIELDS: &[Field] = &[
    opt("positive_prompt", STR_OR_NULL),
    opt("negative_prompt", STR_OR_NULL),
    opt("model", STR_OR_NULL),
    opt("refiner_model", STR_OR_NULL),
    opt("vae_model", STR_OR_NULL),
    opt("scheduler", STR_OR_NULL),
    opt("steps", Shape::Nullable(&Shape::Int(Bounds::NONE.ge(1.0)))),
    opt("refiner_steps", COUNT_OR_NULL),
    opt("cfg_scale", FLOAT_OR_NULL),
    opt("cfg_rescale_multiplier", FLOAT_OR_NULL),
    opt("refiner_cfg_scale", FLOAT_OR_NULL),
    opt("guidance", FLOAT_OR_NULL),
    opt("width", SIDE_OR_NULL),
    opt("height", SIDE_OR_NULL),
    opt("seed", COUNT_OR_NULL),
    opt("denoise_strength", PART_OR_NULL),
    opt("refiner_denoise_start", PART_OR_NULL),
    opt("clip_skip", COUNT_OR_NULL),
    opt("seamless_x", BOOL_OR_NULL),
    opt("seamless_y", BOOL_OR_NULL),
    opt("refiner_positive_aesthetic_score", FLOAT_OR_NULL),
    opt("refiner_negative_aesthetic_score", FLOAT_OR_NULL),
    opt("loras", Shape::Nullable(&LORAS)),
    opt("control_layers", Shape::Nullable(&CONTROLS)),
    opt("ip_adapters", Shape::Nullable(&ADAPTERS)),
    opt("reference_images", Shape::Nullable(&REFERENCES)),
];

pub(super) const ROUTES: &[Route] = &[
    Route::post("/api/v1/recall/{queue_id}", Access::User, update)
        .doc("recall", "update_recall_parameters", "Sends parameters to one's own open client")
        .query(&[def("strict", BOOL, "false"), def("append", BOOL, "false")])
        .json(Shape::Object(&PARAMETERS))
        .returns(200, Shape::Map(&Shape::Any))
        .fault("Error updating recall parameters"),
    Route::get("/api/v1/recall/{queue_id}", Access::User, describe)
        .doc("recall", "get_recall_parameters", "What the way to an open client is good for")
        .returns(200, Shape::Map(&Shape::Any)),
];

fn queue_id(call: &Call<'_>) -> QueueId {
    QueueId::new(call.path("queue_id"))
}

fn update(call: &mut Call<'_>) -> Result<Reply> {
    let mut given: Map<String, Value> = call.body()?;
    let is_set = |name| call.query_bool(name).unwrap_or(false);
    let (strict, append) = (is_set("strict"), is_set("append"));
    if strict {
        for field in FIELDS {
            given.entry(field.name).or_insert(Value::Null);
        }
    }
    Ok(Reply::ok(&call.core().recall.update(
        &call.actor,
        &queue_id(call),
        given,
        strict,
        append,
    )?))
}

fn describe(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().recall.describe(&call.actor, &queue_id(call))?))
}
