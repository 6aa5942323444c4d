//! Limits of the wire, the same for the page, for programs and on the server.

/// The longest frame either side sends, in bytes. A longer one ends the connection with close code
/// 1009 (RFC 6455 section 7.4.1).
pub const FRAME_BYTES: usize = 64 * 1024;

/// The longest `value` of a message, in bytes of its JSON encoding, quotes and escapes included.
pub const VALUE_BYTES: usize = 16 * 1024;

/// How deep arrays and objects of a `value` may be nested. Every parser on the way reads that much.
pub const VALUE_DEPTH: usize = 32;

/// The longest name of a member, a room, an event or a message id, in Unicode characters.
pub const NAME_CHARS: usize = 64;

/// How many ids an audience may list.
pub const AUDIENCE_IDS: usize = 100;

/// How many sessions may be in a room's call: each sends all it has to each other.
pub const CALL_SESSIONS: usize = 6;

/// The longest `data` of a `signalling` frame, in bytes of its JSON encoding: an offer of a call with two cameras is
/// 10 KiB.
pub const SIGNALLING_BYTES: usize = 16 * 1024;

/// With how many emoji one member may react to a message.
pub const EMOJI_EACH: usize = 8;

/// The longest of them, in Unicode characters: a family of four is seven.
pub const EMOJI_CHARS: usize = 16;

/// How many reactions a message may have: each is one emoji by one member.
pub const REACTIONS: usize = 100;
