//! What is done to the cluster: by two hands, of which each breaks one thing at a time and mends it. One has NATS, so that of its
//! servers two are well, but for a few times; the other has the hubs, and their ways to it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use fastrand::Rng;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    link::Trouble,
    load::Load,
    machines::{Cluster, Who},
};

/// How long it may take until all goes on, when everything is well again.
const AGAIN: Duration = Duration::from_secs(60);

/// Something that is done.
#[derive(Clone, Copy)]
enum Harm {
    /// It is killed, and started again.
    Kill(Who),
    /// It is stopped as an upgrade does, and started again.
    Restart(usize),
    /// It stands still (SIGSTOP), with all its connections.
    Halt(Who),
    /// That is wrong between two.
    Between(Who, Who, Trouble),
}

const CUT: Trouble = Trouble { cut: true, mute: false, deaf: false };
const FROZEN: Trouble = Trouble { cut: false, mute: true, deaf: true };
const MUTE: Trouble = Trouble { cut: false, mute: true, deaf: false };
const DEAF: Trouble = Trouble { cut: false, mute: false, deaf: true };

/// What two hands have done.
#[derive(Default)]
pub struct Done(Mutex<BTreeMap<String, usize>>);

impl Done {
    /// How often what was done.
    pub fn counts(&self) -> String {
        let done = self.0.lock();
        let counts: Vec<_> = done.iter().map(|(what, times)| format!("{what} {times}")).collect();
        format!("{} faults ({})", done.values().sum::<usize>(), counts.join(", "))
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(who) | Self::Halt(who) => write!(f, "{who:?}"),
            Self::Restart(hub) => write!(f, "{:?}", Who::Hub(*hub)),
            Self::Between(one, other, _) => write!(f, "{one:?} to {other:?}"),
        }
    }
}

impl Harm {
    async fn do_to(self, cluster: &Cluster) {
        match self {
            Self::Kill(Who::Nats(n)) => cluster.nats[n].lock().await.kill(),
            Self::Kill(Who::Hub(n)) => cluster.hubs[n].lock().await.kill().await,
            Self::Restart(n) => cluster.hubs[n].lock().await.stop().await,
            Self::Halt(Who::Nats(n)) => cluster.nats[n].lock().await.signal("STOP"),
            Self::Halt(Who::Hub(n)) => cluster.hubs[n].lock().await.signal("STOP").await,
            Self::Between(one, other, trouble) => cluster.suffer(one, other, trouble),
        }
    }

    /// All is well again; what was held back arrives, or it never does.
    async fn undo(self, cluster: &Cluster, arrives: bool) {
        match self {
            Self::Kill(Who::Nats(n)) => cluster.nats[n].lock().await.start_again(),
            Self::Kill(Who::Hub(n)) | Self::Restart(n) => cluster.hubs[n].lock().await.rise().await,
            Self::Halt(Who::Nats(n)) => cluster.nats[n].lock().await.signal("CONT"),
            Self::Halt(Who::Hub(n)) => cluster.hubs[n].lock().await.signal("CONT").await,
            Self::Between(one, other, _) => {
                if !arrives {
                    cluster.reset(one, other);
                }
                cluster.suffer(one, other, Trouble::default());
            }
        }
    }
}

fn trouble(random: &mut Rng) -> (&'static str, Trouble) {
    let all = [("cut", CUT), ("frozen", FROZEN), ("mute", MUTE), ("deaf", DEAF)];
    all[random.usize(0..all.len())]
}

/// Something for NATS, mostly for the one that leads.
fn for_nats(random: &mut Rng, leader: Option<usize>) -> (String, Vec<Harm>) {
    let any = random.usize(0..3);
    let n = leader.filter(|_| random.u8(0..4) > 0).unwrap_or(any);
    let (who, next, last) = (Who::Nats(n), Who::Nats((n + 1) % 3), Who::Nats((n + 2) % 3));
    let (how, wrong) = trouble(random);
    let (what, harms) = match random.u8(0..10) {
        0..3 => ("NATS killed".to_owned(), vec![Harm::Kill(who)]),
        3..5 => ("NATS halted".to_owned(), vec![Harm::Halt(who)]),
        5..7 => {
            let between = |other| Harm::Between(who, other, wrong);
            (format!("NATS parted from NATS, {how}"), vec![between(next), between(last)])
        }
        7..9 => (format!("link of NATS {how}"), vec![Harm::Between(who, next, wrong)]),
        // More than a majority can bear.
        _ => match random.u8(0..3) {
            0 => ("two NATS killed".to_owned(), vec![Harm::Kill(who), Harm::Kill(next)]),
            1 => ("two NATS halted".to_owned(), vec![Harm::Halt(who), Harm::Halt(next)]),
            _ => {
                let pairs = [(who, next), (next, last), (last, who)];
                let parted = pairs.map(|(one, other)| Harm::Between(one, other, wrong));
                (format!("all NATS parted, {how}"), parted.into())
            }
        },
    };
    (what, harms)
}

/// Something for a hub, or its way to NATS.
fn for_hubs(random: &mut Rng) -> (String, Vec<Harm>) {
    let n = random.usize(0..3);
    let who = Who::Hub(n);
    let (how, wrong) = trouble(random);
    let between = |nats| Harm::Between(who, Who::Nats(nats), wrong);
    match random.u8(0..8) {
        0..2 => ("hub killed".to_owned(), vec![Harm::Kill(who)]),
        2 => ("hub restarted".to_owned(), vec![Harm::Restart(n)]),
        3..5 => ("hub halted".to_owned(), vec![Harm::Halt(who)]),
        5..7 => (format!("hub parted from NATS, {how}"), (0..3).map(between).collect()),
        _ => (format!("link of a hub {how}"), vec![between(random.usize(0..3))]),
    }
}

/// Does these things, mends them after a while, and says so.
async fn harm(
    cluster: &Cluster,
    load: &Load,
    done: &Done,
    random: &mut Rng,
    (what, harms): (String, Vec<Harm>),
) {
    let away = Duration::from_millis(random.u64(300..6_000));
    let whom: Vec<_> = harms.iter().map(Harm::to_string).collect();
    println!("{:.1?}: {what}, for {away:.1?}: {}", load.since(), whom.join(", "));
    for harm in &harms {
        harm.do_to(cluster).await;
    }
    sleep(away).await;
    let arrives = random.bool();
    for harm in &harms {
        harm.undo(cluster, arrives).await;
    }
    *done.0.lock().entry(what).or_default() += 1;
}

/// Has NATS fail until then; each time it is acknowledged again before the next.
pub async fn nats_fails(
    cluster: Arc<Cluster>,
    load: Arc<Load>,
    done: Arc<Done>,
    seed: u64,
    until: Instant,
) {
    let mut random = Rng::with_seed(seed);
    while Instant::now() < until {
        sleep(Duration::from_millis(random.u64(200..3_000))).await;
        let leader = cluster.leader().await;
        let next = for_nats(&mut random, leader);
        harm(&cluster, &load, &done, &mut random, next).await;
        let enough = load.acked.load(Ordering::Relaxed) + 20;
        let goes_on = async {
            while load.acked.load(Ordering::Relaxed) < enough {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(AGAIN, goes_on).await.expect("it does not go on");
    }
}

/// Has hubs, and their ways, fail until then; each time that hub is ready again before the next.
pub async fn hubs_fail(
    cluster: Arc<Cluster>,
    load: Arc<Load>,
    done: Arc<Done>,
    seed: u64,
    until: Instant,
) {
    let mut random = Rng::with_seed(seed);
    let http = reqwest::Client::builder().timeout(Duration::from_secs(5)).build().unwrap();
    while Instant::now() < until {
        sleep(Duration::from_millis(random.u64(200..3_000))).await;
        let next = for_hubs(&mut random);
        harm(&cluster, &load, &done, &mut random, next).await;
        let are_ready = async {
            for address in &cluster.addresses {
                let url = format!("http://{address}/readyz");
                while !matches!(http.get(&url).send().await, Ok(answer) if answer.status() == 200) {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        timeout(AGAIN, are_ready).await.expect("a hub is not ready");
    }
}
