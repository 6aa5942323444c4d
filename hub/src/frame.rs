//! A frame, encoded once for all who get it, in as many shapes as they need.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use common::StateKind;

/// How many [faces](Frame::face) a frame can have.
pub const FACES: usize = 2;

/// A frame on its way to many.
pub struct Frame {
    bytes: Bytes,
    faces: [OnceLock<Bytes>; FACES],
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.bytes))
    }
}

impl Frame {
    /// A frame of this text.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, faces: Default::default() }
    }

    /// The text; cloning shares it.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The frame in the shape that some transport writes it in: made by the first who asks for face `n`,
    /// shared by all others, and gone with the frame.
    ///
    /// # Panics
    ///
    /// When `n` is not below [`FACES`].
    pub fn face(&self, n: usize, make: impl FnOnce(&Bytes) -> Bytes) -> Bytes {
        self.faces[n].get_or_init(|| make(&self.bytes)).clone()
    }
}

/// What is told of one kind of state.
#[derive(Debug)]
pub struct StateFrame {
    /// Of which.
    pub kind: StateKind,
    /// The frame.
    pub frame: Frame,
}

impl StateFrame {
    pub(crate) fn new(kind: StateKind, roster: common::Roster) -> Arc<Self> {
        let bytes = common::ServerFrame::State(kind, roster).encode().into();
        Arc::new(Self { kind, frame: Frame::new(bytes) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_face_is_made_once() {
        let frame = Frame::new(Bytes::from_static(b"hi"));
        assert_eq!(frame.face(0, |text| [text, &b"!"[..]].concat().into()), "hi!");
        assert_eq!(frame.face(0, |_| unreachable!("made already")), "hi!");
        assert_eq!(frame.face(1, Bytes::clone), "hi");
        assert_eq!(format!("{frame:?}"), "hi");
    }
}
