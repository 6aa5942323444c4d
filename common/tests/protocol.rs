//! Every example in docs/protocol.md is what it says it is, to the byte.
#![allow(clippy::unwrap_used)]

use common::{ClientFrame, ServerFrame};

const DOC: &str = include_str!("../../docs/protocol.md");

/// The lines of all code blocks that are marked `json {side}`.
fn examples(side: &str) -> Vec<&'static str> {
    let mark = format!("```json {side}\n");
    let blocks = DOC.split(mark.as_str()).skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines()).collect()
}

#[test]
fn every_example_to_the_server_is_read_and_written_alike() {
    let examples = examples("client");
    assert_eq!(examples.len(), 12);
    for example in examples {
        let frame = ClientFrame::parse(example).expect(example);
        assert_eq!(frame.encode(), example);
    }
}

#[test]
fn every_example_from_the_server_is_read_and_written_alike() {
    let examples = examples("server");
    for kind in [
        "hello",
        "message",
        "ack",
        "members",
        "typing",
        "idle",
        "direct",
        "call",
        "signalling",
        "beat",
        "error",
        "bye",
    ] {
        let mark = format!(r#"{{"type":"{kind}""#);
        assert!(examples.iter().any(|example| example.starts_with(&mark)), "no example of {kind}");
    }
    for example in examples {
        let frame = ServerFrame::parse(example).expect(example).expect("a known type");
        assert_eq!(frame.encode(), example);
    }
}

#[test]
fn the_page_names_the_limits_in_force() {
    use common::limits::{AUDIENCE_IDS, FRAME_BYTES, NAME_CHARS, SIGNALLING_BYTES, VALUE_BYTES};
    for limit in [
        format!("at most {VALUE_BYTES} bytes"),
        format!("at most {SIGNALLING_BYTES} bytes as JSON;"),
        format!("at most {FRAME_BYTES} bytes"),
        format!("1 to {NAME_CHARS} characters"),
        format!("at most {AUDIENCE_IDS};"),
    ] {
        assert!(DOC.contains(&limit), "{limit}");
    }
}
