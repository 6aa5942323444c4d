//! What an operator can choose of a log on NATS.

// These comments are what `--help` prints.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)]

use std::{path::PathBuf, time::Duration};

use clap::{Args, value_parser};
use jetstream::{Options, Servers};

/// The longest name of a log.
const NAME: usize = 64;

/// Where NATS is, and how the log is kept there.
#[derive(Clone, Debug, Args)]
pub struct Nats {
    /// Keep the log on NATS JetStream, at nats://host:4222, tls://host:4222 or several with commas between them; with
    /// user:password@ or token@ before the first, where that is wanted. Any number of hubs on one log are one; no data
    /// directory is used.
    #[arg(
        long,
        global = true,
        env = "HUBBUB_BROKER",
        value_name = "URL",
        hide_env_values = true,
        value_parser = value_parser!(Servers)
    )]
    pub broker: Option<Servers>,

    /// A file that says who one is there, as `nsc` writes it (.creds).
    #[arg(
        long,
        global = true,
        env = "HUBBUB_BROKER_CREDENTIALS",
        value_name = "FILE",
        requires = "broker"
    )]
    pub broker_credentials: Option<PathBuf>,

    /// What the log is called there: hubs of one name are one. Of letters, digits, - and _.
    #[arg(
        long,
        global = true,
        env = "HUBBUB_BROKER_NAME",
        value_name = "NAME",
        value_parser = parse_name,
        default_value = "hubbub1",
        requires = "broker"
    )]
    pub broker_name: String,

    /// How many of its servers keep each message, 1 to 5. Counts when the log is made.
    #[arg(
        long,
        global = true,
        env = "HUBBUB_BROKER_REPLICAS",
        value_name = "N",
        value_parser = value_parser!(u8).range(1..=5),
        default_value_t = 1,
        requires = "broker"
    )]
    pub broker_replicas: u8,

    /// Over how many of its streams rooms are spread, 1 to 64: where one is too slow for all of them. Counts when the log is made.
    #[arg(
        long,
        global = true,
        env = "HUBBUB_BROKER_STREAMS",
        value_name = "N",
        value_parser = value_parser!(u8).range(1..=64),
        default_value_t = 1,
        requires = "broker"
    )]
    pub broker_streams: u8,

    /// For how many seconds it is waited for whatever is asked of it: publishing is refused then, and may be tried again.
    #[arg(
        long,
        global = true,
        env = "HUBBUB_BROKER_WAIT",
        value_name = "SECONDS",
        value_parser = parse_wait,
        default_value = "5",
        requires = "broker"
    )]
    pub broker_wait: Duration,

    /// For how many seconds the id of a message is known to all hubs, whatever became of the message: about 270 bytes of
    /// memory for each message of that time, on each server. Counts when the log is made.
    #[arg(
        long,
        global = true,
        env = "HUBBUB_BROKER_WINDOW",
        value_name = "SECONDS",
        value_parser = parse_window,
        default_value = "120",
        requires = "broker"
    )]
    pub broker_window: Duration,
}

impl Nats {
    /// What to open, if the log is there; without its streams if there are none, unless `make`.
    pub(crate) fn options(&self, make: bool) -> Option<Options> {
        Some(Options {
            credentials: self.broker_credentials.clone(),
            name: self.broker_name.clone(),
            replicas: self.broker_replicas.into(),
            streams: self.broker_streams.into(),
            wait: self.broker_wait,
            window: self.broker_window,
            make,
            ..Options::at(self.broker.clone()?)
        })
    }
}

fn parse_name(text: &str) -> Result<String, String> {
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match (1..=NAME).contains(&text.len()) && text.bytes().all(is_of_a_name) {
        true => Ok(text.to_owned()),
        false => Err(format!("a name is 1 to {NAME} letters, digits, `-` and `_`")),
    }
}

fn parse_wait(text: &str) -> Result<Duration, String> {
    seconds(text, 0.1, 60.0)
}

fn parse_window(text: &str) -> Result<Duration, String> {
    // NATS takes no shorter one than 100 ms, and no hub would be done with trying again.
    seconds(text, 10.0, 86_400.0)
}

fn seconds(text: &str, least: f64, most: f64) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (least..=most).contains(seconds));
    let seconds = seconds
        .ok_or_else(|| format!("`{text}` is not a number of seconds from {least} to {most}"));
    seconds.map(Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::Config;

    #[test]
    fn a_log_on_nats_is_chosen_by_where_it_is() {
        let read = |flags: &[&str]| {
            Config::try_parse_from([&["hubbub"], flags].concat()).map(|config| config.nats)
        };
        assert!(read(&[]).unwrap().options(true).is_none());
        let flags = ["--broker", "nats://a,b:1", "--broker-name", "tea_2", "--broker-wait", "0.5"];
        let options = read(&flags).unwrap().options(true).unwrap();
        assert_eq!(options.servers.to_string(), "nats://a,nats://b:1");
        assert_eq!((options.name.as_str(), options.wait.as_millis()), ("tea_2", 500));
        // Behind a command, too.
        assert!(read(&["import", "--broker", "nats://a"]).unwrap().broker.is_some());
        for (flags, what) in [
            (&["--broker", "nats://a", "--ephemeral"][..], "cannot be used with"),
            (&["--broker-name", "tea"], "--broker <URL>"),
            (&["--broker", "a:4222"], "nats://host:4222"),
            (&["--broker", "nats://a", "--broker-name", "a.b"], "1 to 64 letters"),
            (&["--broker", "nats://a", "--broker-replicas", "6"], "1..=5"),
            (&["--broker", "nats://a", "--broker-streams", "65"], "1..=64"),
            (&["--broker", "nats://a", "--broker-window", "1"], "from 10 to 86400"),
        ] {
            let error = read(flags).unwrap_err().to_string();
            assert!(error.contains(what), "{flags:?}: {error}");
        }
    }
}
