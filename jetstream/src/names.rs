//! Names as tokens of a subject, and back.
//!
//! A letter of ASCII, a digit, `-` and `_` are as they are; every other byte of the UTF-8 is `=` and two hexadecimal digits.
//! So no two names share a token, none has a dot, star or space, and one can be read in what `nats sub` prints.

use std::fmt::Write;

/// `name` as one token.
pub(crate) fn encode(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            token.push(char::from(byte));
        } else {
            // Writing to a text never fails.
            let _ = write!(token, "={byte:02X}");
        }
    }
    token
}

/// The name that `token` is of; `None` if none is.
pub(crate) fn decode(token: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(token.len());
    let mut rest = token.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'=' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return None };
        let digit = |digit: u8| char::from(digit).to_digit(16);
        bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
        rest = after;
    }
    String::from_utf8(bytes).ok().filter(|name| encode(name) == token)
}

/// Which of so many shards the room of this name is in; to be the same in every version, for it is where the room's messages are.
pub(crate) fn shard_of(room: &str, shards: usize) -> usize {
    if shards == 1 {
        return 0;
    }
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, room.as_bytes()).as_u64_pair().0;
    (hash % shards as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_can_be_read() {
        assert_eq!(encode("team-tea_2"), "team-tea_2");
        assert_eq!(encode("a.b *>=차"), "a=2Eb=20=2A=3E=3D=EC=B0=A8");
        for token in ["=", "=2", "=2e", "=ZZ", "=FF", "a.b", "=41"] {
            assert_eq!(decode(token), None, "{token}");
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in ".*") {
            let token = encode(&name);
            prop_assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)));
            prop_assert_eq!(decode(&token), Some(name));
        }
    }
}
