//! What crosses a connection: frames, names, positions.
#![no_main]

use common::{
    After, ClientFrame, Epoch, EventName, MemberName, MessageId, Position, RoomName, ServerFrame,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // What was read is written, and reads back as the same.
    if let Ok(frame) = ClientFrame::parse(text) {
        assert_eq!(ClientFrame::parse(&frame.encode()).as_ref(), Ok(&frame));
    }
    if let Ok(Some(frame)) = ServerFrame::parse(text) {
        let again = ServerFrame::parse(&frame.encode()).unwrap().unwrap();
        assert_eq!(again.encode(), frame.encode());
    }
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse(), Ok(position));
    }
    let _ = text.parse::<After>();
    let _ = (Epoch::parse(text), EventName::parse(text), MessageId::parse(text));
    for name in [MemberName::parse(text).map(String::from), RoomName::parse(text).map(String::from)]
    {
        if let Ok(name) = name {
            assert_eq!(MemberName::parse(&name).map(String::from), Ok(name));
        }
    }
});
