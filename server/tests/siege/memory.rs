//! Whoever does not read what it has asked for costs next to nothing.

use super::{
    Castle,
    attack::{ask, connect, crowd, get, post, serves_others, upgrade},
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

#[tokio::test]
async fn answers_that_are_not_read_are_bounded_and_their_memory_is_given_back() {
    for (count, status, request) in [
        (200, "200", get("/api/rooms/full/messages?after=0&limit=1000")),
        (200, "200", get("/api/rooms/full/messages?limit=1000")),
        (200, "200", get("/api/rooms/full/frames?after=0&limit=256")),
        (200, "200", get("/rooms/full")),
        (500, "200", get("/api/rooms/full/events?after=0")),
        (500, "101", upgrade("/ws?room=full&after=0")),
    ] {
        let castle = Castle::new(&["--publish-rate", "0"]).await;
        fill(&castle.hubbub.address, "full").await;
        let before = castle.calm().await;
        let streams = crowd(&castle.hubbub.address, count, request.as_bytes(), Some(status)).await;
        let most = castle.peak().await.saturating_sub(before);
        serves_others(&castle.hubbub.address).await;
        drop(streams);
        let left = castle.given_back(before + 8 * MIB).await.saturating_sub(before);
        let path = request.split(' ').nth(1).unwrap();
        println!("{count} x {path}: {most} KiB at the most, {left} KiB left");
        assert!(most < 96 * MIB, "{count} unread {path} take {most} KiB");
        assert!(left < 32 * MIB, "{count} unread {path} leave {left} KiB");
        castle.neighbour_was_served().await;
    }
}
