//! Three servers of NATS, three hubs, and a link for each way between two of them: none reaches another but by these.

use std::path::PathBuf;

use serde_json::Value;
use tokio::sync::Mutex;

use crate::{
    link::{Link, Trouble},
    support::{
        nats::{Nats, free_port},
        process::Hubbub,
    },
};

/// Where nothing listens. Servers of NATS tell each other by which address others reach them, and would go round the links.
const NOWHERE: &str = "127.0.0.1:1";

/// One of the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Nats(usize),
    Hub(usize),
}

pub struct Cluster {
    pub nats: [Mutex<Nats>; 3],
    pub hubs: [Mutex<Hubbub>; 3],
    /// Where the hubs are.
    pub addresses: [String; 3],
    /// From a server of NATS, the first index, to the second.
    routes: [[Link; 3]; 3],
    /// From a hub, the first index, to a server of NATS.
    roads: [[Link; 3]; 3],
    /// Where NATS says how it is.
    monitors: [u16; 3],
    dir: PathBuf,
}

async fn links(to: [u16; 3]) -> [Link; 3] {
    [Link::to(to[0]).await, Link::to(to[1]).await, Link::to(to[2]).await]
}

impl Cluster {
    pub async fn start() -> Self {
        let [clients, between, monitors] = [(); 3].map(|()| [(); 3].map(|()| free_port()));
        let routes = [links(between).await, links(between).await, links(between).await];
        let roads = [links(clients).await, links(clients).await, links(clients).await];
        let nats = [0, 1, 2].map(|n| {
            let others = [0, 1, 2].into_iter().filter(|other| *other != n);
            let others: Vec<_> =
                others.map(|other| format!("nats://127.0.0.1:{}", routes[n][other].port)).collect();
            let args = [
                format!("--server_name=n{n}"),
                "--cluster_name=hubbub".to_owned(),
                format!("--cluster=nats://127.0.0.1:{}", between[n]),
                format!("--cluster_advertise={NOWHERE}"),
                format!("--routes={}", others.join(",")),
                "--no_advertise=true".to_owned(),
                format!("--http_port={}", monitors[n]),
            ];
            Mutex::new(Nats::start_at(clients[n], args.into()))
        });
        let dir = std::env::temp_dir().join(format!("hubbub-cluster-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        let mut hubs = Vec::new();
        for (n, road) in roads.iter().enumerate() {
            let servers = road.each_ref().map(|link| format!("127.0.0.1:{}", link.port)).join(",");
            let flags = ["--broker", &format!("nats://{servers}"), "--broker-replicas", "3"];
            let limits = ["--broker-wait", "2", "--publish-rate", "0"];
            let flags = [&flags[..], &limits[..]].concat();
            let log = dir.join(format!("hub-{n}.log"));
            hubs.push(Hubbub::start_logging(dir.join("data"), &log, &flags).await);
        }
        let hubs: [Hubbub; 3] = hubs.try_into().ok().unwrap();
        let addresses = hubs.each_ref().map(|hub| hub.address.clone());
        Self { nats, hubs: hubs.map(Mutex::new), addresses, routes, roads, monitors, dir }
    }

    /// From now on that is wrong between two: `mute` is what the first says.
    pub fn suffer(&self, one: Who, other: Who, trouble: Trouble) {
        let turned = Trouble { mute: trouble.deaf, deaf: trouble.mute, ..trouble };
        match (one, other) {
            (Who::Hub(hub), Who::Nats(nats)) => self.roads[hub][nats].suffer(trouble),
            (Who::Nats(nats), Who::Hub(hub)) => self.roads[hub][nats].suffer(turned),
            (Who::Nats(one), Who::Nats(other)) => {
                self.routes[one][other].suffer(trouble);
                self.routes[other][one].suffer(turned);
            }
            (Who::Hub(_), Who::Hub(_)) => unreachable!("hubs do not connect to each other"),
        }
    }

    /// Ends all connections between two.
    pub fn reset(&self, one: Who, other: Who) {
        match (one, other) {
            (Who::Hub(hub), Who::Nats(nats)) | (Who::Nats(nats), Who::Hub(hub)) => {
                self.roads[hub][nats].reset();
            }
            (Who::Nats(one), Who::Nats(other)) => {
                self.routes[one][other].reset();
                self.routes[other][one].reset();
            }
            (Who::Hub(_), Who::Hub(_)) => unreachable!("hubs do not connect to each other"),
        }
    }

    /// Which server of NATS leads the log, if one that can be asked knows.
    pub async fn leader(&self) -> Option<usize> {
        for port in self.monitors {
            let url = format!("http://127.0.0.1:{port}/jsz?accounts=true&streams=true");
            let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(1));
            let Ok(answer) = http.build().unwrap().get(url).send().await else { continue };
            let Ok(text) = answer.text().await else { continue };
            let Ok(said) = serde_json::from_str::<Value>(&text) else { continue };
            let streams = said["account_details"][0]["stream_detail"].as_array();
            let log = streams.and_then(|all| all.iter().find(|one| one["name"] == "hubbub1"));
            let leader = log.and_then(|log| log["cluster"]["leader"].as_str());
            if let Some(leader) = leader.and_then(|name| name.strip_prefix('n')) {
                return leader.parse().ok();
            }
        }
        None
    }

    /// Ends all, and takes away what the hubs have logged.
    pub fn end(self) {
        let dir = self.dir.clone();
        drop(self);
        std::fs::remove_dir_all(dir).unwrap();
    }

    /// Where the hubs' logs are; they stay if a test fails.
    pub fn logs(&self) -> String {
        self.dir.display().to_string()
    }
}
