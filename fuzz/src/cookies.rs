//! The cookie of somebody, changed: three bytes an edit, two for where, one for what stands there then. Whoever
//! shows it is that somebody, or nobody; never somebody else.
#![no_main]

use std::sync::OnceLock;

use axum::http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use server::identity::{Identity, Visitor};

fn sound() -> &'static (Identity, Visitor, Vec<u8>) {
    static SOUND: OnceLock<(Identity, Visitor, Vec<u8>)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let (identity, ada) = (Identity::ephemeral(), Visitor::guest());
        let cookie = identity.set_cookie(&HeaderMap::new(), &ada);
        let pair = cookie.as_bytes().split(|byte| *byte == b';').next().unwrap().to_vec();
        (identity, ada, [b"theme=dark; ".to_vec(), pair].concat())
    })
}

fuzz_target!(|data: &[u8]| {
    let (identity, ada, sound) = sound();
    let mut cookies = sound.clone();
    for edit in data.chunks_exact(3) {
        let at = (usize::from(edit[0]) << 8 | usize::from(edit[1])) % cookies.len();
        cookies[at] = edit[2];
    }
    let Ok(value) = HeaderValue::from_bytes(&cookies) else { return };
    let headers = HeaderMap::from_iter([(header::COOKIE, value)]);
    let visitor = identity.visitor(&headers).map(|(visitor, _)| visitor);
    assert!(visitor.is_none_or(|visitor| visitor == *ada));
});
