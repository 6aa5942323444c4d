//! The lab: bytes at the socket, the race from a shell, and its page.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::process::Output;

use lab::{Figures, Race};
use serde_json::Value;
use support::TestServer;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

async fn counted(server: &TestServer, lab: &str) -> Value {
    let answer = reqwest::get(server.url(&format!("/api/lab/{lab}"))).await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Makes a request on a connection that stays, and reads its whole answer; how many bytes each had.
async fn ask(stream: &mut TcpStream, path: &str) -> (u64, u64) {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        stream.read_buf(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return (request.len() as u64, answer.len() as u64);
        }
    }
}

#[tokio::test]
async fn what_goes_over_a_connection_is_counted_to_the_byte_for_whom_each_request_names() {
    let server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let (up, down) = ask(&mut stream, "/api/rooms/tea/messages?lab=a1").await;
    ask(&mut stream, "/api/rooms/tea/messages").await;
    let (up_again, down_again) = ask(&mut stream, "/api/rooms?lab=a1").await;
    let (up_other, down_other) = ask(&mut stream, "/api/openapi.json?lab=b2").await;
    let a = serde_json::json!({"requests": 2, "up": up + up_again, "down": down + down_again});
    let b = serde_json::json!({"requests": 1, "up": up_other, "down": down_other});
    assert_eq!(counted(&server, "a1").await, a);
    assert_eq!(counted(&server, "b2").await, b);
}

#[tokio::test]
async fn a_name_that_is_none_is_refused_and_one_that_nobody_used_is_not_found() {
    let server = TestServer::start().await;
    for (path, status, code) in [
        ("/api/rooms?lab=a-b", 400, "invalid_field"),
        ("/api/rooms?lab=0123456789abcdef0", 400, "invalid_field"),
        ("/api/lab/a%20b", 400, "invalid_field"),
        ("/api/lab/nobody", 404, "not_found"),
    ] {
        let answer = reqwest::get(server.url(path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(problem["code"], code, "{path}");
    }
}

async fn race(server: &TestServer, args: &[&str]) -> Output {
    let url = server.url("");
    let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
    command.args(["lab", "--url", &url]).args(args).output().await.unwrap()
}

#[tokio::test]
async fn from_a_shell_all_roads_bring_back_each_message_once() {
    let server = TestServer::start().await;
    let output = race(&server, &["-n", "12", "--rate", "20", "--poll", "100", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    let race: Race = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(race.outcomes.len(), 4);
    for outcome in &race.outcomes {
        let of = Figures::of(outcome, &race.plan);
        assert_eq!((of.sent, of.lost, of.doubled), (12, 0, 0), "{of:?}");
        assert!(of.p50 <= of.p95 && of.p95 <= of.p99.map(|p99| p99.value()), "{of:?}");
        // At the least each text went up and came down.
        assert!(of.up.unwrap() > 1_200 && of.down.unwrap() > 1_200, "{of:?}");
    }
    let table = race_table(&server).await;
    assert_eq!(table.lines().count(), 2, "{table}");
}

async fn race_table(server: &TestServer) -> String {
    let output =
        race(server, &["--roads", "websocket", "-n", "2", "--rate", "20", "--together"]).await;
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn what_can_not_be_raced_is_said() {
    let server = TestServer::start().await;
    for (args, said) in [
        (&["--count", "0"][..], "0 is not in 1..=2000"),
        (&["--roads", "webrtc"], "webrtc is for browsers"),
        (&["--roads", "pigeon"], "a road is poll, longpoll, sse or websocket"),
        (&["--url", "https://example.org"], "http://"),
        (&["--url", "http://127.0.0.1:1"], "can't reach http://127.0.0.1:1"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hubbub"));
        let output = command.arg("lab").args(args).output().await.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && error.contains(said), "{args:?}: {error}");
    }
    drop(server);
}

#[tokio::test]
async fn the_page_shows_a_recorded_run_and_says_what_of_its_address_can_not_be() {
    let server = TestServer::start().await;
    let answer = reqwest::get(server.url("/lab?n=99999&with=ab12")).await.unwrap();
    let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("cross-origin-opener-policy"), "same-origin");
    assert_eq!(header("cross-origin-embedder-policy"), "require-corp");
    let page = answer.text().await.unwrap();
    assert!(page.contains("This is a recorded run"));
    assert!(page.contains("“n” can’t be “99999”; it is “2000” here."));
    assert_eq!(page.matches("data-road=\"websocket\" d=\"M").count(), 2 + 1 + 1);
    // Only the lab is alone in its process.
    let home = reqwest::get(server.url("/")).await.unwrap();
    assert!(!home.headers().contains_key("cross-origin-opener-policy"));
}
