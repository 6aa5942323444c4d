//! Lines of an import: what is taken of one is kept, and reads as the message that it was.
#![no_main]

use common::Offset;
use hub::broker::{Broker, Part, Read, Retention, memory::MemoryBroker};
use libfuzzer_sys::fuzz_target;
use server::transfer::draft;

fuzz_target!(|line: &str| {
    let Ok(draft) = draft(line) else { return };
    let room = draft.envelope.room.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let broker = MemoryBroker::new(Retention::default());
        let id = draft.envelope.id.clone();
        broker.append(vec![draft]).await.unwrap();
        let part = Part::After(Offset(0));
        let read = Read { part, records: 1, bytes: usize::MAX, at_least: Offset(0) };
        let page = broker.read(&room, read).await.unwrap();
        // One that is too old may be gone already; none is there that can't be read.
        for record in page.records {
            assert_eq!(
                record.message().map(|message| (message.room, message.id)),
                Some((room.clone(), id.clone()))
            );
        }
    });
});
