//! The site inside the binary: wasm, script, style, icons.
//!
//! What a page loads it asks for in a directory that is named after all of it (`pkg/VERSION/`). So a browser that has it asks
//! for nothing again, and mixes nothing that it has kept of two versions. Elsewhere files are revalidated (`no-cache` and a
//! strong `ETag`).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::LazyLock,
};

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use rust_embed::{EmbeddedFile, RustEmbed};

/// Built by `cargo xtask build` or `cargo leptos build`; in debug it is read from disk.
#[derive(RustEmbed)]
#[folder = "../target/site"]
#[allow_missing = true]
struct Site;

/// Encodings the build may have left beside a file, best first.
const ENCODINGS: [(&str, &str); 2] = [("br", "br"), ("gzip", "gz")];

/// Whether the binary was built with its site.
pub fn is_there() -> bool {
    Site::get("pkg/hubbub.wasm").is_some()
}

/// The directory of what a page loads. In debug the files are read from disk and may change while this runs, so there it
/// has no version.
pub(crate) static PKG: LazyLock<String> = LazyLock::new(|| {
    if cfg!(debug_assertions) {
        return "pkg".to_owned();
    }
    let mut hasher = DefaultHasher::new();
    for path in Site::iter() {
        let hash = Site::get(&path).map(|file| file.metadata.sha256_hash());
        (path.as_ref(), hash).hash(&mut hasher);
    }
    format!("pkg/{:016x}", hasher.finish())
});

/// Where a file really is, and whether whoever asks for it by `path` need never ask again. A page of another version asks
/// for its own files: it gets these. What has an address of its own beside them, the icon, is there as well.
fn find(path: &str) -> (String, bool) {
    let is_version =
        |dir: &str| dir.len() == 16 && dir.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(rest) = path.strip_prefix("pkg/") else { return (path.to_owned(), false) };
    let versioned = rest.split_once('/').filter(|(dir, _)| is_version(dir));
    let (dir, file) = versioned.map_or((None, rest), |(dir, file)| (Some(dir), file));
    let packed = format!("pkg/{file}");
    let is_beside = Site::get(&packed).is_none() && Site::get(file).is_some();
    let is_for_good = dir.is_some() && PKG.strip_prefix("pkg/") == dir;
    (if is_beside { file.to_owned() } else { packed }, is_for_good)
}

/// The file at `path` (without the leading `/`), in the best encoding the client takes; `None` if
/// there is none.
pub fn serve(method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
    let is_hidden = path.split('/').any(|part| part.starts_with('.'));
    if is_hidden || (method != Method::GET && method != Method::HEAD) {
        return None;
    }
    let (path, is_for_good) = find(path);
    let plain = Site::get(&path)?;
    let (encoding, file) = ENCODINGS
        .into_iter()
        .filter(|(name, _)| accepts(headers, name))
        .find_map(|(name, end)| Some((Some(name), Site::get(&format!("{path}.{end}"))?)))
        .unwrap_or((None, plain));
    let etag = etag(&file);
    let known = headers.typed_get::<IfNoneMatch>();
    let mut response = if known.is_some_and(|known| !known.precondition_passes(&etag)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(file.data));
        response.headers_mut().insert(header::CONTENT_TYPE, content_type(&path));
        if let Some(encoding) = encoding {
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
        }
        response
    };
    let headers = response.headers_mut();
    headers.typed_insert(etag);
    // RFC 8246: not even a reload asks again.
    let keep = if is_for_good { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    Some(response)
}

/// Strong (RFC 9110 section 8.8.3): of the bytes as they are sent, so each encoding has its own.
fn etag(file: &EmbeddedFile) -> ETag {
    let hash = file.metadata.sha256_hash();
    let hex: String = hash[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"").parse().expect("hexadecimal digits are a tag")
}

/// Whether `Accept-Encoding` lists `encoding` with a weight above 0 (RFC 9110 section 12.5.3).
pub(crate) fn accepts(headers: &HeaderMap, encoding: &str) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let refused = parts
                .filter_map(|part| part.strip_prefix("q="))
                .any(|q| q.parse::<f32>().is_ok_and(|q| q <= 0.0));
            name.eq_ignore_ascii_case(encoding) && !refused
        })
}

fn content_type(path: &str) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let text = kind.type_() == mime_guess::mime::TEXT;
    let charset = if text { "; charset=utf-8" } else { "" };
    HeaderValue::from_str(&format!("{}{charset}", kind.essence_str()))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_used_only_where_the_client_takes_it() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(value))])
        };
        assert!(accepts(&headers("gzip, deflate, br"), "br"));
        assert!(accepts(&headers("BR;q=0.5"), "br"));
        assert!(!accepts(&headers("gzip, br;q=0"), "br"));
        assert!(!accepts(&headers("brotli"), "br"));
        assert!(!accepts(&HeaderMap::new(), "br"));
    }

    #[test]
    fn a_version_is_a_directory_and_nothing_else() {
        let other = "pkg/0123456789abcdef/hubbub.js";
        assert_eq!(find(other), ("pkg/hubbub.js".to_owned(), false));
        for beside in ["pkg/0123456789abcdef/favicon.svg", "pkg/favicon.svg"] {
            assert_eq!(find(beside), ("favicon.svg".to_owned(), false));
        }
        for path in ["pkg/hubbub.js", "pkg/0123/hubbub.js", "favicon.svg"] {
            assert_eq!(find(path), (path.to_owned(), false));
        }
    }

    #[test]
    fn browsers_compile_wasm_while_it_streams_only_with_its_own_type() {
        assert_eq!(content_type("pkg/hubbub.wasm"), "application/wasm");
        assert_eq!(content_type("pkg/hubbub.js"), "text/javascript; charset=utf-8");
        assert_eq!(content_type("pkg/hubbub.css"), "text/css; charset=utf-8");
    }
}
