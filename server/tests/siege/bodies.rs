//! Whoever sends half of something costs next to nothing, and for a while.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, task::JoinSet, time::sleep};

use super::{
    Castle,
    attack::{connect, serves_others, upgrade},
};

#[tokio::test]
async fn half_sent_bodies_and_messages_are_bounded() {
    let castle = Castle::new(&["--publish-rate", "0"]).await;
    let long = "x".repeat(2 * 1024 * 1024);
    let body = format!(
        "POST /api/rooms/tea/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{}",
        long.len(),
        &long[..long.len() - 1]
    );
    // A frame of 65535 bytes of which one is missing.
    let frame = [&[0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0][..], &long.as_bytes()[..65_534]].concat();
    let message = [upgrade("/ws?room=tea").as_bytes(), &frame].concat();
    for (what, count, bytes) in [("bodies", 300, body.into_bytes()), ("messages", 500, message)] {
        let before = castle.hubbub.memory("VmRSS");
        let mut streams = JoinSet::new();
        for n in 0..count {
            let (address, bytes) = (castle.hubbub.address.clone(), bytes.clone());
            streams.spawn(async move {
                let mut stream = connect(&address, 1 + (n % 90) as u8).await.unwrap();
                // Whoever is refused is not read to the end.
                let _ =
                    tokio::time::timeout(Duration::from_secs(3), stream.write_all(&bytes)).await;
                stream
            });
        }
        let streams = streams.join_all().await;
        sleep(Duration::from_millis(500)).await;
        let more = castle.hubbub.memory("VmRSS").saturating_sub(before);
        println!("{count} half-sent {what} take {more} KiB");
        // 64 MiB of bodies are let in; while one grows it is there twice.
        assert!(more < 160 * 1024, "{count} half-sent {what} take {more} KiB");
        serves_others(&castle.hubbub.address).await;
        drop(streams);
    }
}
