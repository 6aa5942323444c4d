//! The real binary on a disk that is really full, or may not be written: a small file system in
//! memory, mounted where only this test sees it.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used)]

use std::{path::PathBuf, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

/// Runs `script` with `$DATA` in a mount namespace of its own, where it may mount; the server takes
/// the place of the shell.
fn hubbub(script: &str) -> (Child, PathBuf) {
    let data = std::env::temp_dir().join(format!("hubbub-disk-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&data).unwrap();
    let serve = r#"exec "$HUBBUB" --listen 127.0.0.1:0 --publish-rate 0 --data "$DATA""#;
    let process = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-e", "-c"])
        .arg(format!("{script}\n{serve}"))
        .env("DATA", &data)
        .env("HUBBUB", env!("CARGO_BIN_EXE_hubbub"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    (process, data)
}

/// Where it listens.
async fn address(process: &mut Child) -> String {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = timeout(Duration::from_secs(10), lines.next_line()).await.unwrap().unwrap();
    let line = line.expect("the server says where it listens");
    line.strip_prefix("listening on http://").unwrap().to_owned()
}

/// The frame in a leg; null for a ping.
fn read_frame(leg: Option<Result<Message, Error>>) -> Value {
    match leg {
        Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
        Some(Ok(Message::Ping(_))) => Value::Null,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_full_disk_is_told_with_an_error_loses_nothing_and_is_got_over() {
    let (mut process, data) = hubbub(
        "mount -t tmpfs -o size=2m tmpfs \"$DATA\"\nhead -c 1000000 /dev/zero > \"$DATA/ballast\"",
    );
    let address = address(&mut process).await;

    let mut request = format!("ws://{address}/ws?room=full&after=0").into_client_request().unwrap();
    let protocol = HeaderValue::from_static("hubbub.v1");
    request.headers_mut().insert("sec-websocket-protocol", protocol);
    let (mut socket, _) = connect_async(request.clone()).await.unwrap();
    let mut said = 0;
    // Says the next thing, and returns how it was answered.
    let mut say = async || {
        said += 1;
        let id = format!("m{said}");
        let frame = json!({"type": "message", "params": {"value": "x".repeat(9_000), "id": id}});
        socket.send(Message::text(frame.to_string())).await.unwrap();
        loop {
            let leg = timeout(Duration::from_secs(10), socket.next()).await.unwrap();
            let answer = read_frame(leg);
            let about = answer["params"]["id"].as_str() == Some(&id);
            if about && answer["type"] != "message" {
                return (id, answer);
            }
        }
    };
    let mut acked = Vec::new();
    loop {
        let (id, answer) = say().await;
        if answer["type"] == "error" {
            assert_eq!(answer["params"]["code"], "unavailable");
            assert_eq!(answer["params"]["message"], "the disk of the server is full");
            break;
        }
        acked.push(id);
        assert!(acked.len() < 1_000, "a megabyte holds more than it can");
    }
    assert!(!acked.is_empty(), "there was room at first");
    // The operator makes room; on the same connection it goes on.
    let inside = format!("/proc/{}/root{}/ballast", process.id().unwrap(), data.display());
    std::fs::remove_file(inside).unwrap();
    let (id, answer) = say().await;
    assert_eq!(answer["type"], "ack", "{answer}");
    acked.push(id);

    let (mut reader, _) = connect_async(request).await.unwrap();
    let mut read = Vec::new();
    while read.len() < acked.len() {
        let leg = timeout(Duration::from_secs(10), reader.next()).await.unwrap();
        let frame = read_frame(leg);
        if frame["type"] == "message" {
            read.push(frame["params"]["id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(read, acked);
}

#[tokio::test]
async fn a_directory_that_can_not_be_written_is_refused_at_start_by_name() {
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$DATA\"";
    for fill in [
        // Never used before, and used before.
        "",
        "\"$HUBBUB\" import --data \"$DATA\" < /dev/null 2> /dev/null",
    ] {
        let (mut process, data) =
            hubbub(&format!("{mount}\n{fill}\nmount -o remount,ro \"$DATA\""));
        let status = timeout(Duration::from_secs(10), process.wait()).await.unwrap().unwrap();
        let mut said = String::new();
        process.stderr.take().unwrap().read_to_string(&mut said).await.unwrap();
        assert_eq!(status.code(), Some(1), "{said}");
        let expected = format!("can't use the data directory {}", data.display());
        assert!(said.contains(&expected) && said.contains("Read-only"), "{said}");
    }
}

#[tokio::test]
async fn nothing_is_written_outside_of_the_data_directory() {
    // Wherever SQLite would put files of its own.
    let (mut process, data) = hubbub(
        "mount --bind \"$DATA\" /mnt\nexport DATA=/mnt\nunset TMPDIR SQLITE_TMPDIR\n\
         for dir in /tmp /var/tmp; do\n\
         mount --bind $dir $dir\nmount -o remount,bind,ro $dir\ndone\ncd /var/tmp",
    );
    let url = format!("http://{}/api/rooms/tea/messages", address(&mut process).await);
    let http = reqwest::Client::new();
    // An array is taken whole or not at all: pages are put aside as they were before it. With ids in no order it
    // changes more of them than SQLite holds in memory unless it is told to.
    for _ in 0..60 {
        let one = |_| json!({"value": "x", "id": uuid::Uuid::new_v4().to_string()});
        let array = Value::from_iter((0..100).map(one)).to_string();
        let said = http.post(&url).header("content-type", "application/json").body(array);
        let answer = said.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    assert!(data.join("hubbub.db").exists());
}
