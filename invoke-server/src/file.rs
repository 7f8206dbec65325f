//! Files as answers: whole, in part, or not at all if the client has them already.

use std::{
    io::{Seek, SeekFrom},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, StatusCode, header};
use invoke_core::{domain::Error, files::StoredFile};

use crate::{
    error::Result,
    reply::{Content, Reply},
};

/// What tells one state of a file from another.
struct Validators {
    etag: String,
    modified: SystemTime,
}

impl Validators {
    fn of(file: &StoredFile) -> Self {
        let millis = u64::try_from(file.modified().millis()).unwrap_or(0);
        Self {
            etag: format!("\"{:x}-{millis:x}\"", file.len()),
            // What a header can say: whole seconds.
            modified: UNIX_EPOCH + Duration::from_secs(millis / 1000),
        }
    }

    /// Whether the client has this state already.
    fn are_known(&self, request: &HeaderMap) -> bool {
        match text(request, &header::IF_NONE_MATCH) {
            Some(tags) => tags
                .split(',')
                .map(str::trim)
                .any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.etag),
            None => date(request, &header::IF_MODIFIED_SINCE).is_some_and(|since| self.modified <= since),
        }
    }

    /// Whether a part may be sent: the client says nothing of what it has the rest of, or it has the rest of this.
    fn allow_parts(&self, request: &HeaderMap) -> bool {
        match text(request, &header::IF_RANGE) {
            None => true,
            Some(tag) if tag.starts_with('"') => tag == self.etag,
            Some(_) => date(request, &header::IF_RANGE) == Some(self.modified),
        }
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    text(headers, name).and_then(|text| httpdate::parse_http_date(text).ok())
}

/// Which part of a file is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    /// All of it; also if several parts are asked for, or the question cannot be read: both may be answered so.
    Whole,
    /// From the first to the last of these bytes.
    Bytes(u64, u64),
    /// One that it does not have.
    None,
}

fn part(range: Option<&str>, length: u64) -> Part {
    let Some(spec) = range
        .and_then(|text| text.strip_prefix("bytes="))
        .filter(|spec| !spec.contains(','))
    else {
        return Part::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Part::Whole;
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return Part::Whole;
    }
    // More digits than a number has name a byte beyond any file.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first, last) {
        ("", "") => Part::Whole,
        ("", last) => match number(last).min(length) {
            0 => Part::None,
            n => Part::Bytes(length - n, length - 1),
        },
        (first, _) if number(first) >= length => Part::None,
        (first, "") => Part::Bytes(number(first), length - 1),
        (first, last) if number(last) < number(first) => Part::Whole,
        (first, last) => Part::Bytes(number(first), number(last).min(length - 1)),
    }
}

/// The answer that sends a file to a client that asked with these headers.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn sent(request: &HeaderMap, media: &str, mut file: StoredFile) -> Result<Reply> {
    let (length, validators) = (file.len(), Validators::of(&file));
    let mark = |reply: Reply| {
        reply
            .header("etag", &validators.etag)
            .header("last-modified", &httpdate::fmt_http_date(validators.modified))
            .header("accept-ranges", "bytes")
    };
    if validators.are_known(request) {
        return Ok(mark(Reply::empty(StatusCode::NOT_MODIFIED)));
    }
    let range = text(request, &header::RANGE).filter(|_| validators.allow_parts(request));
    let reply = match part(range, length) {
        Part::Whole => Reply::file(StatusCode::OK, media, file, length),
        Part::None => Ok(Reply::empty(StatusCode::RANGE_NOT_SATISFIABLE).header("content-range", &format!("bytes */{length}"))),
        Part::Bytes(first, last) => file
            .seek(SeekFrom::Start(first))
            .and_then(|_| Reply::file(StatusCode::PARTIAL_CONTENT, media, file, last - first + 1))
            .map(|reply| reply.header("content-range", &format!("bytes {first}-{last}/{length}"))),
    };
    reply.map(mark).map_err(|error| Error::from(error).into())
}

/// The same answer without its content, which its headers still describe.
pub(crate) fn head_of(mut reply: Reply) -> Reply {
    if let Content::Bytes(bytes) = &reply.content
        && reply.status == StatusCode::OK
    {
        let length = bytes.len().to_string();
        reply = reply.header("content-length", &length);
    }
    reply.content = Content::Bytes(bytes::Bytes::new());
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_as_the_standard_says() {
        for (range, expected) in [
            ("bytes=0-0", Part::Bytes(0, 0)),
            ("bytes=2-", Part::Bytes(2, 9)),
            ("bytes=2-5", Part::Bytes(2, 5)),
            ("bytes=2-99", Part::Bytes(2, 9)),
            ("bytes=-3", Part::Bytes(7, 9)),
            ("bytes=-99", Part::Bytes(0, 9)),
            ("bytes=2-99999999999999999999999", Part::Bytes(2, 9)),
            ("bytes=-0", Part::None),
            ("bytes=10-", Part::None),
            ("bytes=99999999999999999999999-", Part::None),
            ("bytes=5-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("lines=1-2", Part::Whole),
            ("", Part::Whole),
        ] {
            assert_eq!(part(Some(range), 10), expected, "{range}");
        }
        assert_eq!(part(None, 10), Part::Whole);
    }
}
