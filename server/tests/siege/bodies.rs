//! Whoever sends half of something costs next to nothing, and for a while.

use tokio::io::AsyncWriteExt;

use super::{
    Castle,
    attack::{crowd, serves_others, upgrade},
};

#[tokio::test]
async fn half_sent_bodies_are_bounded() {
    let long = "x".repeat(2 * 1024 * 1024);
    let body = format!(
        "POST /api/rooms/tea/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
         content-length: {}\r\n\r\n{}",
        long.len(),
        &long[..long.len() - 1]
    );
    let castle = Castle::new(&["--publish-rate", "0"]).await;
    let before = castle.calm().await;
    let bodies = crowd(&castle.hubbub.address, 300, body.as_bytes(), None).await;
    let more = castle.most(&before).await;
    println!("300 half-sent bodies take {more} KiB");
    // 64 MiB of bodies are let in, and no byte of them is there twice.
    assert!((48 * 1024..128 * 1024).contains(&more), "{more} KiB");
    serves_others(&castle.hubbub.address).await;
    drop(bodies);
    castle.neighbour_was_served().await;
}

#[tokio::test]
async fn half_sent_messages_are_bounded() {
    // A frame of 65535 bytes of which one is missing.
    let frame = [&[0x81, 0xfe, 0xff, 0xff, 0, 0, 0, 0][..], &[b'x'; 65_534]].concat();
    let castle = Castle::new(&["--publish-rate", "0"]).await;
    let address = &castle.hubbub.address;
    let mut sockets = crowd(address, 500, upgrade("/ws?room=tea").as_bytes(), Some("101")).await;
    let before = castle.calm().await;
    for socket in &mut sockets {
        socket.write_all(&frame).await.unwrap();
    }
    let more = castle.most(&before).await;
    println!("500 half-sent messages take {more} KiB");
    // They are in memory, and no more than they.
    assert!((16 * 1024..80 * 1024).contains(&more), "{more} KiB");
    serves_others(address).await;
    castle.neighbour_was_served().await;
}
