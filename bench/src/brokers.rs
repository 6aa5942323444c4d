//! The same on every log, and with several hubs where they can share it: publishing, handing on, joining.
//!
//! Hubs, servers of NATS and clients share all cores: of more hubs one sees here what they cost, not what they could do on
//! machines of their own.

use clap::{Args, ValueEnum};
use tokio::time::{Duration, Instant};

use crate::{
    Result,
    crowd::{Crowd, Face, Speaker},
    durable::publish,
    fan_out::{Who, volley},
    hubbub::allow_files,
    joins::all_counted,
    nodes::{Log, Nodes, has_nats},
    process::cpu_of,
    report::{Report, count, figure, millis},
};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Brokers {
    /// Where messages are kept
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Log::value_variants().to_vec())]
    logs: Vec<Log>,
    /// How many hubs, where they can share a log
    #[arg(long, value_delimiter = ',', default_values_t = HUBS)]
    hubs: Vec<usize>,
    /// Over how many streams rooms are spread
    #[arg(long, default_value_t = 1)]
    streams: usize,
    /// How many publish at once, for what can be kept
    #[arg(long, default_value_t = 256)]
    publishers: usize,
    /// How many readers the room has in which everything is handed on
    #[arg(long, default_value_t = 1_000)]
    readers: usize,
    /// How many join one room
    #[arg(long, default_value_t = 3_000)]
    clients: usize,
    /// Seconds for each figure
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

const HUBS: [usize; 3] = [1, 2, 3];
/// Texts that are said at once, for what can be handed on.
const AT_ONCE: usize = 32;
/// How often it is looked whether a hub counts everybody.
const LOOK: Duration = Duration::from_millis(20);

impl Brokers {
    /// The usual one, or a quick one.
    pub(crate) fn new(quick: bool, seconds: u64) -> Self {
        let (hubs, readers, clients) = match quick {
            true => (vec![1, 3], 300, 500),
            false => (HUBS.to_vec(), 1_000, 3_000),
        };
        let logs = Log::value_variants().to_vec();
        Self { logs, hubs, streams: 1, publishers: 256, readers, clients, seconds }
    }
}

struct Figures {
    /// How long acks took, one publisher alone.
    alone: Vec<Duration>,
    /// How long they took, of many.
    many: Vec<Duration>,
    kept: f64,
    /// How many cores were busy with that, with clients and all.
    cores: f64,
    /// How long a text took to its last reader.
    last: Vec<Duration>,
    delivered: f64,
    joins: f64,
    counted: f64,
}

/// Measures each binary on each log.
pub(crate) async fn run(report: &mut Report, servers: &[String], brokers: &Brokers) -> Result {
    let Brokers { publishers, readers, clients, .. } = brokers;
    allow_files(*readers.max(clients))?;
    report.table(
        &format!(
            "On every log: {publishers} who publish, one room with {readers} readers, one that {clients} join"
        ),
        &[
            "server",
            "log",
            "hubs",
            "ack p50, ms",
            "p99, ms",
            "kept/s",
            "ratio",
            "p99 then, ms",
            "cores busy",
            "kept/s, a core",
            "last reader p50, ms",
            "p99 there, ms",
            "delivered/s",
            "ratio to that",
            "joins/s",
            "all counted, s",
        ],
    );
    let has_nats = has_nats();
    if !has_nats {
        println!("nats-server is not here: name one in HUBBUB_NATS");
    }
    for server in servers {
        // What others are measured against: the first.
        let mut first = None;
        for log in brokers.logs.iter().filter(|log| has_nats || !log.is_shared()) {
            let hubs = if log.is_shared() { &brokers.hubs[..] } else { &[1] };
            for hubs in hubs {
                let figures = match measure(server, *log, *hubs, brokers).await {
                    Ok(figures) => figures,
                    Err(error) => {
                        println!("{}, {hubs} hubs: {error}", log.name());
                        continue;
                    }
                };
                let (kept, delivered) = *first.get_or_insert((figures.kept, figures.delivered));
                report.row([
                    server.as_str().into(),
                    log.name().into(),
                    count(*hubs),
                    figure(millis(&figures.alone, 50), 2),
                    figure(millis(&figures.alone, 99), 2),
                    figure(figures.kept, 0),
                    figure(figures.kept / kept, 2),
                    figure(millis(&figures.many, 99), 1),
                    figure(figures.cores, 1),
                    // Other work on the machine changes that less than it changes the others.
                    figure(figures.kept / figures.cores, 0),
                    figure(millis(&figures.last, 50), 1),
                    figure(millis(&figures.last, 99), 1),
                    figure(figures.delivered, 0),
                    figure(figures.delivered / delivered, 2),
                    figure(figures.joins, 0),
                    figure(figures.counted, 1),
                ]);
            }
        }
    }
    Ok(())
}

async fn measure(server: &str, log: Log, hubs: usize, brokers: &Brokers) -> Result<Figures> {
    let Brokers { publishers, readers, clients, seconds, .. } = brokers;
    let length = Duration::from_secs(*seconds);
    let streams = match brokers.streams {
        1 => Vec::new(),
        streams => vec![format!("--broker-streams={streams}")],
    };
    let nodes = Nodes::start(server, log, hubs, &streams).await?;
    let hubs: Vec<_> = nodes.hubs.iter().collect();
    let addresses = nodes.addresses()?;

    // What is warm already is not measured.
    publish(&hubs, "warm", hubs.len(), Duration::from_millis(500)).await?;
    let alone = publish(&hubs, "alone", 1, length).await?;
    let busy = async || {
        let used = nodes.used().await?;
        Ok::<_, crate::Error>((used.hubs + used.nats) / 1e6 + cpu_of("self")?.as_secs_f64())
    };
    let (before, started) = (busy().await?, Instant::now());
    let many = publish(&hubs, "many", *publishers, length).await?;
    let cores = (busy().await? - before) / started.elapsed().as_secs_f64();

    let crowd = Crowd::spread(&addresses, "fan-out", Face::Plain, *readers).await?;
    let speaker = Speaker::join(addresses[0], "fan-out", Face::Plain).await?;
    let text = Who::Memory(server).says();
    let say = async |at_once: usize, length| {
        volley(&crowd, &speaker, &vec![text.clone(); at_once], *readers, length).await
    };
    say(1, Duration::from_millis(500)).await?;
    let mut last = say(1, length).await?;
    last.sort_unstable();
    let started = Instant::now();
    let volleys = say(AT_ONCE, length).await?.len();
    let delivered = (volleys * AT_ONCE * readers) as f64 / started.elapsed().as_secs_f64();
    if crowd.gone() > 0 {
        return Err(format!("it has hung up on {} readers", crowd.gone()).into());
    }
    drop((crowd, speaker));

    let started = Instant::now();
    let crowd = Crowd::spread(&addresses, "joins", Face::All, *clients).await?;
    for hub in &hubs {
        all_counted(&hub.address, "joins", *clients, LOOK).await?;
    }
    Ok(Figures {
        alone,
        kept: many.len() as f64 / length.as_secs_f64(),
        many,
        cores,
        last,
        delivered,
        joins: *clients as f64 / crowd.joined_in.as_secs_f64(),
        counted: started.elapsed().as_secs_f64(),
    })
}
