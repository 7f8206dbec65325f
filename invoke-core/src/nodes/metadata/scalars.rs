//! Values of the metadata that comes in, or a default.

use invoke_macros::Node;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{CUSTOM_LABEL, check_label, incoming, label};
use crate::{
    domain::shape::{Shape, number_text},
    nodes::{
        Invoke, NodeCx, NodeEntry, NodeError, entry,
        fields::{SCHEDULERS, SchedulerName},
        outputs::{
            BooleanCollectionOutput, BooleanOutput, FloatCollectionOutput, FloatOutput, IntegerCollectionOutput, IntegerOutput,
            SchedulerOutput, StringCollectionOutput, StringOutput,
        },
    },
};

pub(super) const NODES: &[NodeEntry] = &[
    entry::<MetadataToString>(),
    entry::<MetadataToInteger>(),
    entry::<MetadataToFloat>(),
    entry::<MetadataToBool>(),
    entry::<MetadataToScheduler>(),
    entry::<MetadataToStringCollection>(),
    entry::<MetadataToIntegerCollection>(),
    entry::<MetadataToFloatCollection>(),
    entry::<MetadataToBoolCollection>(),
];

const TEXT_LABELS: Shape = Shape::Enum(&[
    CUSTOM_LABEL,
    "positive_prompt",
    "positive_style_prompt",
    "negative_prompt",
    "negative_style_prompt",
]);
const INTEGER_LABELS: Shape = Shape::Enum(&[
    CUSTOM_LABEL,
    "width",
    "height",
    "seed",
    "steps",
    "clip_skip",
    "cfg_scale_start_step",
    "cfg_scale_end_step",
]);
const FLOAT_LABELS: Shape = Shape::Enum(&[CUSTOM_LABEL, "cfg_scale", "cfg_rescale_multiplier", "guidance"]);
const BOOL_LABELS: Shape = Shape::Enum(&[CUSTOM_LABEL, "seamless_x", "seamless_y"]);
const SCHEDULER_LABELS: Shape = Shape::Enum(&[CUSTOM_LABEL, "scheduler"]);

fn found(cx: &dyn NodeCx, name: String, custom: Option<String>, default: impl Serialize) -> Result<Value, NodeError> {
    match incoming(cx).remove(&label(name, custom)) {
        Some(value) => Ok(value),
        None => serde_json::to_value(default).map_err(NodeError::runtime),
    }
}

fn elements(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        other => vec![other],
    }
}

fn is_scheduler(name: &str) -> bool {
    matches!(SCHEDULERS, Shape::Enum(names) if names.contains(&name))
}

/// As Python writes it.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(number),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Null => "None".into(),
        other => other.to_string(),
    }
}

fn integer_of(value: &Value) -> Result<i64, NodeError> {
    let found = match value {
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().filter(|x| x.abs() < 9.2e18).map(|x| x as i64)),
        Value::Bool(value) => Some(i64::from(*value)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| NodeError::value(format!("invalid literal for int() with base 10: '{}'", text_of(value))))
}

fn float_of(value: &Value) -> Result<f64, NodeError> {
    let found = match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    found.ok_or_else(|| NodeError::value(format!("could not convert string to float: '{}'", text_of(value))))
}

fn truth_of(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(values) => !values.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A text of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_string", title = "Metadata To String", version = "1.0.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = StringOutput)]
struct MetadataToString {
    #[field(default = "* CUSTOM LABEL *", shape = TEXT_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: String,
}

impl Invoke for MetadataToString {
    fn invoke(self, cx: &dyn NodeCx) -> Result<StringOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        Ok(text_of(&found).into())
    }
}

/// A whole number of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_integer", title = "Metadata To Integer", version = "1.0.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = IntegerOutput)]
struct MetadataToInteger {
    #[field(default = "* CUSTOM LABEL *", shape = INTEGER_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: i64,
}

impl Invoke for MetadataToInteger {
    fn invoke(self, cx: &dyn NodeCx) -> Result<IntegerOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        integer_of(&found).map(Into::into)
    }
}

/// A number of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_float", title = "Metadata To Float", version = "1.1.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = FloatOutput)]
struct MetadataToFloat {
    #[field(default = "* CUSTOM LABEL *", shape = FLOAT_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: f64,
}

impl Invoke for MetadataToFloat {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FloatOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        float_of(&found).map(Into::into)
    }
}

/// A truth value of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_bool", title = "Metadata To Bool", version = "1.0.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = BooleanOutput)]
struct MetadataToBool {
    #[field(default = "* CUSTOM LABEL *", shape = BOOL_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: bool,
}

impl Invoke for MetadataToBool {
    fn invoke(self, cx: &dyn NodeCx) -> Result<BooleanOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        Ok(truth_of(&found).into())
    }
}

/// A scheduler of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_scheduler", title = "Metadata To Scheduler", version = "1.0.1", category = "metadata", tags("metadata"), classification = Beta, metadata, output = SchedulerOutput)]
struct MetadataToScheduler {
    #[field(default = "scheduler", shape = SCHEDULER_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    #[field(default = "euler", ui_type = "SchedulerField")]
    default_value: SchedulerName,
}

impl Invoke for MetadataToScheduler {
    fn invoke(self, cx: &dyn NodeCx) -> Result<SchedulerOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        match &found {
            Value::String(name) if is_scheduler(name) => Ok(SchedulerName(name.clone()).into()),
            other => Err(NodeError::new("ValidationError", format!("{} is no scheduler", text_of(other)))),
        }
    }
}

/// Texts of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_string_collection", title = "Metadata To String Collection", version = "1.0.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = StringCollectionOutput)]
struct MetadataToStringCollection {
    #[field(default = "* CUSTOM LABEL *", shape = TEXT_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: Vec<String>,
}

impl Invoke for MetadataToStringCollection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<StringCollectionOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        Ok(elements(found).iter().map(text_of).collect::<Vec<_>>().into())
    }
}

/// Whole numbers of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_integer_collection", title = "Metadata To Integer Collection", version = "1.0.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = IntegerCollectionOutput)]
struct MetadataToIntegerCollection {
    #[field(default = "* CUSTOM LABEL *", shape = INTEGER_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: Vec<i64>,
}

impl Invoke for MetadataToIntegerCollection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<IntegerCollectionOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        Ok(elements(found).iter().map(integer_of).collect::<Result<Vec<_>, _>>()?.into())
    }
}

/// Numbers of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_float_collection", title = "Metadata To Float Collection", version = "1.0.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = FloatCollectionOutput)]
struct MetadataToFloatCollection {
    #[field(default = "* CUSTOM LABEL *", shape = FLOAT_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: Vec<f64>,
}

impl Invoke for MetadataToFloatCollection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<FloatCollectionOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        Ok(elements(found).iter().map(float_of).collect::<Result<Vec<_>, _>>()?.into())
    }
}

/// Truth values of the metadata.
#[derive(Debug, Deserialize, Node)]
#[node(check = check_label, id = "metadata_to_bool_collection", title = "Metadata To Bool Collection", version = "1.0.0", category = "metadata", tags("metadata"), classification = Beta, metadata, output = BooleanCollectionOutput)]
struct MetadataToBoolCollection {
    #[field(default = "* CUSTOM LABEL *", shape = BOOL_LABELS, input = direct)]
    label: String,
    #[field(input = direct)]
    custom_label: Option<String>,
    default_value: Vec<bool>,
}

impl Invoke for MetadataToBoolCollection {
    fn invoke(self, cx: &dyn NodeCx) -> Result<BooleanCollectionOutput, NodeError> {
        let found = found(cx, self.label, self.custom_label, self.default_value)?;
        Ok(elements(found).iter().map(truth_of).collect::<Vec<_>>().into())
    }
}
