//! Packs of nodes written in Python: listed and removed, never run.

use invoke_core::domain::shape::Shape;
use serde::Deserialize;

use super::shapes::{BOOL, INT, STR, STR_OR_NULL, STRINGS, def, object, opt, req};
use crate::{
    call::Call,
    error::Result,
    reply::Reply,
    route::{Access, Route},
};

object!(PACK = "NodePackInfo" { req("name", STR), req("path", STR), req("node_count", INT), req("node_types", STRINGS) });
object!(PACKS = "NodePackListResponse" { req("node_packs", Shape::list(&Shape::Object(&PACK))), req("custom_nodes_path", STR) });
object!(INSTALL = "InstallNodePackRequest" { req("source", STR) });
object!(INSTALLED = "InstallNodePackResponse" {
    req("name", STR),
    req("success", BOOL),
    req("message", STR),
    def("workflows_imported", INT, "0"),
    def("requires_dependencies", BOOL, "false"),
    opt("dependency_file", STR_OR_NULL),
});
object!(UNINSTALLED = "UninstallNodePackResponse" { req("name", STR), req("success", BOOL), req("message", STR) });

pub(super) const ROUTES: &[Route] = &[
    Route::get("/api/v2/custom_nodes/", Access::Admin, list)
        .doc("custom_nodes", "list_custom_node_packs", "Packs of nodes that lie in their folder")
        .returns(200, Shape::Object(&PACKS)),
    Route::post("/api/v2/custom_nodes/install", Access::Admin, install)
        .doc("custom_nodes", "install_custom_node_pack", "Installs nothing, and says why")
        .json(Shape::Object(&INSTALL))
        .returns(200, Shape::Object(&INSTALLED)),
    Route::delete("/api/v2/custom_nodes/{pack_name}", Access::Admin, uninstall)
        .doc(
            "custom_nodes",
            "uninstall_custom_node_pack",
            "Removes a pack of nodes from its folder",
        )
        .returns(200, Shape::Object(&UNINSTALLED))
        .heavy(),
    Route::post("/api/v2/custom_nodes/reload", Access::Admin, reload)
        .doc("custom_nodes", "reload_custom_nodes", "Loads nothing, and says why")
        .returns(200, Shape::Map(&STR)),
];

#[derive(Deserialize)]
struct Install {
    source: String,
}

fn list(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().custom_nodes.list(&call.actor)?))
}

fn install(call: &mut Call<'_>) -> Result<Reply> {
    let body: Install = call.body()?;
    Ok(Reply::ok(&call.core().custom_nodes.install(&call.actor, &body.source)?))
}

fn uninstall(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().custom_nodes.uninstall(&call.actor, call.path("pack_name"))?))
}

fn reload(call: &mut Call<'_>) -> Result<Reply> {
    Ok(Reply::ok(&call.core().custom_nodes.reload(&call.actor)?))
}
