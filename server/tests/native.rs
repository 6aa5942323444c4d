//! The client's own shell on tokio, against the real server, by every transport.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{process::Stdio, time::Duration};

use client::{
    Change, Transport,
    native::{Room, join},
};
use common::{After, Publish, StateKind};
use support::{TestServer, process::Hubbub};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn hear(room: &mut Room) -> String {
    let message = timeout(PATIENCE, room.next()).await.expect("nothing is heard").unwrap();
    message.value.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_program_hears_and_is_heard_by_every_transport() {
    let server = TestServer::start().await;
    for transport in Transport::ALL {
        let origin = server.url("");
        let mut ada = join(&origin, "tea").name("Ada").transport(transport).await.unwrap();
        let mut bob = join(&origin, "tea").name("Bob").await.unwrap();
        let said = ada.say("hi").await.unwrap();
        bob.say("hello").await.unwrap();
        assert_eq!((hear(&mut bob).await, hear(&mut bob).await), ("hi".into(), "hello".into()));
        assert_eq!((hear(&mut ada).await, hear(&mut ada).await), ("hi".into(), "hello".into()));
        assert!(ada.position().offset > said, "{transport:?}");
        assert_eq!(ada.hello().member.name.as_str(), "Ada");
        let refusal = ada.say("").await.unwrap_err();
        assert!(refusal.to_string().contains("`value` is empty"), "{refusal}");
        ada.leave().await;
        bob.leave().await;
    }
}

#[tokio::test]
async fn a_guest_goes_by_the_name_it_took_by_every_transport() {
    let server = TestServer::start().await;
    for transport in Transport::ALL {
        let mut ada = join(&server.url(""), "tea").transport(transport).await.unwrap();
        let name = common::MemberName::parse("Ada").unwrap();
        ada.tell(client::Event::Rename(name)).await;
        for text in ["one", "two"] {
            ada.say(text).await.unwrap();
            let said = timeout(PATIENCE, ada.next()).await.unwrap().unwrap();
            assert_eq!((said.from.name.as_str(), said.value.as_str()), ("Ada", Some(text)));
        }
        ada.leave().await;
    }
}

#[tokio::test]
async fn whoever_looks_away_is_listed_as_idle_by_every_transport() {
    let server = TestServer::start().await;
    for transport in Transport::ALL {
        let room = format!("idle-{}", transport.word());
        let mut bob = join(&server.url(""), &room).name("Bob").await.unwrap();
        let ada = join(&server.url(""), &room).transport(transport).await.unwrap();
        for idle in [true, false] {
            ada.tell(client::Event::Idle(idle)).await;
            let told = async {
                loop {
                    if let Some(Change::Roster(StateKind::Idle, members)) = bob.event().await
                        && members.count == usize::from(idle)
                    {
                        break;
                    }
                }
            };
            timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{transport:?} {idle}"));
        }
    }
}

#[tokio::test]
async fn a_program_is_told_who_is_here() {
    let server = TestServer::start().await;
    let mut ada = join(&server.url(""), "tea").name("Ada").await.unwrap();
    let _bob = join(&server.url(""), "tea").name("Bob").await.unwrap();
    let here = async {
        loop {
            if let Some(Change::Roster(StateKind::Members, members)) = ada.event().await
                && members.count == 2
                && members.members.iter().any(|member| member.name.as_str() == "Bob")
            {
                break;
            }
        }
    };
    timeout(PATIENCE, here).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_says_and_hears_each_thing_once_while_the_server_is_killed() {
    const SAID: usize = 100;
    let dir = std::env::temp_dir().join(format!("hubbub-native-{}", uuid::Uuid::new_v4()));
    let mut server = Hubbub::start(dir.clone(), "127.0.0.1:0").await;
    let origin = format!("http://{}", server.address);
    for transport in Transport::ALL {
        let name = format!("room-{}", transport.word());
        let mut reader =
            join(&origin, &name).after(After::Oldest).transport(transport).await.unwrap();
        let writer = join(&origin, &name).transport(transport).listens(false).await.unwrap();
        let speaker = writer.speaker();
        let saying = tokio::spawn(async move {
            for n in 0..SAID {
                speaker.publish(Publish::text(&n.to_string()).unwrap()).await.unwrap();
            }
        });
        let mut heard = Vec::new();
        while heard.len() < SAID {
            heard.push(hear(&mut reader).await);
            if heard.len() == SAID / 3 {
                server = server.kill_and_start().await;
            }
        }
        saying.await.unwrap();
        assert_eq!(heard, (0..SAID).map(|n| n.to_string()).collect::<Vec<_>>(), "{transport:?}");
        drop(writer);
    }
    drop(server);
    std::fs::remove_dir_all(dir).unwrap();
}

const EXAMPLE: &str = include_str!("../../client/examples/hello.rs");

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let readme = include_str!("../../README.md");
    let shown = readme.split("```rust\n").nth(1).unwrap().split("```").next().unwrap();
    let code = EXAMPLE.split_once("clippy::print_stdout)]\n\n").unwrap().1;
    assert_eq!(shown, code);
}

#[tokio::test]
async fn the_example_in_the_readme_runs() {
    let server = TestServer::start().await;
    let example =
        std::path::Path::new(env!("CARGO_BIN_EXE_hubbub")).with_file_name("examples/hello");
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--package", "client", "--all-features", "--example", "hello"]);
    assert!(build.status().await.unwrap().success());
    let mut example = Command::new(example)
        .arg(server.url(""))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(example.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    assert_eq!(line.as_deref(), Some(r#"crab: "hi from Rust""#));
}
