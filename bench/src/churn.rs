//! Clients come, hear what is said, and go, for a long time and by each road, and what they hear is kept: whether the
//! server's memory grows.

use tokio::time::{Duration, Instant, sleep};

use crate::{
    Result,
    crowd::{Crowd, Face, Speaker},
    hubbub::{Hubbub, TEXT, allow_files},
    report::{Report, count, figure},
};

/// The rooms they come to, in turns: by each road to each of them.
const ROOMS: usize = 49;
/// What is said each time.
const TEXTS: usize = 20;
/// How long after some have gone the next ones come: the machine is free for other things.
const EACH: Duration = Duration::from_secs(1);
/// How often it is looked.
const LOOKS: u32 = 12;
const ROADS: [Face; 4] = [Face::Plain, Face::All, Face::Events, Face::SocketIo];

/// Measures each binary with so many clients at once, for so long.
pub(crate) async fn run(
    report: &mut Report,
    servers: &[String],
    clients: usize,
    length: Duration,
) -> Result {
    allow_files(clients)?;
    report.table(
        &format!(
            "{clients} clients at a time come to one of {ROOMS} rooms, hear {TEXTS} texts, and go"
        ),
        &["server", "after, min", "came so far", "texts so far", "memory, MiB", "at the peak, MiB"],
    );
    let text = format!(r#"{{"type":"message","params":{{"value":"{TEXT}"}}}}"#);
    let texts = vec![text; TEXTS];
    for server in servers {
        let dir = tempfile::tempdir()?;
        let hubbub = Hubbub::start(server, dir.path(), &[]).await?;
        let address = hubbub.address.parse()?;
        let (started, mut looks, mut waves) = (Instant::now(), 1, 0);
        while looks <= LOOKS {
            let (room, road) = (format!("churn-{}", waves % ROOMS), ROADS[waves % ROADS.len()]);
            let crowd = Crowd::join(address, &room, road, clients).await?;
            let speaker = Speaker::join(address, &room, Face::Plain).await?;
            speaker.say(&texts).await?;
            crowd.heard((clients * TEXTS) as u64).await?;
            drop((crowd, speaker));
            sleep(EACH).await;
            waves += 1;
            if started.elapsed() >= length * looks / LOOKS {
                looks += 1;
                report.row([
                    server.as_str().into(),
                    figure(started.elapsed().as_secs_f64() / 60.0, 1),
                    count(waves * clients),
                    count(waves * TEXTS),
                    figure(hubbub.resident()? / 1024.0, 1),
                    figure(hubbub.peak()? / 1024.0, 1),
                ]);
            }
        }
    }
    Ok(())
}
