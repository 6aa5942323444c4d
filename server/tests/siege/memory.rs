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
        let most = castle.most(&before).await;
        serves_others(&castle.hubbub.address).await;
        drop(streams);
        let left = castle.own(before.own + 8 * MIB).await.saturating_sub(before.own);
        let path = request.split(' ').nth(1).unwrap();
        println!("{count} x {path}: {most} KiB at the most, {left} KiB left");
        assert!(most < 96 * MIB, "{count} unread {path} take {most} KiB");
        assert!(left < 32 * MIB, "{count} unread {path} leave {left} KiB");
        castle.neighbour_was_served().await;
    }
}

/// Opens a session that polls once.
async fn session(stream: &mut tokio::net::TcpStream) -> String {
    let (status, body) = ask(stream, &get("/api/rooms/lobby/frames")).await.unwrap();
    assert_eq!(status, 200, "{body}");
    body.split("\"session\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn signalling_that_nobody_takes_is_bounded_and_let_go_of() {
    let castle = Castle::new(&["--publish-rate", "0"]).await;
    let address = castle.hubbub.address.clone();
    let before = castle.calm().await;
    // Small as text, and a hundred times as large once it is parsed.
    let data = format!("[{}0]", r#"{"":0},"#.repeat(2_285));
    let (mut taken, mut refused) = (0, 0);
    for from in 1..=10 {
        let mut stream = connect(&address, from).await.unwrap();
        let sender = session(&mut stream).await;
        for _ in 0..12 {
            let to = session(&mut stream).await;
            let to = to.split('.').next().unwrap();
            let frame =
                format!(r#"{{"type":"signalling","params":{{"to":"{to}","data":{data}}}}}"#);
            let request = post(&format!("/api/rooms/lobby/frames?session={sender}"), &frame);
            for _ in 0..64 {
                match ask(&mut stream, &request).await.unwrap() {
                    (204, _) => taken += 1,
                    (429, _) => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
        }
    }
    let most = castle.most(&before).await;
    println!("{taken} frames that nobody takes, and {refused} refused: {most} KiB at the most");
    // Of an address there may be 2 MiB, and 16 of all; as sessions are given up there is room for a few more.
    assert!(taken < refused, "{taken} were taken, {refused} refused");
    assert!(most < 48 * MIB, "{most} KiB");
    serves_others(&address).await;
    // Those that never came back are gone with their sessions, after twenty seconds.
    castle.own(before.own + 8 * MIB).await;
    let left = castle.own(before.own + 8 * MIB).await.saturating_sub(before.own);
    println!("{left} KiB are left");
    assert!(left < 8 * MIB, "{left} KiB are left");
    castle.neighbour_was_served().await;
}

/// The longest queue of bytes that the system holds for a connection of this server (`proc_net_tcp`, `tx_queue`).
fn longest_queue(address: &str) -> u64 {
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let queues = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let local = fields.next()?.ends_with(&format!(":{port:04X}"));
        let queues = fields.nth(2)?.split_once(':')?.0;
        local.then(|| u64::from_str_radix(queues, 16).unwrap())
    });
    queues.max().unwrap_or_default()
}

#[tokio::test]
async fn what_a_client_does_not_read_does_not_pile_up_in_the_system_either() {
    let castle = Castle::new(&["--publish-rate", "0"]).await;
    let address = castle.hubbub.address.clone();
    fill(&address, "full").await;
    for (status, request) in
        [("200", get("/api/rooms/full/events?after=0")), ("101", upgrade("/ws?room=full&after=0"))]
    {
        let _streams = crowd(&address, 100, request.as_bytes(), Some(status)).await;
        castle.settle().await;
        let longest = longest_queue(&address);
        println!("100 x {}: at most {longest} bytes wait", request.split(' ').nth(1).unwrap());
        assert!(longest > 0, "nothing waits");
        assert!(longest < 512 * 1024, "{longest} bytes wait");
    }
    castle.neighbour_was_served().await;
}
