//! Forms with files.

use bytes::Bytes;
use futures_util::Stream;
use http::StatusCode;
use multer::{Constraints, Multipart, SizeLimit};

use crate::error::{Fault, Result};

/// Characters that a boundary may have (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;
/// Parts that a form may have.
const MAX_PARTS: usize = 64;
/// Bytes that a part without a file name may have: texts, such as metadata and workflows.
const MAX_TEXT: usize = 16 << 20;

/// One part of a form.
#[derive(Debug, Clone)]
pub struct Part {
    /// Name of its field.
    pub name: String,
    /// Name of its file; none if it is a plain text.
    pub file_name: Option<String>,
    /// Its content type, as the client says.
    pub content_type: Option<String>,
    /// What it holds.
    pub data: Bytes,
}

impl Part {
    /// Whether it is a file.
    pub fn is_file(&self) -> bool {
        self.file_name.is_some()
    }
}

fn malformed() -> Fault {
    Fault::bad_request("There was an error parsing the body")
}

fn too_large(limit: usize) -> Fault {
    Fault::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        format!("The body is too large: {} MiB at most", limit >> 20),
    )
}

/// Reads the parts of a form of so many bytes at most. A body that is no form has no parts.
pub(crate) async fn parts<S, E>(content_type: Option<&str>, body: S, limit: usize) -> Result<Vec<Part>>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
{
    let Some(content_type) = content_type.filter(|text| text.trim_start().to_ascii_lowercase().starts_with("multipart/form-data")) else {
        return Ok(Vec::new());
    };
    let boundary = multer::parse_boundary(content_type).map_err(|_| malformed())?;
    if boundary.is_empty() || boundary.len() > MAX_BOUNDARY {
        return Err(malformed());
    }
    let limits = Constraints::new().size_limit(SizeLimit::new().whole_stream(limit as u64));
    let mut form = Multipart::with_constraints(body, boundary, limits);
    let mut parts = Vec::new();
    let fault = |error: multer::Error| match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => too_large(limit),
        _ => malformed(),
    };
    while let Some(mut field) = form.next_field().await.map_err(fault)? {
        if parts.len() == MAX_PARTS {
            return Err(Fault::bad_request(format!("Too many parts: {MAX_PARTS} at most")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(str::to_owned);
        // As it was written, whether or not it is one.
        let content_type = field
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let mut data = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(fault)? {
            if file_name.is_none() && data.len() + chunk.len() > MAX_TEXT {
                return Err(too_large(MAX_TEXT));
            }
            data.extend_from_slice(&chunk);
        }
        parts.push(Part {
            name,
            file_name,
            content_type,
            data: data.into(),
        });
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(content_type: &str, body: &str, limit: usize) -> Result<Vec<Part>> {
        let chunk: Result<Bytes, std::io::Error> = Ok(Bytes::copy_from_slice(body.as_bytes()));
        parts(Some(content_type), futures_util::stream::iter([chunk]), limit).await
    }

    const FORM: &str = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\nxyz\r\n\
        --b\r\nContent-Disposition: form-data; name=\"metadata\"\r\n\r\n{}\r\n--b--\r\n";

    #[tokio::test]
    async fn files_and_texts_are_told_apart() {
        let parts = read("multipart/form-data; boundary=b", FORM, 4096).await.unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(
            (parts[0].is_file(), parts[0].content_type.as_deref(), &parts[0].data[..]),
            (true, Some("image/png"), &b"xyz"[..])
        );
        assert_eq!(
            (parts[1].is_file(), parts[1].name.as_str(), &parts[1].data[..]),
            (false, "metadata", &b"{}"[..])
        );
    }

    #[tokio::test]
    async fn limits_hold() {
        assert_eq!(
            read("multipart/form-data; boundary=b", FORM, 40).await.unwrap_err().status(),
            StatusCode::PAYLOAD_TOO_LARGE
        );
        let long = format!("multipart/form-data; boundary={}", "b".repeat(71));
        assert_eq!(read(&long, FORM, 4096).await.unwrap_err().status(), StatusCode::BAD_REQUEST);
        assert_eq!(
            read("multipart/form-data; boundary=c", FORM, 4096).await.unwrap_err().status(),
            StatusCode::BAD_REQUEST
        );
        let many = "--b\r\nContent-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n".repeat(MAX_PARTS + 1) + "--b--\r\n";
        assert_eq!(
            read("multipart/form-data; boundary=b", &many, 1 << 20).await.unwrap_err().status(),
            StatusCode::BAD_REQUEST
        );
    }

    #[tokio::test]
    async fn another_content_type_has_no_parts() {
        assert!(read("application/json", "{}", 10).await.unwrap().is_empty());
    }
}
