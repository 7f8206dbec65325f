//! The routes, a file for each kind of thing.
//!
//! # Adding a route
//! 1. In the file of its kind, add an entry to `ROUTES`: method and path with parameters in braces, who may use it ([`Access`]), and
//!    the handler; then `.doc(tag, operation id, summary)`, `.query(…)`, `.json(…)`/`.fields(…)`/`.form(…)` for what it takes, `.returns(…)`
//!    for what it answers, `.heavy()` if answering takes milliseconds, `.fault(…)` where the original words its 500s.
//! 2. Write the handler: `fn(&mut Call) -> Result<Reply>`. When it runs, the caller is admitted and the parameters have the declared
//!    shapes: take them from the [`Call`], call one function of a service with `&call.actor`, make a [`Reply`] of what it returns. `?`
//!    turns a core error into its status.
//! 3. For a new kind of thing, add its file below.
//!
//! Shapes are declared once: they check what comes in and describe both directions in the OpenAPI document. An object shape with a name
//! becomes a definition there. A list parameter in the query is a key that may be repeated; a body that is a list or a text is
//! `.json(Shape::list(…))`, `.json(Shape::STR)`; FastAPI's several body parameters are `.fields(…)`.
//!
//! [`Access`]: crate::route::Access
//! [`Call`]: crate::call::Call
//! [`Reply`]: crate::reply::Reply

mod accounts;
mod app;
mod auth;
mod board_images;
mod boards;
mod client_state;
mod custom_nodes;
mod document;
mod gallery;
mod image_moves;
mod images;
mod models;
mod queue;
mod recall;
mod shapes;
mod style_presets;
mod system_prompts;
mod utilities;
mod videos;
mod virtual_boards;
mod workflows;

use crate::route::Route;

/// Every route of the server.
pub fn routes() -> impl Iterator<Item = Route> {
    [
        accounts::ROUTES,
        app::ROUTES,
        auth::ROUTES,
        board_images::ROUTES,
        boards::ROUTES,
        client_state::ROUTES,
        custom_nodes::ROUTES,
        document::ROUTES,
        gallery::ROUTES,
        image_moves::ROUTES,
        images::ROUTES,
        models::ROUTES,
        queue::ROUTES,
        recall::ROUTES,
        style_presets::ROUTES,
        system_prompts::ROUTES,
        utilities::ROUTES,
        videos::ROUTES,
        virtual_boards::ROUTES,
        workflows::ROUTES,
    ]
    .into_iter()
    .flatten()
    .copied()
}
