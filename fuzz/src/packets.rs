//! What stock Socket.IO clients send: Engine.IO payloads and Socket.IO packets with their attachments.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use socketio::{Message, Packet, decoder::Decoder, engine::packet};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    for read in packet::decode_payload(&text).flatten() {
        assert_eq!(packet::Packet::decode(&read.encode()), Ok(read));
    }
    if let Ok(packet) = Packet::decode(&text, 8)
        && let Ok(again) = Packet::decode(&packet.encode(), 8)
    {
        assert_eq!(again, packet);
    }
    // A line is a text message; one that begins with `b` is an attachment.
    let mut decoder = Decoder::new(8, 1024);
    for line in data.split(|byte| *byte == b'\n') {
        let message = match line.strip_prefix(b"b") {
            Some(bytes) => Message::Binary(Bytes::copy_from_slice(bytes)),
            None => Message::Text(String::from_utf8_lossy(line).into_owned().into()),
        };
        if decoder.add(message).is_err() {
            break;
        }
    }
});
