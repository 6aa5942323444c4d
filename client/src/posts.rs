//! What an answer to a POST says: the same frames that would come back over a WebSocket.

use common::{ClientFrame, ErrorCode, MessageId, Refusal, ServerFrame};
use serde::Deserialize;

/// An answer to a request.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// It is a problem document (RFC 9457): the server's own word.
    pub(crate) problem: bool,
    pub(crate) body: String,
}

impl Answer {
    /// A gateway that finds nobody behind it may find somebody in a moment.
    pub(crate) fn is_from_a_gateway(&self) -> bool {
        (502..=504).contains(&self.status) && !self.problem
    }
}

/// The frame that the answer to a posted `frame` stands for, if there is one.
pub(crate) fn frame(answer: &Answer, frame: &ClientFrame) -> Option<String> {
    match answer.status {
        204 => None,
        200..300 => Some(answer.body.clone()),
        _ => {
            let id = match frame {
                ClientFrame::Message(publish) => publish.id.as_ref().map(MessageId::as_str),
                _ => None,
            };
            Some(ServerFrame::Error(refusal(&answer.body).about(id)).encode())
        }
    }
}

/// What a problem document says; something on the way may answer as well, and in other words.
pub(crate) fn refusal(body: &str) -> Refusal {
    #[derive(Deserialize)]
    struct Problem {
        code: ErrorCode,
        detail: String,
        field: Option<String>,
        limit: Option<u64>,
    }
    match serde_json::from_str(body) {
        Ok(Problem { code, detail, field, limit }) => {
            Refusal { field, limit, ..Refusal::new(code, detail) }
        }
        Err(_) => Refusal::new(ErrorCode::Other, "something on the way refused it"),
    }
}

/// Whether trying again later would be refused just the same.
#[cfg(feature = "native")]
pub(crate) fn is_final(code: ErrorCode) -> bool {
    !matches!(
        code,
        ErrorCode::RateLimited
            | ErrorCode::TooManyConnections
            | ErrorCode::TooSlow
            | ErrorCode::ShuttingDown
            | ErrorCode::Unavailable
            | ErrorCode::Internal
            | ErrorCode::Other
    )
}

#[cfg(test)]
mod tests {
    use common::Publish;

    use super::*;
    use crate::testing::id;

    fn said() -> ClientFrame {
        ClientFrame::Message(Publish { id: Some(id("m1")), ..Publish::text("hi").unwrap() })
    }

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, problem: false, body: body.to_owned() }
    }

    #[test]
    fn a_problem_document_is_an_error_frame_that_names_the_message() {
        let body = r#"{"code":"too_long","detail":"long","field":"value","limit":9,"status":413}"#;
        let expected = Refusal {
            field: Some("value".to_owned()),
            limit: Some(9),
            id: Some("m1".to_owned()),
            ..Refusal::new(ErrorCode::TooLong, "long")
        };
        let frame = frame(&answer(413, body), &said());
        assert_eq!(frame, Some(ServerFrame::Error(expected).encode()));
    }

    #[test]
    fn what_something_on_the_way_says_is_a_refusal_of_another_code() {
        assert_eq!(refusal("<html>no</html>").code, ErrorCode::Other);
    }

    #[test]
    fn an_ack_is_the_frame_it_is_and_no_content_is_none() {
        assert_eq!(frame(&answer(200, "{…}"), &said()).as_deref(), Some("{…}"));
        assert_eq!(frame(&answer(204, ""), &ClientFrame::Typing { typing: true }), None);
    }

    #[test]
    fn only_a_gateway_without_a_word_of_the_server_is_asked_again() {
        assert!(answer(503, "").is_from_a_gateway());
        assert!(!answer(500, "").is_from_a_gateway());
        assert!(!Answer { problem: true, ..answer(503, "{}") }.is_from_a_gateway());
    }
}
