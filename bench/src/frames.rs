//! As much of a WebSocket's reading side as counting takes ([RFC 6455](https://www.rfc-editor.org/rfc/rfc6455), section 5.2):
//! where frames begin and end, which are texts, and which want an answer. And as much of an event stream.
//!
//! No payload is kept but a ping's: ten thousand clients must cost less than the server they measure.

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// The beginning of a frame, until its length is known.
    head: Vec<u8>,
    /// How much of the payload is still to come.
    rest: u64,
    /// What came of a ping's payload, while one is read.
    ping: Option<Vec<u8>>,
    /// Only texts that begin like this count.
    prefix: &'static [u8],
    /// How much of that a text has, while it is not decided.
    matched: Option<usize>,
}

/// What a chunk held.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Texts that began, of those that count.
    pub(crate) texts: u64,
    /// Frames to send back: pongs.
    pub(crate) answer: Vec<u8>,
    /// The server closes.
    pub(crate) closed: bool,
}

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;

impl Frames {
    /// Counts texts that begin with `prefix` only.
    pub(crate) fn of(prefix: &'static [u8]) -> Self {
        Self { prefix, ..Self::default() }
    }

    /// Whether the text that is read is one that counts; told once.
    fn counts(&mut self, bytes: &[u8]) -> bool {
        let Some(matched) = self.matched.take() else { return false };
        let rest = &self.prefix[matched..];
        let here = rest.len().min(bytes.len());
        if rest[..here] == bytes[..here] && here < rest.len() {
            self.matched = Some(matched + here);
        }
        here == rest.len() && rest == &bytes[..here]
    }

    /// Takes the next bytes, cut anywhere.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        loop {
            let here = usize::try_from(self.rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
            seen.texts += u64::from(self.counts(&bytes[..here]));
            if let Some(ping) = &mut self.ping {
                ping.extend_from_slice(&bytes[..here]);
            }
            self.rest -= here as u64;
            bytes = &bytes[here..];
            if self.rest > 0 {
                return seen;
            }
            if let Some(payload) = self.ping.take() {
                seen.answer.extend(pong(&payload));
            }
            let Some((&byte, after)) = bytes.split_first() else { return seen };
            self.head.push(byte);
            bytes = after;
            if let Some(length) = length(&self.head) {
                match self.head[0] & 0x0f {
                    TEXT => self.matched = Some(0),
                    CLOSE => seen.closed = true,
                    PING => self.ping = Some(Vec::new()),
                    _ => {}
                }
                self.rest = length;
                self.head.clear();
            }
        }
    }
}

/// Counts messages in an event stream.
#[derive(Debug, Default)]
pub(crate) struct Events(usize);

impl Events {
    /// Takes the next bytes, cut anywhere.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Seen {
        const LINE: &[u8] = b"event: message\n";
        let mut seen = Seen::default();
        for byte in bytes {
            self.0 = match *byte == LINE[self.0] {
                true => self.0 + 1,
                false => usize::from(*byte == LINE[0]),
            };
            if self.0 == LINE.len() {
                (self.0, seen.texts) = (0, seen.texts + 1);
            }
        }
        seen
    }
}

/// The payload's length, if the head of the frame is whole. A server does not mask.
fn length(head: &[u8]) -> Option<u64> {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    match (head.get(1)? & 0x7f, head.len()) {
        (short @ 0..126, _) => Some(u64::from(short)),
        (126, 4) => Some(number(&head[2..])),
        (127, 10) => Some(number(&head[2..])),
        _ => None,
    }
}

/// A text of at most 65,535 bytes, masked, as a client must, with a mask that changes nothing.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u8::try_from(text.len()) {
        Ok(length @ 0..126) => frame.push(0x80 | length),
        _ => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(text.as_bytes());
    frame
}

/// Masked, as a client must, with a mask that changes nothing. A ping's payload is at most 125 bytes.
fn pong(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap_or(0).min(125);
    let mut frame = vec![0x8a, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(&payload[..usize::from(length)]);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_however_they_are_cut() {
        let mut stream = vec![0x81, 2, b'h', b'i', 0x89, 1, b'p', 0x81, 126, 1, 0];
        stream.extend([b'x'; 256]);
        stream.extend([0x88, 0]);
        for size in 1..stream.len() {
            let (mut frames, mut all) = (Frames::default(), Seen::default());
            for chunk in stream.chunks(size) {
                let seen = frames.feed(chunk);
                all.texts += seen.texts;
                all.answer.extend(seen.answer);
                all.closed |= seen.closed;
            }
            let pong = vec![0x8a, 0x81, 0, 0, 0, 0, b'p'];
            assert_eq!(all, Seen { texts: 2, answer: pong, closed: true });
        }
    }

    #[test]
    fn only_texts_that_begin_as_asked_are_counted_however_they_are_cut() {
        let mut stream = Vec::new();
        for text in ["42[\"message\",1]", "42[\"mess\",1]", "2", "42[\"message\",2]"] {
            stream.extend([0x81, text.len() as u8]);
            stream.extend_from_slice(text.as_bytes());
        }
        for size in 1..stream.len() {
            let mut frames = Frames::of(b"42[\"message\"");
            let texts: u64 = stream.chunks(size).map(|chunk| frames.feed(chunk).texts).sum();
            assert_eq!(texts, 2, "cut after {size}");
        }
    }

    #[test]
    fn messages_of_an_event_stream_are_counted_however_they_are_cut() {
        let stream = b"event: hello\ndata: 1\n\nid: 1\nevent: message\ndata: eevent: message\n\n";
        for size in 1..stream.len() {
            let mut events = Events::default();
            let texts: u64 = stream.chunks(size).map(|chunk| events.feed(chunk).texts).sum();
            assert_eq!(texts, 2, "cut after {size}");
        }
    }
}
