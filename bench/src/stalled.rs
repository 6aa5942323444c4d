//! A room in which a tenth of the readers reads nothing: what the others notice of it, and what it costs in memory.
//!
//! The server has one core for itself, the clients the other. Texts are said one after the other, each when all who read
//! have heard the one before.

use tokio::time::{Duration, Instant};

use crate::{
    Result,
    crowd::{Crowd, Face, Speaker, silent},
    hubbub::{Hubbub, allow_files},
    process::{CLIENTS, Pinned, on_core},
    report::{Report, count, figure},
};

const ROOM: &str = "stalled";
/// How long a text is: soon no socket takes more of them.
const BYTES: usize = 8 * 1024;

/// Measures each binary with so many readers, for so long.
pub(crate) async fn run(
    report: &mut Report,
    servers: &[String],
    readers: usize,
    length: Duration,
) -> Result {
    allow_files(readers)?;
    let _pinned = Pinned::to(CLIENTS)?;
    report.table(
        &format!("Texts of {BYTES} bytes to {readers} readers, some of whom read nothing"),
        &[
            "server",
            "read nothing",
            "median, ms",
            "99th percentile, ms",
            "texts",
            "more memory, MiB",
        ],
    );
    let text = format!(r#"{{"type":"message","params":{{"value":"{}"}}}}"#, "x".repeat(BYTES));
    for server in servers {
        for stalled in [0, readers / 10] {
            let hubbub = Hubbub::spawn(on_core(server).arg("--ephemeral")).await?;
            let address = hubbub.address.parse()?;
            let crowd = Crowd::join(address, ROOM, Face::Plain, readers - stalled).await?;
            let _stalled = silent(address, ROOM, Face::Plain, stalled).await?;
            let speaker = Speaker::join(address, ROOM, Face::Plain).await?;
            let say = async || {
                let (started, heard) = (Instant::now(), crowd.texts());
                speaker.say(std::slice::from_ref(&text)).await?;
                crowd.heard(heard + (readers - stalled) as u64).await?;
                Ok::<_, crate::Error>(started.elapsed())
            };
            // As much as the log keeps in memory is there before it is looked at.
            let warm = Instant::now();
            while warm.elapsed() < length {
                say().await?;
            }
            let (before, started) = (hubbub.resident()?, Instant::now());
            let mut times = Vec::new();
            while started.elapsed() < length {
                times.push(say().await?);
            }
            times.sort_unstable();
            let at = |part: usize| times[(times.len() * part / 100).min(times.len() - 1)];
            report.row([
                server.as_str().into(),
                count(stalled),
                figure(at(50).as_secs_f64() * 1e3, 1),
                figure(at(99).as_secs_f64() * 1e3, 1),
                count(times.len()),
                figure((hubbub.resident()? - before) / 1024.0, 1),
            ]);
        }
    }
    Ok(())
}
