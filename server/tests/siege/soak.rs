//! Everything at once, for a while, against the bound that docs/operating.md states: `HUBBUB_SOAK` seconds, 120 unless
//! told.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinSet,
    time::{sleep, sleep_until, timeout},
};

use super::{
    Castle,
    attack::{connect, get, post, serves_others, upgrade},
};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";
const CONNECTIONS: u64 = 600;
/// Connections of an attacker at one time.
const EACH: usize = 25;
const ATTACKERS: u8 = 20;

/// After how long a session of Socket.IO that nobody came back to holds no place any more, and some more.
const FORGOTTEN: Duration = Duration::from_secs(20);

/// What the process may take, in KiB, for so many connections: as docs/operating.md has it.
const MEMORY_KIB: u64 = (64 + 128 + 64 + 16 + 16) * 1024 + CONNECTIONS * 160;

/// What an attacker sends on one connection, and whether it reads the answer.
fn attack(rng: &mut fastrand::Rng) -> (Vec<u8>, bool) {
    let room = format!("r{}", rng.u32(..10_000));
    let long = "x".repeat(rng.usize(1..16_000));
    let frame = |text: &str| {
        let length = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&[0x81, 0xfe, length[0], length[1], 0, 0, 0, 0][..], text.as_bytes()].concat()
    };
    let said = format!(r#"{{"type":"message","params":{{"value":"{long}"}}}}"#);
    let request = match rng.u8(..14) {
        0 => get("/api/rooms/lobby/messages?after=0&limit=1000").into_bytes(),
        1 => get("/rooms/lobby").into_bytes(),
        2 => get("/api/rooms/lobby/events?after=0").into_bytes(),
        3 => get("/api/rooms/lobby/frames?after=0&limit=256").into_bytes(),
        4 => upgrade("/ws?room=lobby&after=0").into_bytes(),
        5 => [upgrade("/ws?room=lobby").into_bytes(), frame(&said).repeat(20)].concat(),
        6 => [upgrade("/ws?room=lobby").into_bytes(), frame(&said)[..said.len() / 2].to_vec()]
            .concat(),
        7 => post(&format!("/api/rooms/{room}/messages"), &format!(r#"{{"value":"{long}"}}"#))
            .into_bytes(),
        8 => {
            let head = "POST /api/rooms/lobby/messages HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2000000\r\n\r\n";
            [head.as_bytes(), "x".repeat(rng.usize(1..1_900_000)).as_bytes()].concat()
        }
        9 => get(POLLING).into_bytes().repeat(20),
        10 => b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ".to_vec(),
        11 => (0..rng.usize(1..5_000)).map(|_| rng.u8(..)).collect(),
        12 => get(&format!("/api/rooms/{room}/frames?wait=30")).into_bytes(),
        _ => get("/api/rooms/lobby/messages?wait=30&after=0").into_bytes().repeat(5),
    };
    (request, rng.bool())
}

async fn besiege(address: String, from: u8, until: Instant) -> u64 {
    let mut rng = fastrand::Rng::with_seed(from.into());
    let mut under_way = JoinSet::new();
    let mut count = 0;
    while Instant::now() < until {
        if under_way.len() >= EACH {
            under_way.join_next().await;
        }
        let ((request, reads), address) = (attack(&mut rng), address.clone());
        let stays = Duration::from_millis(rng.u64(10..3_000));
        count += 1;
        under_way.spawn(async move {
            let Ok(mut stream) = connect(&address, from).await else { return };
            let _ = timeout(stays, async {
                let _ = stream.write_all(&request).await;
                let mut bytes = [0; 4096];
                while reads && stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
                std::future::pending::<()>().await;
            })
            .await;
        });
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_stays_within_the_bound_and_neighbours_are_served() {
    let seconds = std::env::var("HUBBUB_SOAK").map_or(120, |text| text.parse().unwrap());
    let connections = CONNECTIONS.to_string();
    let castle = Castle::new(&["--connections", &connections, "--log", "error"]).await;
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut attackers = JoinSet::new();
    for from in 1..=ATTACKERS {
        attackers.spawn(besiege(castle.hubbub.address.clone(), from, until));
    }
    let (mut descriptors, mut threads) = (0, 0);
    while Instant::now() < until {
        descriptors = descriptors.max(castle.hubbub.descriptors());
        threads = threads.max(castle.hubbub.memory("Threads"));
        sleep(Duration::from_millis(200)).await;
    }
    let attacks: u64 = attackers.join_all().await.into_iter().sum();
    let peak = castle.hubbub.memory("VmHWM");
    println!(
        "{seconds} s, {attacks} attacks: {peak} of {MEMORY_KIB} KiB, {descriptors} descriptors, {threads} threads"
    );
    assert!(peak < MEMORY_KIB, "{peak} KiB");
    assert!(descriptors < CONNECTIONS as usize + 64, "{descriptors} descriptors");
    // What is not its own, its code, stays.
    let own = peak - castle.hubbub.memory("RssFile");
    let left = castle.own(own * 3 / 4).await;
    println!("{left} of {own} KiB are left");
    assert!(left <= own * 3 / 4, "{left} of {own} KiB are left");
    // Sessions that nobody comes back to are missed after fifteen seconds, each by itself; memory may be back before.
    sleep_until((until + FORGOTTEN).into()).await;
    serves_others(&castle.hubbub.address).await;
    castle.neighbour_was_served().await;
}
