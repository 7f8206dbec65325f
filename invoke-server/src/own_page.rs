//! The page that is built into the program: its files, as they lie in `web/`.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::StatusCode;

use crate::{reply::Reply, ui::media_type};

/// Every file of `web/` but the documents, by its path there. A new file is one more name here.
macro_rules! files {
    ($($name:literal)*) => { &[$(($name, include_str!(concat!("../web/", $name)))),*] };
}

const FILES: &[(&str, &str)] = files! {
    "style.css"
    "js/account.js" "js/api.js" "js/app.js" "js/boards.js" "js/canvas.js" "js/dialogs.js" "js/dom.js" "js/enqueue.js"
    "js/facts.js" "js/form.js" "js/gallery.js" "js/generation.js" "js/graphs.js" "js/grid.js" "js/guides.js" "js/install.js"
    "js/keys.js" "js/loras.js" "js/main.js" "js/models.js" "js/password.js" "js/pictures.js" "js/preferences.js" "js/profile.js"
    "js/progress.js" "js/queue.js" "js/queuestate.js" "js/selected.js" "js/settings.js" "js/shell.js" "js/socket.js"
    "js/styles.js" "js/system.js" "js/users.js" "js/viewer.js" "js/workflowdoc.js" "js/workflowfields.js" "js/workflows.js"
};

const DOCUMENT: &str = include_str!("../web/index.html");

/// What the page may do: run and show what comes from this server and talk to it; nothing is inline, nothing comes from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; \
    frame-ancestors 'self'; base-uri 'self'; form-action 'self'";

/// The page, for the prefix under which it is served.
#[derive(Debug)]
pub(crate) struct OwnPage {
    document: String,
}

impl OwnPage {
    /// `base_path` is the prefix, empty or with a slash before and none after it.
    pub(crate) fn new(base_path: &str) -> Self {
        let document = DOCUMENT.replace(r#"<base href="/">"#, &format!(r#"<base href="{base_path}/">"#));
        Self { document }
    }

    /// The file of a path; the document for every other, since the page finds its way by itself. `known` is what the browser has
    /// already (`If-None-Match`).
    pub(crate) fn answer(&self, path: &str, known: Option<&str>) -> Reply {
        let file = path.strip_prefix('/').and_then(|path| FILES.iter().find(|(name, _)| *name == path));
        let Some((name, text)) = file else {
            return Reply::text(StatusCode::OK, "text/html; charset=utf-8", self.document.as_str())
                .header("content-security-policy", POLICY)
                .header("referrer-policy", "same-origin");
        };
        let tag = tag(text);
        let reply = if known.is_some_and(|known| known.contains(&tag)) {
            Reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            Reply::text(StatusCode::OK, media_type(name.as_ref()), *text)
        };
        // Asked for anew each time, but sent only when another version of the program has another file.
        reply.header("cache-control", "no-cache").header("etag", &format!("W/{tag}"))
    }
}

/// Differs between contents; the same for the same content, whatever the run.
fn tag(text: &str) -> String {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    format!("\"{:016x}\"", hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;
    use crate::reply::Content;

    fn text(reply: &Reply) -> String {
        match &reply.content {
            Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Content::File(..) => panic!("what is built in is no file"),
        }
    }

    fn names_below(folder: &Path, prefix: &str, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                names_below(&entry.path(), &format!("{name}/"), names);
            } else {
                names.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_built_in_and_small() {
        let mut there = BTreeSet::new();
        names_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("web"), "", &mut there);
        there.retain(|name| Path::new(name).extension().is_none_or(|extension| extension != "html"));
        let built_in: BTreeSet<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(built_in, there);
        for (name, text) in FILES {
            assert!(text.lines().count() < 400, "{name} has more than one subject");
        }
    }

    #[test]
    fn nothing_is_inline_and_nothing_comes_from_elsewhere() {
        assert!(!DOCUMENT.contains("<style") && !DOCUMENT.contains("style=") && !DOCUMENT.contains(" on"));
        assert_eq!(DOCUMENT.matches("<script").count(), 1);
        for (name, text) in FILES.iter().chain([&("index.html", DOCUMENT)]) {
            // The name of the vocabulary of drawings is no address that is asked.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(
                !text.contains("http://") && !text.contains("src=\"//") && !text.contains("@import"),
                "{name}"
            );
        }
    }

    #[test]
    fn the_document_knows_its_prefix_and_answers_every_other_path() {
        let page = OwnPage::new("/invoke");
        for path in ["/", "/anything", "/js/no.js", "/../js/main.js"] {
            let reply = page.answer(path, None);
            assert!(
                text(&reply).contains(r#"<base href="/invoke/">"#) && reply.has("content-security-policy"),
                "{path}"
            );
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let page = OwnPage::new("");
        let first = page.answer("/js/main.js", None);
        assert_eq!((first.status, first.media()), (StatusCode::OK, "text/javascript"));
        let tag = first.headers["etag"].to_str().unwrap();
        assert_eq!(page.answer("/js/main.js", Some(tag)).status, StatusCode::NOT_MODIFIED);
        assert_eq!(page.answer("/style.css", Some(tag)).status, StatusCode::OK);
    }
}
