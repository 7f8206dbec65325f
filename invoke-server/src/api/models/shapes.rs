//! Shapes of what the routes of models take and answer.

use invoke_core::{
    domain::{
        model_kind::FORMATS,
        shape::{Field, Length, Shape},
    },
    models::classes::{
        ANY_VARIANT, CONTROL_DEFAULTS, EXTERNAL_CAPABILITIES, EXTERNAL_DEFAULTS, EXTERNAL_PANEL, LORA_DEFAULTS_TO_SET, MAIN_DEFAULTS,
        PREDICTIONS, RECORD, SOURCE_TYPES,
    },
    nodes::fields::{MODEL_BASES, MODEL_TYPES},
};

use crate::api::shapes::{BOOL, BOOL_OR_NULL, DIRECTION, INT, INT_OR_NULL, STR, STR_OR_NULL, STRINGS, def, object, opt, req};

const FORMAT: Shape = Shape::Enum(FORMATS);
const ORDER: Shape = Shape::Enum(&[
    "default",
    "type",
    "base",
    "name",
    "format",
    "size",
    "created_at",
    "updated_at",
    "path",
]);
const STATUS: Shape = Shape::Enum(&[
    "waiting",
    "downloading",
    "downloads_done",
    "running",
    "paused",
    "completed",
    "error",
    "cancelled",
]);
pub(super) const TOKEN_STATUS: Shape = Shape::Enum(&["valid", "invalid", "unknown"]);

const RECORDS: Shape = Shape::list(&RECORD);

object!(pub(super) MODELS = "ModelsList" { req("models", RECORDS) });
object!(pub(super) CHANGES = "ModelRecordChanges" {
    opt("source", STR_OR_NULL),
    opt("source_type", Shape::Nullable(&SOURCE_TYPES)),
    opt("source_api_response", STR_OR_NULL),
    opt("source_url", STR_OR_NULL),
    opt("name", STR_OR_NULL),
    opt("path", STR_OR_NULL),
    opt("description", STR_OR_NULL),
    opt("base", Shape::Nullable(&MODEL_BASES)),
    opt("type", Shape::Nullable(&MODEL_TYPES)),
    opt("key", STR_OR_NULL),
    opt("hash", STR_OR_NULL),
    opt("file_size", INT_OR_NULL),
    opt("format", STR_OR_NULL),
    opt("trigger_phrases", Shape::Nullable(&STRINGS)),
    opt("default_settings", Shape::Nullable(&Shape::Union(&[MAIN_DEFAULTS, LORA_DEFAULTS_TO_SET, CONTROL_DEFAULTS, EXTERNAL_DEFAULTS]))),
    opt("provider_id", STR_OR_NULL),
    opt("provider_model_id", STR_OR_NULL),
    opt("capabilities", Shape::Nullable(&EXTERNAL_CAPABILITIES)),
    opt("cpu_only", BOOL_OR_NULL),
    opt("variant", ANY_VARIANT),
    opt("prediction_type", Shape::Nullable(&PREDICTIONS)),
    opt("upcast_attention", BOOL_OR_NULL),
    opt("config_path", STR_OR_NULL),
});
const FAILED: Shape = Shape::list(&Shape::Map(&Shape::Any));
object!(LOCAL = "LocalModelSource" {
    req("path", STR),
    opt("inplace", BOOL_OR_NULL),
    def("type", Shape::Const("local"), "\"local\""),
});
object!(REPOSITORY = "HFModelSource" {
    req("repo_id", STR),
    opt("variant", Shape::Nullable(&Shape::Enum(&["", "fp16", "fp32", "onnx", "openvino", "flax"]))),
    opt("subfolder", STR_OR_NULL),
    opt("access_token", STR_OR_NULL),
    def("type", Shape::Const("hf"), "\"hf\""),
});
object!(ADDRESS = "URLModelSource" {
    req("url", STR),
    opt("access_token", STR_OR_NULL),
    def("type", Shape::Const("url"), "\"url\""),
});
object!(EXTERNAL = "ExternalModelSource" {
    req("provider_id", STR),
    req("provider_model_id", STR),
    def("type", Shape::Const("external"), "\"external\""),
});
const SOURCE: Shape = Shape::Tagged {
    tag: "type",
    variants: &[
        ("local", Shape::Object(&LOCAL)),
        ("hf", Shape::Object(&REPOSITORY)),
        ("url", Shape::Object(&ADDRESS)),
        ("external", Shape::Object(&EXTERNAL)),
    ],
};
object!(REMOTE_FILE = "RemoteModelFile" {
    req("url", STR),
    req("path", STR),
    opt("size", INT_OR_NULL),
    opt("sha256", STR_OR_NULL),
});
const REMOTE_FILE_SHAPE: Shape = Shape::Object(&REMOTE_FILE);
object!(BASE_METADATA = "BaseMetadata" { req("name", STR), def("type", Shape::Const("basemetadata"), "\"basemetadata\"") });
object!(HUB_METADATA = "HuggingFaceMetadata" {
    req("name", STR),
    opt("files", Shape::list(&REMOTE_FILE_SHAPE)),
    def("type", Shape::Const("huggingface"), "\"huggingface\""),
    req("id", STR),
    opt("api_response", STR_OR_NULL),
    def("is_diffusers", BOOL, "false"),
    opt("ckpt_urls", Shape::Nullable(&STRINGS)),
});
const METADATA: Shape = Shape::Tagged {
    tag: "type",
    variants: &[
        ("basemetadata", Shape::Object(&BASE_METADATA)),
        ("huggingface", Shape::Object(&HUB_METADATA)),
    ],
};
object!(PART = "DownloadJob" {
    def("id", INT, "-1"),
    req("dest", STR),
    opt("download_path", STR_OR_NULL),
    def("status", Shape::Enum(&["waiting", "running", "paused", "completed", "cancelled", "error"]), "\"waiting\""),
    def("bytes", INT, "0"),
    def("total_bytes", INT, "0"),
    opt("error_type", STR_OR_NULL),
    opt("error", STR_OR_NULL),
    req("source", Shape::Str(Length::ANY.min(1))),
    opt("access_token", STR_OR_NULL),
    def("priority", INT, "10"),
    opt("job_started", STR_OR_NULL),
    opt("job_ended", STR_OR_NULL),
    opt("content_type", STR_OR_NULL),
    opt("canonical_url", STR_OR_NULL),
    opt("etag", STR_OR_NULL),
    opt("last_modified", STR_OR_NULL),
    opt("final_url", STR_OR_NULL),
    opt("expected_total_bytes", INT_OR_NULL),
    def("resume_required", BOOL, "false"),
    opt("resume_message", STR_OR_NULL),
    def("resume_from_scratch", BOOL, "false"),
});
const PART_SHAPE: Shape = Shape::Object(&PART);
object!(JOB = "ModelInstallJob" {
    req("id", INT),
    def("status", STATUS, "\"waiting\""),
    opt("error_reason", STR_OR_NULL),
    opt("config_in", Shape::Object(&CHANGES)),
    opt("config_out", Shape::Nullable(&RECORD)),
    def("inplace", BOOL, "false"),
    req("source", SOURCE),
    req("local_path", STR),
    def("bytes", INT, "0"),
    def("total_bytes", INT, "0"),
    opt("source_metadata", Shape::Nullable(&METADATA)),
    opt("download_parts", Shape::list(&PART_SHAPE)),
    opt("error", STR_OR_NULL),
    opt("error_traceback", STR_OR_NULL),
});
object!(pub(super) KEYS_TO_DELETE = "BulkDeleteModelsRequest" { req("keys", STRINGS) });
object!(pub(super) DELETED = "BulkDeleteModelsResponse" { req("deleted", STRINGS), req("failed", FAILED) });
object!(pub(super) KEYS_TO_LOOK_AT = "BulkReidentifyModelsRequest" { req("keys", STRINGS) });
object!(pub(super) LOOKED_AT = "BulkReidentifyModelsResponse" { req("succeeded", STRINGS), req("failed", FAILED) });
object!(FOUND = "FoundModel" { req("path", STR), req("is_installed", BOOL) });
object!(ORPHAN = "OrphanedModelInfo" { req("path", STR), req("absolute_path", STR), req("files", STRINGS), req("size_bytes", INT) });
object!(pub(super) ORPHANS_TO_DELETE = "DeleteOrphanedModelsRequest" { req("paths", STRINGS) });
object!(pub(super) ORPHANS_DELETED = "DeleteOrphanedModelsResponse" { req("deleted", STRINGS), req("errors", Shape::Map(&STR)) });
object!(STATS = "CacheStats" {
    def("hits", INT, "0"),
    def("misses", INT, "0"),
    def("high_watermark", INT, "0"),
    def("in_cache", INT, "0"),
    def("cleared", INT, "0"),
    def("cache_size", INT, "0"),
    opt("loaded_model_sizes", Shape::Map(&INT)),
});
object!(pub(super) HUB_TOKEN = "Body_do_hf_login" { req("token", STR) });
object!(pub(super) PAIR = "ModelRelationshipCreateRequest" { req("model_key_1", STR), req("model_key_2", STR) });
object!(pub(super) KEYS = "ModelRelationshipBatchRequest" { req("model_keys", STRINGS) });

pub(super) const JOB_SHAPE: Shape = Shape::Object(&JOB);
pub(super) const JOBS: Shape = Shape::list(&JOB_SHAPE);
const FOUND_SHAPE: Shape = Shape::Object(&FOUND);
pub(super) const FOUND_MODELS: Shape = Shape::list(&FOUND_SHAPE);
const ORPHAN_SHAPE: Shape = Shape::Object(&ORPHAN);
pub(super) const ORPHANS: Shape = Shape::list(&ORPHAN_SHAPE);
pub(super) const STATS_SHAPE: Shape = Shape::Object(&STATS);
object!(STARTER_ALONE = "StarterModelWithoutDependencies" {
    req("description", STR),
    req("source", STR),
    req("name", STR),
    req("base", MODEL_BASES),
    req("type", MODEL_TYPES),
    opt("format", Shape::Nullable(&FORMAT)),
    opt("variant", ANY_VARIANT),
    def("is_installed", BOOL, "false"),
    opt("capabilities", Shape::Nullable(&EXTERNAL_CAPABILITIES)),
    opt("default_settings", Shape::Nullable(&EXTERNAL_DEFAULTS)),
    opt("panel_schema", Shape::Nullable(&EXTERNAL_PANEL)),
    def("previous_names", STRINGS, "[]"),
});
const STARTER_ALONE_SHAPE: Shape = Shape::Object(&STARTER_ALONE);
object!(STARTER = "StarterModel" {
    req("description", STR),
    req("source", STR),
    req("name", STR),
    req("base", MODEL_BASES),
    req("type", MODEL_TYPES),
    opt("format", Shape::Nullable(&FORMAT)),
    opt("variant", ANY_VARIANT),
    def("is_installed", BOOL, "false"),
    opt("capabilities", Shape::Nullable(&EXTERNAL_CAPABILITIES)),
    opt("default_settings", Shape::Nullable(&EXTERNAL_DEFAULTS)),
    opt("panel_schema", Shape::Nullable(&EXTERNAL_PANEL)),
    def("previous_names", STRINGS, "[]"),
    opt("dependencies", Shape::Nullable(&Shape::list(&STARTER_ALONE_SHAPE))),
});
const STARTER_SHAPE: Shape = Shape::Object(&STARTER);
object!(BUNDLE = "StarterModelBundle" { req("name", STR), req("models", Shape::list(&STARTER_SHAPE)) });
const BUNDLE_SHAPE: Shape = Shape::Object(&BUNDLE);
object!(STARTER_MODELS = "StarterModelResponse" {
    req("starter_models", Shape::list(&STARTER_SHAPE)),
    req("starter_bundles", Shape::Map(&BUNDLE_SHAPE)),
});
pub(super) const STARTERS: Shape = Shape::Object(&STARTER_MODELS);
object!(HUB = "HuggingFaceModels" { req("urls", Shape::Nullable(&STRINGS)), req("is_diffusers", BOOL) });
pub(super) const HUB_REPOSITORY: Shape = Shape::Object(&HUB);
pub(super) const ID: &[Field] = &[req("id", INT)];
const BASES: Shape = Shape::list(&MODEL_BASES);
pub(super) const LIST_QUERY: &[Field] = &[
    opt("base_models", Shape::Nullable(&BASES)),
    opt("model_type", Shape::Nullable(&MODEL_TYPES)),
    opt("model_name", STR_OR_NULL),
    opt("model_format", Shape::Nullable(&FORMAT)),
    def("order_by", ORDER, "\"name\""),
    def("direction", DIRECTION, "\"ASC\""),
];
