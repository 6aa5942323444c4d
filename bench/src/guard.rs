//! `cargo xtask bench --guard`: how many instructions the inner steps take, held against what they took before.
//!
//! Times differ between runs, counts hardly: callgrind counts the instructions of each step done so often and twice as
//! often, and what it took once is the difference. The rule to keep: a step here is the hub's own code and nothing else, no
//! socket and no disk.

use std::{collections::BTreeMap, hint::black_box, process::Command, sync::Arc};

use bytes::Bytes;
use common::{
    After, Member, MemberId, MemberName, Message, MessageId, Offset, Publish, RoomName, SessionId,
};
use futures_util::FutureExt;
use hub::{
    Burst, Draft, Hub, Limits, Outlet, Pushed, Reader, Who,
    broker::{Retention, memory::MemoryBroker},
};
use tokio::task::yield_now;

use crate::{
    Result,
    report::{Report, count, figure},
};

/// What they took, in instructions, when it was written down last.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guard.json");
/// More than this off is told.
const TOLERANCE: f64 = 0.05;
/// How often a step is done the first time.
const TIMES: usize = 100;
/// In-memory readers of one room.
const READERS: usize = 1_000;
/// Messages that are read at once.
const MESSAGES: usize = 100;
const TEXT: &str = "I think we should leave at eight, if nobody minds the early bus.";

/// The steps, and how many of what is counted each of them does.
const STEPS: [(&str, usize); 5] = [
    ("encode a message", 1),
    ("publish a message", 1),
    ("read a message", MESSAGES),
    ("push a message to a reader", READERS),
    ("wake a reader for a message", READERS),
];

/// Counts all steps, and compares them; `update` writes them down instead.
pub(crate) fn run(report: &mut Report, update: bool) -> Result {
    let known: BTreeMap<String, f64> = match std::fs::read(BASELINE) {
        Ok(json) => serde_json::from_slice(&json)?,
        Err(_) => BTreeMap::new(),
    };
    report.table("Instructions, by callgrind", &["step", "before", "now", "ratio"]);
    let (mut counted, mut off) = (BTreeMap::new(), Vec::new());
    for (n, (step, each)) in STEPS.into_iter().enumerate() {
        let once = (collected(n, 2 * TIMES)? - collected(n, TIMES)?) / (TIMES * each) as f64;
        let before = known.get(step).copied().unwrap_or(f64::NAN);
        let ratio = once / before;
        report.row([step.into(), figure(before, 0), count(once as usize), figure(ratio, 3)]);
        if (ratio - 1.0).abs() > TOLERANCE {
            off.push(step);
        }
        counted.insert(step, once.round());
    }
    if update {
        let json = serde_json::to_string_pretty(&counted)?;
        return Ok(std::fs::write(BASELINE, json + "\n")?);
    }
    match off.as_slice() {
        [] => Ok(()),
        off => Err(format!(
            "more than {:.0} % off: {}; `--guard --update` writes down what they take now",
            100.0 * TOLERANCE,
            off.join(", ")
        )
        .into()),
    }
}

/// How many instructions this program takes to do a step so often.
fn collected(step: usize, times: usize) -> Result<f64> {
    let own = std::env::current_exe()?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(own);
    let ran = valgrind.args(["step", &step.to_string(), &times.to_string()]).output();
    let ran = ran.map_err(|error| format!("valgrind, which counts: {error}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let number = collected.and_then(|(_, number)| number.trim().parse().ok());
    number.filter(|_| ran.status.success()).ok_or_else(|| format!("callgrind: {said}").into())
}

/// Does a step so often.
pub(crate) async fn step(step: usize, times: usize) -> Result {
    match step {
        0 => {
            let message = message()?;
            for n in 0..times {
                let draft = Draft::new(message.clone(), None);
                black_box(draft.numbered(Offset(n as u64)));
            }
        }
        1 => {
            let hub = hub();
            say(&hub, times).await?;
        }
        2 => {
            let hub = hub();
            say(&hub, MESSAGES).await?;
            for _ in 0..times {
                let mut reader = reader(&hub, &After::Oldest, 0).await?;
                let mut read = 0;
                while read < MESSAGES {
                    read += black_box(reader.next().await?).records.len();
                }
            }
        }
        3 => fan_out(times, true).await?,
        4 => fan_out(times, false).await?,
        _ => return Err(format!("there is no step {step}").into()),
    }
    Ok(())
}

/// Takes everything.
struct Nowhere;

impl Outlet for Nowhere {
    fn push(&self, burst: &Burst<'_>) -> Pushed {
        black_box(burst.face(0, |burst| {
            let all = burst.records.iter().map(|record| &record.frame.bytes()[..]);
            Bytes::from(all.collect::<Vec<_>>().concat())
        }));
        Pushed::All
    }
}

/// Says so many messages to readers that wait, each when all have the one before.
async fn fan_out(times: usize, pushed: bool) -> Result {
    let hub = hub();
    let mut readers = Vec::new();
    for n in 0..READERS {
        let reader = reader(&hub, &After::Now, n).await?;
        readers.push(if pushed { reader.pushing_to(Arc::new(Nowhere)) } else { reader });
    }
    // The first message tells the passes where they begin.
    say(&hub, 1).await?;
    settle().await;
    wait(&mut readers);
    for _ in 0..times {
        say(&hub, 1).await?;
        settle().await;
        if !pushed {
            wait(&mut readers);
        }
    }
    Ok(())
}

/// All readers have been pushed to, or woken.
async fn settle() {
    // As often as a pass lets others in, and more.
    for _ in 0..2 * READERS / 64 {
        yield_now().await;
    }
}

/// All readers read what there is, and wait.
fn wait(readers: &mut [Reader]) {
    for reader in readers {
        while black_box(reader.next().now_or_never()).is_some() {}
    }
}

fn hub() -> Arc<Hub> {
    Hub::new(Arc::new(MemoryBroker::new(Retention::default())), Limits::default())
}

fn room() -> RoomName {
    RoomName::lobby()
}

fn who(n: usize) -> Result<Who> {
    let member = Member {
        id: MemberId::parse(&format!("member-{n}")).map_err(|error| error.message)?,
        name: MemberName::parse(&format!("Member {n}")).map_err(|error| error.message)?,
    };
    Ok(Who::new(member, &SessionId::parse(&format!("s{n}.x")).map_err(|error| error.message)?))
}

async fn reader(hub: &Hub, after: &After, n: usize) -> Result<Reader> {
    Ok(hub.read(&room(), who(n)?, after).await?.0)
}

async fn say(hub: &Hub, times: usize) -> Result {
    let who = who(0)?;
    for _ in 0..times {
        let publish = Publish::text(TEXT).map_err(|error| error.message)?;
        hub.publish(&room(), &who, publish, 1).await?;
    }
    Ok(())
}

fn message() -> Result<Message> {
    Ok(Message {
        offset: Offset(0),
        value: TEXT.into(),
        id: MessageId::parse("m1").map_err(|error| error.message)?,
        room: room(),
        at: 1,
        from: who(0)?.member,
        event: None,
        to: common::Audience::All,
        of: None,
        edited: None,
        reactions: Vec::new(),
    })
}
