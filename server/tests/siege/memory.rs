//! Whoever does not read what it has asked for costs next to nothing.

use std::time::{Duration, Instant};

use tokio::{io::AsyncWriteExt, task::JoinSet, time::sleep};

use super::{
    Castle,
    attack::{PATIENCE, ask, connect, get, post, serves_others, upgrade},
};

const MIB: u64 = 1024;

/// Fills a room with as much as is kept of one.
async fn fill(address: &str, room: &str) {
    let value = "x".repeat(16_000);
    let mut stream = connect(address, 100).await.unwrap();
    for _ in 0..8 {
        let messages: Vec<_> = (0..60).map(|_| format!(r#"{{"value":"{value}"}}"#)).collect();
        let request =
            post(&format!("/api/rooms/{room}/messages"), &format!("[{}]", messages.join(",")));
        assert_eq!(ask(&mut stream, &request).await.unwrap().0, 200);
    }
}

/// `count` connections send `request` and read nothing; what that costs at the most, and what of it is left when
/// they are gone, in KiB.
async fn unread(castle: &Castle, count: usize, request: &str) -> (u64, u64) {
    let before = castle.hubbub.memory("VmRSS");
    let mut streams = JoinSet::new();
    for n in 0..count {
        let (address, request) = (castle.hubbub.address.clone(), request.to_owned());
        streams.spawn(async move {
            let mut stream = connect(&address, 1 + (n % 90) as u8).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream
        });
    }
    let streams = streams.join_all().await;
    let mut most = 0;
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(3) {
        most = most.max(castle.hubbub.memory("VmRSS"));
        sleep(Duration::from_millis(20)).await;
    }
    serves_others(&castle.hubbub.address).await;
    drop(streams);
    let gone = Instant::now();
    let mut left = castle.hubbub.memory("VmRSS");
    while left > before + 16 * MIB && gone.elapsed() < PATIENCE {
        sleep(Duration::from_millis(100)).await;
        left = castle.hubbub.memory("VmRSS");
    }
    (most.saturating_sub(before), left.saturating_sub(before))
}

#[tokio::test]
async fn answers_that_are_not_read_are_bounded_and_their_memory_is_given_back() {
    let castle = Castle::new(&["--publish-rate", "0"]).await;
    fill(&castle.hubbub.address, "full").await;
    for (count, request) in [
        (200, get("/api/rooms/full/messages?after=0&limit=1000")),
        (200, get("/api/rooms/full/messages?limit=1000")),
        (200, get("/api/rooms/full/frames?after=0&limit=256")),
        (200, get("/rooms/full")),
        (500, get("/api/rooms/full/events?after=0")),
        (500, upgrade("/ws?room=full&after=0")),
    ] {
        let (most, left) = unread(&castle, count, &request).await;
        let path = request.split(' ').nth(1).unwrap();
        println!("{count} x {path}: {most} KiB at the most, {left} KiB left");
        assert!(most < 96 * MIB, "{count} unread {path} take {most} KiB");
        assert!(left < 32 * MIB, "{count} unread {path} leave {left} KiB");
    }
}
