//! Whoever comes in numbers takes no place from others.

use std::time::{Duration, Instant};

use futures_util::SinkExt;
use tokio::{task::JoinSet, time::timeout};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use super::{
    Castle,
    attack::{PATIENCE, ask, connect, get, post, serves_others},
};

/// Until then no session is given up, and makes room for another: a client has so long to come back.
const GIVEN_UP: Duration = Duration::from_secs(15);
const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// Opens a Socket.IO session that joins `room`, says this as well, and never asks for anything again.
async fn abandon(stream: &mut tokio::net::TcpStream, room: &str, says: &str) -> bool {
    let Ok((200, body)) = ask(stream, &get(POLLING)).await else { return false };
    let sid = body.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let packets = format!(r#"40{{"room":"{room}"}}{says}"#);
    ask(stream, &post(&format!("{POLLING}&sid={sid}"), &packets)).await.is_ok()
}

#[tokio::test]
async fn sessions_that_are_opened_for_nothing_shut_nobody_out() {
    let castle = Castle::new(&[]).await;
    let begun = Instant::now();
    let mut attackers = JoinSet::new();
    for n in 0..4 {
        let address = castle.hubbub.address.clone();
        attackers.spawn(async move {
            let mut stream = connect(&address, 7).await.unwrap();
            let (mut tried, mut opened) = (0, 0);
            while tried < 5_000 && begun.elapsed() < GIVEN_UP {
                opened += usize::from(abandon(&mut stream, &format!("r{n}-{tried}"), "").await);
                tried += 1;
            }
            (tried, opened)
        });
    }
    let all = attackers.join_all().await;
    let (tried, opened) = all.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{opened} sessions of {tried} were opened, in {:?}", begun.elapsed());
    assert!(tried > 2_000, "too slow to tell: {tried}");
    assert!(opened <= 2_000, "{opened}");
    serves_others(&castle.hubbub.address).await;
    castle.neighbour_was_served().await;
}

#[tokio::test]
async fn sessions_that_nobody_polls_hold_no_text() {
    let castle = Castle::new(&["--publish-rate", "0"]).await;
    let address = castle.hubbub.address.clone();
    let before = castle.calm().await;
    let mut stream = connect(&address, 7).await.unwrap();
    for _ in 0..1_500 {
        assert!(abandon(&mut stream, "lobby", "").await);
    }
    let value = "x".repeat(16_000);
    for _ in 0..200 {
        let said = post("/api/rooms/lobby/messages", &format!(r#"{{"value":"{value}"}}"#));
        assert_eq!(ask(&mut stream, &said).await.unwrap().0, 200);
    }
    let more = castle.most(&before).await;
    println!("1500 sessions that nobody polls take {more} KiB");
    assert!(more < 64 * 1024, "{more} KiB");
    serves_others(&address).await;
    castle.neighbour_was_served().await;
}

#[tokio::test]
async fn a_packet_that_waits_for_its_bytes_takes_no_more_than_its_text() {
    let castle = Castle::new(&[]).await;
    let address = castle.hubbub.address.clone();
    let before = castle.calm().await;
    let mut stream = connect(&address, 7).await.unwrap();
    // Read, each number is thirty times as large.
    let packet = format!("\u{1e}451-[\"a\"{}]", ",0".repeat(40_000));
    for _ in 0..100 {
        assert!(abandon(&mut stream, "lobby", &packet).await);
    }
    let more = castle.most(&before).await;
    println!("100 packets that wait take {more} KiB");
    assert!(more < 64 * 1024, "{more} KiB");
    serves_others(&address).await;
    castle.neighbour_was_served().await;
}

#[tokio::test]
async fn what_socket_io_has_no_use_for_counts_like_all_else() {
    let castle = Castle::new(&[]).await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", castle.hubbub.address);
    for nothing in ["431[0]", "40/elsewhere,", "41/elsewhere,"] {
        let (mut flood, _) = connect_async(&url).await.unwrap();
        flood.send(Message::text("40")).await.unwrap();
        let closed = async { while flood.send(Message::text(nothing)).await.is_ok() {} };
        timeout(PATIENCE, closed).await.expect(nothing);
    }
    castle.neighbour_was_served().await;
}
