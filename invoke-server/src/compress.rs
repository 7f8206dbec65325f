//! Making texts smaller on their way out.

use std::io::Write;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header};

use crate::reply::{Content, Reply};

/// Bytes below which it is not worth it.
const SMALLEST: usize = 1000;

fn is_text(media: &str) -> bool {
    const KINDS: &[&str] = &[
        "application/json",
        "application/javascript",
        "application/xml",
        "application/xhtml+xml",
        "application/manifest+json",
        "image/svg+xml",
    ];
    (media.starts_with("text/") && media != "text/event-stream") || KINDS.contains(&media)
}

/// Whether a client takes gzip.
pub(crate) fn accepts_gzip(request: &HeaderMap) -> bool {
    let accepted = request
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    accepted.flat_map(|text| text.split(',')).any(|one| {
        let mut pieces = one.split(';').map(str::trim);
        let named = pieces.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        named
            && !pieces.any(|piece| {
                piece
                    .replace(' ', "")
                    .strip_prefix("q=")
                    .is_some_and(|q| q.parse::<f32>() == Ok(0.0))
            })
    })
}

/// The level for an answer of so many bytes: the configured one, but a quicker one for long answers. From level 4 to 9 a list gets a few
/// hundredths smaller and takes several times as long.
fn level_for(length: usize, configured: u32) -> u32 {
    match length {
        0..0x2000 => configured,
        0x2000..0x4_0000 => configured.min(4),
        _ => configured.min(1),
    }
}

/// Compresses bytes; level 1 to 9.
pub(crate) fn gzip(bytes: &[u8], level: u32) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(level.min(9)));
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("writing to memory does not fail")
        .into()
}

/// Compresses an answer if it is a text, long enough, and the client takes it. Level 0 never does.
pub(crate) fn compress(mut reply: Reply, request: &HeaderMap, level: u32) -> Reply {
    let Content::Bytes(bytes) = &reply.content else { return reply };
    if level == 0 || bytes.len() < SMALLEST || !is_text(reply.media()) || reply.headers.contains_key(header::CONTENT_ENCODING) {
        return reply;
    }
    reply.headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Content::Bytes(bytes) = &reply.content else { return reply };
    if accepts_gzip(request) {
        reply.content = Content::Bytes(gzip(bytes, level_for(bytes.len(), level)));
        reply.headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    reply
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn compressed(media: &str, length: usize, accept: &'static str) -> bool {
        let request = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
        let reply = compress(Reply::bytes(StatusCode::OK, media, vec![b'x'; length]), &request, 6);
        reply.headers.contains_key(header::CONTENT_ENCODING)
    }

    #[test]
    fn long_answers_are_compressed_quickly() {
        assert_eq!([1000, 10_000, 10_000_000].map(|length| level_for(length, 9)), [9, 4, 1]);
        assert_eq!([1000, 10_000, 10_000_000].map(|length| level_for(length, 2)), [2, 2, 1]);
    }

    #[test]
    fn long_texts_alone_are_compressed() {
        assert!(compressed("application/json", 1000, "deflate, gzip"));
        assert!(compressed("text/html; charset=utf-8", 5000, "gzip;q=0.5"));
        assert!(!compressed("application/json", 999, "gzip"));
        assert!(!compressed("image/png", 5000, "gzip"));
        assert!(!compressed("application/json", 5000, "gzip;q=0"));
        assert!(!compressed("application/json", 5000, "br"));
    }
}
