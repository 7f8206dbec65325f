//! The server itself.

use invoke_core::{
    config::{Settings, is_device},
    domain::{
        shape::{Extra, Field, ObjectShape, Rule, Shape},
        validation::Issue,
    },
};
use serde_json::{Map, Value, json};

use super::shapes::{BOOL, INT, STR, STR_OR_NULL, STRINGS, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    logging::LEVELS,
    reply::Reply,
    route::{Access, Route},
};

object!(APP_VERSION = "AppVersion" { req("version", STR) });
object!(DEVICE = "GenerationDeviceOption" { req("device", STR), req("name", STR) });
/// Every key of the configuration.
static CONFIG: ObjectShape = ObjectShape {
    name: "InvokeAIAppConfig",
    fields: Settings::FIELDS,
    extra: Extra::Keep,
};
object!(CONFIG_AND_SET = "InvokeAIAppConfigWithSetFields" { req("set_fields", STRINGS), req("config", Shape::Object(&CONFIG)) });
object!(CONFIG_CHANGES = "UpdateAppGenerationSettingsRequest" {
    opt("image_subfolder_strategy", Shape::Nullable(&STRATEGIES)),
    opt("max_queue_history", HISTORY),
    opt("generation_devices", Shape::Nullable(&DEVICES_TO_USE)),
});
const STRATEGIES: Shape = Settings::shape_of("image_subfolder_strategy");
const HISTORY: Shape = Settings::shape_of("max_queue_history");
const DEVICES_OR_AUTO: Shape = Settings::shape_of("generation_devices");
/// The document does not show the nulls that are refused.
const CHANGES_SHOWN: &[Field] = &[
    opt("image_subfolder_strategy", STRATEGIES),
    opt("max_queue_history", HISTORY),
    opt("generation_devices", DEVICES_TO_USE),
];
const CHANGES_TO_MAKE: Shape = Shape::Ruled(&Shape::Object(&CONFIG_CHANGES), &NO_NULLS);
/// Null is what an absent key stands for, and no value.
static NO_NULLS: Rule = Rule {
    label: "UpdateAppGenerationSettingsRequest",
    check: |changes, loc| {
        let null = ["image_subfolder_strategy", "generation_devices"]
            .into_iter()
            .find(|key| changes.get(key).is_some_and(Value::is_null));
        null.map(|key| Issue::value_error(loc, format!("{key} may not be null"), changes.clone()))
    },
};
const DEVICES_TO_USE: Shape = Shape::Ruled(&DEVICES_OR_AUTO, &NAMES_OF_DEVICES);
/// Devices are named by their kind, those of which there may be several by their number as well.
static NAMES_OF_DEVICES: Rule = Rule {
    label: "devices",
    check: |devices, loc| {
        let list = devices.as_array()?;
        let text = match list.iter().filter_map(Value::as_str).find(|device| !is_device(device)) {
            Some(device) => format!("Invalid generation device '{device}'; expected 'cpu', 'mps', 'cuda', 'cuda:N', 'xpu' or 'xpu:N'"),
            None if list.is_empty() => "generation_devices: expected 'auto' or one or more devices".to_owned(),
            None => return None,
        };
        Some(Issue::value_error(loc, text, devices.clone()))
    },
};
object!(PROVIDER_STATUS = "ExternalProviderStatusModel" { req("provider_id", STR), req("configured", BOOL), opt("message", STR_OR_NULL) });
object!(PROVIDER_CONFIG = "ExternalProviderConfigModel" {
    req("provider_id", STR),
    req("api_key_configured", BOOL),
    opt("base_url", STR_OR_NULL),
});
object!(PROVIDER_CHANGES = "ExternalProviderConfigUpdate" { opt("api_key", STR_OR_NULL), opt("base_url", STR_OR_NULL) });

object!(CACHE_STATUS = "InvocationCacheStatus" {
    req("size", INT),
    req("hits", INT),
    req("misses", INT),
    req("enabled", BOOL),
    req("max_size", INT),
});

const DEVICE_SHAPE: Shape = Shape::Object(&DEVICE);
const DEVICES: Shape = Shape::list(&DEVICE_SHAPE);
const PROVIDER_STATUS_SHAPE: Shape = Shape::Object(&PROVIDER_STATUS);
const PROVIDER_STATUSES: Shape = Shape::list(&PROVIDER_STATUS_SHAPE);
const PROVIDER_CONFIG_SHAPE: Shape = Shape::Object(&PROVIDER_CONFIG);
const PROVIDER_CONFIGS: Shape = Shape::list(&PROVIDER_CONFIG_SHAPE);
const LEVEL: Shape = Shape::IntEnum(LEVELS);

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v1/app/version", Access::Anonymous, version)
        .doc("app", "app_version", "The version of the contract")
        .returns(200, Shape::Object(&APP_VERSION))
        .inline(),
    Route::get("/api/v1/app/app_deps", Access::User, dependencies)
        .doc("app", "get_app_deps", "Versions of the parts that matter for support")
        .returns(200, Shape::Map(&STR)),
    Route::get("/api/v1/app/patchmatch_status", Access::User, patchmatch_status)
        .doc("app", "get_patchmatch_status", "Whether patch-based infilling is there")
        .returns(200, BOOL),
    Route::get("/api/v1/app/generation_device_options", Access::User, devices)
        .doc("app", "get_generation_device_options", "The devices that run sessions")
        .returns(200, DEVICES),
    Route::get("/api/v1/app/runtime_config", Access::Admin, config)
        .doc("app", "get_runtime_config", "The configuration in force, secrets masked")
        .returns(200, Shape::Object(&CONFIG_AND_SET)),
    Route::patch("/api/v1/app/runtime_config", Access::Admin, change_config)
        .doc(
            "app",
            "update_runtime_config",
            "Changes the configuration, now and for later starts",
        )
        .json(CHANGES_TO_MAKE)
        .described_by(CHANGES_SHOWN)
        .returns(200, Shape::Object(&CONFIG_AND_SET)),
    Route::get("/api/v1/app/external_providers/status", Access::User, provider_statuses)
        .doc("app", "get_external_provider_statuses", "Which services of others are set up")
        .returns(200, PROVIDER_STATUSES),
    Route::get("/api/v1/app/external_providers/config", Access::Admin, provider_configs)
        .doc("app", "get_external_provider_configs", "How services of others are set up")
        .returns(200, PROVIDER_CONFIGS),
    Route::post("/api/v1/app/external_providers/config/{provider_id}", Access::Admin, set_provider)
        .doc("app", "set_external_provider_config", "Sets up a service of others")
        .json(Shape::Object(&PROVIDER_CHANGES))
        .returns(200, PROVIDER_CONFIG_SHAPE),
    Route::delete("/api/v1/app/external_providers/config/{provider_id}", Access::Admin, reset_provider)
        .doc("app", "reset_external_provider_config", "Forgets how a service of others is set up")
        .returns(200, PROVIDER_CONFIG_SHAPE),
    Route::get("/api/v1/app/logging", Access::Admin, log_level)
        .doc("app", "get_log_level", "What is logged")
        .returns(200, LEVEL),
    Route::post("/api/v1/app/logging", Access::Admin, set_log_level)
        .doc("app", "set_log_level", "Changes what is logged, until the next start")
        .json(LEVEL)
        .returns(200, LEVEL),
    Route::get("/api/v1/app/invocation_cache/status", Access::Admin, cache_status)
        .doc(
            "app",
            "get_invocation_cache_status",
            "What the cache of nodes' results did and holds",
        )
        .returns(200, Shape::Object(&CACHE_STATUS)),
    Route::delete("/api/v1/app/invocation_cache", Access::Admin, clear_cache)
        .doc("app", "clear_invocation_cache", "Forgets all nodes' results")
        .returns(200, Shape::Any),
    Route::put("/api/v1/app/invocation_cache/enable", Access::Admin, enable_cache)
        .doc("app", "enable_invocation_cache", "Keeps nodes' results")
        .returns(200, Shape::Any),
    Route::put("/api/v1/app/invocation_cache/disable", Access::Admin, disable_cache)
        .doc("app", "disable_invocation_cache", "Keeps nodes' results no longer")
        .returns(200, Shape::Any),
];

#[expect(clippy::unnecessary_wraps, reason = "a handler is of one type, whether it can fail or not")]
fn version(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.version()))
}

fn dependencies(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.dependencies(&call.actor)?))
}

fn patchmatch_status(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.patchmatch_status(&call.actor)?))
}

fn devices(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.generation_device_options(&call.actor)?))
}

fn config(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.runtime_config(&call.actor)?))
}

fn change_config(call: &mut Call<'_>) -> Result<Reply> {
    let changes: Map<String, Value> = call.body()?;
    Ok(Reply::ok(&call.core().app.change_runtime_config(&call.actor, &changes)?))
}

fn provider_statuses(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.provider_statuses(&call.actor)?))
}

fn provider_configs(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.provider_configs(&call.actor)?))
}

fn set_provider(call: &mut Call<'_>) -> Result<Reply> {
    let changes: Map<String, Value> = call.body()?;
    Ok(Reply::ok(&call.core().app.set_provider(
        &call.actor,
        call.path("provider_id"),
        &changes,
    )?))
}

fn reset_provider(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.reset_provider(&call.actor, call.path("provider_id"))?))
}

fn log_level(call: &mut Call<'_>) -> Result<Reply> {
    call.core().app.authorize_looking(&call.actor)?;
    Ok(Reply::ok(&json!(call.server.options.log_level.get())))
}

fn set_log_level(call: &mut Call<'_>) -> Result<Reply> {
    let level: i64 = call.body()?;
    let log_level = &call.server.options.log_level;
    call.core().app.manage(&call.actor, "app.set_log_level", level, || {
        let changes = log_level.get() != level;
        log_level.set(level);
        changes
    })?;
    Ok(Reply::ok(&level))
}

fn cache_status(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().app.invocation_cache_status(&call.actor)?))
}

fn clear_cache(call: &mut Call<'_>) -> Result<Reply> {
    call.core().app.clear_invocation_cache(&call.actor)?;
    Ok(Reply::ok(&()))
}

fn enable_cache(call: &mut Call<'_>) -> Result<Reply> {
    call.core().app.enable_invocation_cache(&call.actor, true)?;
    Ok(Reply::ok(&()))
}

fn disable_cache(call: &mut Call<'_>) -> Result<Reply> {
    call.core().app.enable_invocation_cache(&call.actor, false)?;
    Ok(Reply::ok(&()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change_while_the_server_runs_may_be_changed_here() {
        let live = Settings::KEYS.iter().filter(|key| key.live).map(|key| key.name);
        let mut live: Vec<&str> = live.collect();
        live.sort_unstable();
        for fields in [CONFIG_CHANGES.fields, CHANGES_SHOWN] {
            let mut names: Vec<&str> = fields.iter().map(|field| field.name).collect();
            names.sort_unstable();
            assert_eq!(names, live);
        }
    }
}
