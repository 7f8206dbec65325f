//! The web client, from a folder, or the page that is built in.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use http::{Method, StatusCode};

use crate::{error::Fault, input::unescape, own_page::OwnPage, reply::Reply};

/// Serves what no route serves.
#[derive(Debug)]
pub(crate) struct Ui {
    folder: Option<PathBuf>,
    own_page: OwnPage,
}

impl Ui {
    /// Serves the client in a folder, or our own page, which is told below which prefix we are served.
    pub(crate) fn new(folder: Option<PathBuf>, base_path: &str) -> Self {
        // The real folder, so that a link out of it can be told from a file in it.
        Self {
            folder: folder.and_then(|folder| folder.canonicalize().ok()),
            own_page: OwnPage::new(base_path),
        }
    }

    /// Answers a request that no route matches: a file, or the page that finds its own way from the address; nothing but reading is allowed.
    /// `known` is the request's `If-None-Match`.
    pub(crate) fn answer(&self, method: &Method, path: &str, query: &str, known: Option<&str>) -> Reply {
        if method != Method::GET && method != Method::HEAD {
            return Fault::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
                .into_reply()
                .header("allow", "GET, HEAD");
        }
        if path == "/" && !query.is_empty() {
            return Reply::empty(StatusCode::TEMPORARY_REDIRECT).header("location", "/");
        }
        let reply = match &self.folder {
            Some(folder) => from_folder(folder, path),
            None => self.own_page.answer(path, known),
        };
        if reply.has("etag") {
            return reply;
        }
        reply
            .header("cache-control", "max-age=0, no-cache, no-store, , must-revalidate")
            .header("pragma", "no-cache")
            .header("expires", "0")
    }
}

fn from_folder(folder: &Path, path: &str) -> Reply {
    let asked = inside(folder, &unescape(path, false)).and_then(|file| opened(&file));
    let reply = asked.or_else(|| opened(&folder.join("index.html")));
    reply.unwrap_or_else(|| Fault::not_found("Not Found").into_reply())
}

/// The file of a path, if it lies in the folder.
fn inside(folder: &Path, path: &str) -> Option<PathBuf> {
    let mut file = folder.to_owned();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if name.starts_with('.') || name.contains(['\\', ':', '\0']) {
            return None;
        }
        file.push(name);
    }
    let real = file.canonicalize().ok()?;
    (real.starts_with(folder) && real.is_file()).then_some(real)
}

fn opened(path: &Path) -> Option<Reply> {
    let file = File::open(path).ok()?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    Reply::file(StatusCode::OK, media_type(path), file, length).ok()
}

/// The content type of a file by its extension.
pub(crate) fn media_type(path: &Path) -> &'static str {
    let extension = path
        .extension()
        .and_then(|text| text.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    match extension.as_str() {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "txt" | "md" => "text/plain; charset=utf-8",
        "xml" => "text/xml; charset=utf-8",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "mp4" => "video/mp4",
        "zip" => "application/zip",
        "woff" => "font/woff",
        "woff2" => "font/woff2",
        "ttf" => "font/ttf",
        "otf" => "font/otf",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::Content;

    fn text(reply: &Reply) -> String {
        match &reply.content {
            Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Content::File(..) => panic!("a small file is read at once"),
        }
    }

    #[test]
    fn files_come_from_the_folder_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("secret"), "secret").unwrap();
        let web = dir.path().join("web");
        std::fs::create_dir_all(web.join("assets")).unwrap();
        std::fs::write(web.join("index.html"), "index").unwrap();
        std::fs::write(web.join("assets/a.js"), "script").unwrap();
        std::fs::write(web.join(".hidden"), "hidden").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(dir.path().join("secret"), web.join("link")).unwrap();
        let ui = Ui::new(Some(web), "");
        let script = ui.answer(&Method::GET, "/assets/a.js", "v=1", None);
        assert_eq!((text(&script).as_str(), script.media()), ("script", "text/javascript"));
        for path in [
            "/",
            "/boards/7",
            "/api/v1/no",
            "/../secret",
            "/%2e%2e/secret",
            "/link",
            "/.hidden",
            "/assets",
        ] {
            assert_eq!(text(&ui.answer(&Method::GET, path, "", None)), "index", "{path}");
        }
        assert_eq!(
            ui.answer(&Method::POST, "/api/v1/no", "", None).status,
            StatusCode::METHOD_NOT_ALLOWED
        );
        assert_eq!(ui.answer(&Method::GET, "/", "x=1", None).status, StatusCode::TEMPORARY_REDIRECT);
    }

    #[test]
    fn without_a_folder_the_page_that_is_built_in_is_served() {
        let ui = Ui::new(None, "/invoke");
        let page = ui.answer(&Method::GET, "/anything", "", None);
        assert!(page.status == StatusCode::OK && text(&page).contains(r#"<base href="/invoke/">"#) && page.has("pragma"));
        let script = ui.answer(&Method::GET, "/js/main.js", "", None);
        assert!(script.media() == "text/javascript" && !script.has("pragma"));
    }
}
