//! Finding the route of a request.

use std::collections::HashMap;

use crate::{
    input::unescape,
    route::{Method, Route},
};

/// The routes of one path.
#[derive(Debug, Default)]
struct Place {
    routes: Vec<Route>,
}

/// All routes, by path.
#[derive(Debug)]
pub(crate) struct Table {
    paths: matchit::Router<usize>,
    places: Vec<Place>,
}

/// What was found.
pub(crate) struct Found<'t> {
    pub(crate) route: &'t Route,
    /// Path parameters, unescaped.
    pub(crate) path: Vec<(&'static str, String)>,
}

impl Table {
    /// Orders the routes.
    ///
    /// # Errors
    /// Names two routes that exclude each other.
    pub(crate) fn new(routes: impl IntoIterator<Item = Route>) -> Result<Self, String> {
        let mut by_pattern: HashMap<String, usize> = HashMap::new();
        let mut table = Self {
            paths: matchit::Router::new(),
            places: Vec::new(),
        };
        for route in routes {
            let pattern = anonymous(route.path);
            let known = by_pattern.get(&pattern).copied();
            let at = known.unwrap_or(table.places.len());
            if known.is_none() {
                table
                    .paths
                    .insert(pattern.clone(), at)
                    .map_err(|error| format!("{}: {error}", route.path))?;
                table.places.push(Place::default());
                by_pattern.insert(pattern, at);
            }
            let place = &mut table.places[at];
            if place.routes.iter().any(|other| other.method == route.method) {
                return Err(format!("{} {} is declared twice", route.method.lower(), route.path));
            }
            place.routes.push(route);
        }
        Ok(table)
    }

    /// The route of a request. The path is matched after percent escapes are undone, as the original does: an escaped slash is a slash.
    pub(crate) fn find(&self, method: &http::Method, path: &str) -> Option<Found<'_>> {
        let method = Method::of(method)?;
        let path = unescape(path, false);
        let hit = self.paths.at(&path).ok()?;
        let route = self.places[*hit.value].routes.iter().find(|route| route.method == method)?;
        let values = hit.params.iter().map(|(_, value)| value.to_owned());
        Some(Found {
            route,
            path: route.path_parameters().into_iter().zip(values).collect(),
        })
    }
}

/// The path with its parameters numbered, so that routes of one path may name them differently.
fn anonymous(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    let mut n = 0;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(before);
        out.push_str(if name.starts_with('*') { "{*p" } else { "{p" });
        out.push_str(&n.to_string());
        out.push('}');
        n += 1;
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call::Call, error::Result, reply::Reply, route::Access};

    #[expect(clippy::unnecessary_wraps, reason = "a handler is of one type, whether it can fail or not")]
    fn answer(_: &mut Call<'_>) -> Result<Reply> {
        Ok(Reply::empty(http::StatusCode::OK))
    }

    fn route(method: Method, path: &'static str) -> Route {
        Route::new(method, path, Access::User, answer)
    }

    #[test]
    fn paths_are_exact_and_unescaped_first() {
        let table = Table::new([
            route(Method::Get, "/a/"),
            route(Method::Get, "/a/{id}"),
            route(Method::Delete, "/a/{name}"),
            route(Method::Get, "/a/{id}/full"),
            route(Method::Get, "/f/{*path}"),
        ])
        .unwrap();
        let find = |method: http::Method, path: &str| table.find(&method, path).map(|f| (f.route.path, f.path));
        assert_eq!(find(http::Method::GET, "/a/"), Some(("/a/", vec![])));
        assert_eq!(find(http::Method::GET, "/a"), None);
        assert_eq!(
            find(http::Method::DELETE, "/a/x%20y"),
            Some(("/a/{name}", vec![("name", "x y".into())]))
        );
        assert_eq!(
            find(http::Method::GET, "/a/..%2ffull"),
            Some(("/a/{id}/full", vec![("id", "..".into())]))
        );
        assert_eq!(
            find(http::Method::GET, "/f/b/c.ttf"),
            Some(("/f/{*path}", vec![("path", "b/c.ttf".into())]))
        );
        assert_eq!(find(http::Method::PUT, "/a/x"), None);
        assert_eq!(find(http::Method::OPTIONS, "/a/x"), None);
    }

    #[test]
    fn two_routes_of_one_path_and_method_are_refused() {
        assert!(Table::new([route(Method::Get, "/a/{id}"), route(Method::Get, "/a/{name}")]).is_err());
    }
}
