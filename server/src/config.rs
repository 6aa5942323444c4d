//! What an operator can choose: flags, each also as an environment variable `HUBBUB_…` and as a key of a file, which
//! [`Settings`](crate::Settings) reads.

// These comments are what `--help` prints.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)]

use std::{net::IpAddr, path::PathBuf, time::Duration};

use axum::http::Uri;
use clap::{Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use ipnet::IpNet;
use rustls::pki_types::ServerName;
use tracing_subscriber::EnvFilter;

use crate::{
    broker::sqlite::Sync,
    fetch,
    ice::{TurnSecret, parse_url},
    issuers::Key,
    listener::Listen,
    nats::Nats,
    peer::ProxyHeader,
    publish_hook::Late,
    rights::Access,
    telemetry::traces,
    webhook::{Secret, Webhook},
};

/// Real-time rooms in one binary. Without arguments it serves http://127.0.0.1:3000.
#[derive(Clone, Debug, Parser)]
#[command(name = "hubbub", version)]
pub struct Config {
    /// Address to listen on, such as 127.0.0.1:3000, localhost:3000, or :3000 for all of IPv4; port 0 takes a free one
    /// and prints it. For a Unix socket its file, as unix:/run/hubbub.sock. A socket that the system hands on goes before it.
    #[arg(long, env = "HUBBUB_LISTEN", value_name = "ADDR", default_value = "127.0.0.1:3000")]
    pub listen: Listen,

    /// Directory for what is kept between starts; made if it is not there.
    #[arg(
        long,
        global = true,
        env = "HUBBUB_DATA",
        value_name = "DIR",
        default_value = "./hubbub-data"
    )]
    pub data: PathBuf,

    /// A file of these settings, in TOML: flags without their dashes, as in listen = ":3000", and arrays where one may be
    /// repeated. A variable goes before it, and a flag before both.
    #[arg(long, global = true, env = "HUBBUB_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What an acknowledged message survives.
    #[arg(long, env = "HUBBUB_SYNC", value_enum, default_value_t)]
    pub sync: Sync,

    /// Keep nothing: everything is in memory and gone at exit.
    #[arg(
        long,
        env = "HUBBUB_EPHEMERAL",
        value_parser = FalseyValueParser::new(),
        conflicts_with = "broker"
    )]
    pub ephemeral: bool,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub nats: Nats,

    /// A file with the key that tokens, cookies and sessions are signed with, at least 32 bytes, in place of one that is made
    /// and kept: in the data directory, or beside a log on NATS.
    #[arg(long, global = true, env = "HUBBUB_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Another origin whose pages may connect, such as https://example.org (may be repeated).
    #[arg(
        long = "allow-origin",
        env = "HUBBUB_ALLOW_ORIGIN",
        value_name = "ORIGIN",
        value_delimiter = ',',
        value_parser = parse_origin
    )]
    pub allow_origins: Vec<String>,

    /// Messages a second that one session may send, with a burst of five times that; 0 is no limit.
    #[arg(long, env = "HUBBUB_PUBLISH_RATE", value_name = "N", default_value_t = 20)]
    pub publish_rate: u32,

    /// Messages a second that all sessions of one address may send together, with a burst of five times that;
    /// 0 is no limit. An address is one of IPv4, or a /64 of IPv6. Ten times --publish-rate unless told.
    #[arg(long, env = "HUBBUB_ADDRESS_RATE", value_name = "N")]
    pub address_rate: Option<u32>,

    /// Connections at one time, and sessions as many; fewer if the process may not have the descriptors.
    #[arg(long, env = "HUBBUB_CONNECTIONS", value_name = "N", default_value_t = 20_000)]
    pub connections: usize,

    /// How many of them one address may have; 0 is no limit.
    #[arg(long, env = "HUBBUB_CONNECTIONS_PER_ADDRESS", value_name = "N", default_value_t = 2_000)]
    pub connections_per_address: usize,

    /// A proxy of yours, as an address or a network such as 10.0.0.0/8: what it says of whom it speaks for is believed
    /// (may be repeated). One that comes by a Unix socket need not be told.
    #[arg(
        long = "trusted-proxy",
        env = "HUBBUB_TRUSTED_PROXY",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = parse_network
    )]
    pub trusted_proxies: Vec<IpNet>,

    /// How your proxies say whom they speak for, all of them in this one way.
    #[arg(long, env = "HUBBUB_PROXY_HEADER", value_enum, default_value_t)]
    pub proxy_header: ProxyHeader,

    /// A file with the certificate to show, in PEM, and behind it those that lead to one that clients know: TLS is spoken
    /// then, and nothing else. A new file is shown within half a minute.
    #[arg(long, env = "HUBBUB_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The file with its key, in PEM.
    #[arg(long, env = "HUBBUB_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// A name to have a certificate for by ACME, such as hub.example.org (may be repeated; one certificate is for all): TLS
    /// is spoken then, and nothing else. The directory comes to port 443 of it, which has to lead here; by this you agree to
    /// its terms.
    #[arg(
        long,
        env = "HUBBUB_ACME",
        value_name = "DOMAIN",
        value_delimiter = ',',
        value_parser = parse_domain,
        conflicts_with = "tls_cert"
    )]
    pub acme: Vec<String>,

    /// Where the directory may write to about it.
    #[arg(long, env = "HUBBUB_ACME_EMAIL", value_name = "ADDR", value_parser = parse_email, requires = "acme")]
    pub acme_email: Option<String>,

    /// Who gives certificates: the address of an ACME directory, by https.
    #[arg(
        long,
        env = "HUBBUB_ACME_DIRECTORY",
        value_name = "URL",
        value_parser = parse_directory,
        default_value = "https://acme-v02.api.letsencrypt.org/directory"
    )]
    pub acme_directory: reqwest::Url,

    /// A file with the certificates, in PEM, that the directory itself is trusted by, in place of those that the system
    /// trusts: for one of your own.
    #[arg(long, env = "HUBBUB_ACME_CA", value_name = "FILE", requires = "acme")]
    pub acme_ca: Option<PathBuf>,

    /// A name this server is reached by, such as hub.example.org, with the port if browsers show one,
    /// hub.example.org:8443 (may be repeated). Addresses, localhost, names of the local network, and those of --acme need not be
    /// told.
    #[arg(long = "host", env = "HUBBUB_HOST", value_name = "NAME", value_delimiter = ',', value_parser = HostName::parse)]
    pub hosts: Vec<HostName>,

    /// Who may come in: everybody, or whoever shows a token, to the rooms that it names.
    #[arg(long, env = "HUBBUB_ACCESS", value_enum, default_value_t)]
    pub access: Access,

    /// A file with a key whose tokens are trusted: a secret of 32 bytes or more for HS256, or a public key in PEM for
    /// RS256, ES256 or EdDSA (may be repeated). Tokens of this server itself are trusted in any case.
    #[arg(long = "token-key", env = "HUBBUB_TOKEN_KEY", value_name = "FILE", value_delimiter = ',', value_parser = Key::load)]
    pub token_keys: Vec<Key>,

    /// Where public keys are kept whose tokens are trusted, as a JSON Web Key Set: https, or http on this machine.
    #[arg(long, env = "HUBBUB_JWKS", value_name = "URL", value_parser = fetch::parse_url)]
    pub jwks: Option<reqwest::Url>,

    /// For whom those tokens have to be, their claim `aud` (may be repeated). Without any, a token for somebody is refused.
    #[arg(
        long = "token-audience",
        env = "HUBBUB_TOKEN_AUDIENCE",
        value_name = "NAME",
        value_delimiter = ','
    )]
    pub token_audiences: Vec<String>,

    /// Where the site is on its host, such as /hub: behind a proxy that serves others, too. It may leave that out of what
    /// it asks for here, or not.
    #[arg(long, env = "HUBBUB_BASE_PATH", value_name = "PATH", default_value = "", value_parser = parse_base)]
    pub base_path: String,

    /// A server that tells browsers how they are seen from outside, such as stun:stun.example.org:3478 (may be
    /// repeated). Without any, two browsers are connected directly within one network only.
    #[arg(long, env = "HUBBUB_STUN", value_name = "URL", value_delimiter = ',', value_parser = parse_stun)]
    pub stun: Vec<String>,

    /// A server that carries what browsers can't send each other directly, such as turn:turn.example.org:3478 (may be
    /// repeated).
    #[arg(
        long,
        env = "HUBBUB_TURN",
        value_name = "URL",
        value_delimiter = ',',
        value_parser = parse_turn,
        requires = "turn_secret"
    )]
    pub turn: Vec<String>,

    /// The file with the secret that it shares with this one (coturn's static-auth-secret) in its first line.
    #[arg(long, env = "HUBBUB_TURN_SECRET", value_name = "FILE", value_parser = TurnSecret::read)]
    pub turn_secret: Option<TurnSecret>,

    /// An address that is told what is said: https, or http on this machine; with the rooms before it, as
    /// team-*=https://example.org/hook, only what is said there (may be repeated).
    #[arg(
        long = "webhook",
        env = "HUBBUB_WEBHOOK",
        value_name = "[ROOMS=]URL",
        value_delimiter = ',',
        value_parser = Webhook::parse,
        requires = "webhook_secret"
    )]
    pub webhooks: Vec<Webhook>,

    /// An address that is asked about each message before it is kept, and may change or refuse it; with the rooms before it
    /// as for --webhook (may be repeated: the first that is for the room). Not about what those say who manage the room.
    #[arg(
        long = "publish-hook",
        env = "HUBBUB_PUBLISH_HOOK",
        value_name = "[ROOMS=]URL",
        value_delimiter = ',',
        value_parser = Webhook::parse,
        requires = "webhook_secret"
    )]
    pub publish_hooks: Vec<Webhook>,

    /// For how many seconds it is waited for.
    #[arg(long, env = "HUBBUB_PUBLISH_HOOK_WITHIN", value_name = "SECONDS", default_value = "1", value_parser = parse_within)]
    pub publish_hook_within: Duration,

    /// What becomes of a message when it is late, or answers what can't be read.
    #[arg(long, env = "HUBBUB_PUBLISH_HOOK_LATE", value_enum, default_value_t)]
    pub publish_hook_late: Late,

    /// The file with the secret that these are signed with, in its first line: whsec_ and 24 to 64 bytes in base64.
    #[arg(long, env = "HUBBUB_WEBHOOK_SECRET", value_name = "FILE", value_parser = Secret::load)]
    pub webhook_secret: Option<Secret>,

    /// For how many seconds after SIGTERM newcomers are still let in, while /readyz says that the server is not ready: two
    /// of the periods in which a balancer asks.
    #[arg(long, env = "HUBBUB_DRAIN_DELAY", value_name = "SECONDS", default_value = "0", value_parser = parse_seconds)]
    pub drain_delay: Duration,

    /// Where traces are sent: the address of a collector that takes OTLP over HTTP, such as http://127.0.0.1:4318, where
    /// /v1/traces is put behind it. They say what was done and how long it took; not for whom, where, or what was said.
    #[arg(long, env = "HUBBUB_OTLP", value_name = "URL", value_parser = traces::parse_url)]
    pub otlp: Option<reqwest::Url>,

    /// How much of what begins here is traced, from 0 to 1. What a request is a part of, by its header traceparent, has
    /// decided for it.
    #[arg(long, env = "HUBBUB_OTLP_SAMPLE", value_name = "RATIO", default_value = "1", value_parser = parse_ratio)]
    pub otlp_sample: f64,

    /// How to log: for people, or as one JSON object a line.
    #[arg(long, env = "HUBBUB_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,

    /// What to log to stderr: error, warn, info, debug, trace, or directives like hub=debug.
    #[arg(long, env = "HUBBUB_LOG", value_name = "LEVEL", default_value = "info", value_parser = parse_log)]
    pub log: String,

    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How much is kept; tests keep less. In memory it is less, too.
    #[arg(skip)]
    pub retention: Option<hub::broker::Retention>,

    /// Limits of the hub that are not for operators; tests shorten them.
    #[arg(skip)]
    pub hub: hub::Limits,

    /// Timings that are not for operators; tests shorten them.
    #[arg(skip)]
    pub timing: Timing,
}

/// How to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What `hubbub` can do besides serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Write all messages to standard output, one JSON object a line; servers may be running.
    Export,
    /// Look at the settings, try what they name, look through all that is kept, and say everything that is wrong; a server
    /// may be running. Ends with 0 only if nothing is.
    Check,
    /// Race the roads that a program can take to a running server: how long there and back takes, and what it costs.
    Lab(crate::lab::Asked),
    /// Print a token for whom and for what you like, signed with this server's key; servers may be running.
    Token(crate::mint::Asked),
    /// Print what completes the words of this command in a shell.
    Completions {
        /// Which shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the manual page, as man(1) reads it.
    Man,
    /// Manage a running server: settings, taking back, putting out, lists. It goes there with a token of the server's key, or
    /// with the one in HUBBUB_TOKEN.
    Admin(crate::admin::Asked),
    /// Read what `export` wrote; messages that are there already are not stored twice, so a broken
    /// import is simply started again. No server may be running on the data directory; on a log on NATS they may.
    Import {
        /// The file to read; standard input if there is none.
        file: Option<PathBuf>,
    },
}

impl Config {
    /// Whether what is kept is in the data directory.
    pub(crate) fn uses_data(&self) -> bool {
        !self.ephemeral && self.nats.broker.is_none()
    }

    /// The defaults, on a free port, keeping nothing: for tests.
    pub fn ephemeral() -> Self {
        Self::parse_from(["hubbub", "--ephemeral", "--listen", "127.0.0.1:0"])
    }
}

/// How long the server waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long the head of a request may take, and how long a connection may idle before it. Default 30
    /// seconds.
    pub head: Duration,
    /// How long the body of a request may take. Default 30 seconds.
    pub body: Duration,
    /// How often a WebSocket is pinged. Default 25 seconds, below the 30 that proxies often allow.
    pub ping_interval: Duration,
    /// How long a Socket.IO client on polling may stay away between two polls. Default 15 seconds.
    pub poll_within: Duration,
    /// How long a WebSocket may be silent, pongs included, before it is closed. Default 60 seconds.
    pub silence: Duration,
    /// How long one write may take before the connection is given up. Default 30 seconds.
    pub write: Duration,
    /// How long one whose token has expired may read on until it is closed. Default 25 seconds.
    pub grace: Duration,
    /// How long there is between two fetches of keys, at the least. Default 30 seconds.
    pub fetches: Duration,
    /// How long there is between two looks at the files of a certificate. Default 30 seconds.
    pub certificate: Duration,
    /// How long an order of a certificate that failed waits at first; each next time four times as long, up to an hour.
    /// Default 10 seconds.
    pub order: Duration,
    /// How long a webhook that was not taken waits at first; each next time twice as long. Default 1 second.
    pub retry: Duration,
    /// How long connections get to end after SIGTERM. Default 4 seconds.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(30),
            body: Duration::from_secs(30),
            ping_interval: Duration::from_secs(25),
            poll_within: Duration::from_secs(15),
            silence: Duration::from_secs(60),
            write: Duration::from_secs(30),
            grace: Duration::from_secs(25),
            fetches: Duration::from_secs(30),
            certificate: Duration::from_secs(30),
            order: Duration::from_secs(10),
            retry: Duration::from_secs(1),
            drain: Duration::from_secs(4),
        }
    }
}

/// An origin is a scheme and a host, with a port where it is not the scheme's own (RFC 6454
/// section 6.2): no path, not even `/`.
fn parse_origin(text: &str) -> Result<String, String> {
    let shape = || format!("`{text}` is not an origin like https://example.org");
    let uri: Uri = text.parse().map_err(|_| shape())?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority))
            if text.ends_with(authority.as_str()) && !authority.as_str().contains('@') =>
        {
            // Browsers leave the scheme's own port out.
            let own = if text.starts_with("https") { ":443" } else { ":80" };
            Ok(text.strip_suffix(own).unwrap_or(text).to_ascii_lowercase())
        }
        _ => Err(shape()),
    }
}

/// Parts of letters, digits, `-`, `_`, `.` and `~`, each behind a slash; nothing, or a slash alone, is the root.
fn parse_base(text: &str) -> Result<String, String> {
    let base = text.trim_end_matches('/');
    let is_part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    };
    /// What begins an address of ours.
    const OURS: [&str; 11] = [
        "admin",
        "api",
        "healthz",
        "lab",
        "metrics",
        "pkg",
        "readyz",
        "rooms",
        "settings",
        "socket.io",
        "ws",
    ];
    let is_path = base.strip_prefix('/').is_some_and(|parts| parts.split('/').all(is_part));
    let is_ours = base.split('/').nth(1).is_some_and(|first| OURS.contains(&first));
    match base.is_empty() || (is_path && !is_ours) {
        true => Ok(base.to_owned()),
        false if is_ours => Err(format!("`{text}` begins as addresses of Hubbub do")),
        false => Err(format!("`{text}` is not a path like /hub")),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=3_600.0).contains(seconds));
    let seconds =
        seconds.ok_or_else(|| format!("`{text}` is not a number of seconds from 0 to 3600"));
    seconds.map(Duration::from_secs_f64)
}

/// How long a client may wait for what it said to be kept.
fn parse_within(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.01..=30.0).contains(seconds));
    let seconds =
        seconds.ok_or_else(|| format!("`{text}` is not a number of seconds from 0.01 to 30"));
    seconds.map(Duration::from_secs_f64)
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("`{text}` is not a number from 0 to 1"))
}

fn parse_log(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

/// A network, or an address alone.
fn parse_network(text: &str) -> Result<IpNet, String> {
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    text.parse().ok().or_else(alone).ok_or_else(|| format!("`{text}` is no address or network"))
}

/// A name that a certificate can be for.
fn parse_domain(text: &str) -> Result<String, String> {
    let name = text.to_ascii_lowercase();
    match ServerName::try_from(name.as_str()) {
        Ok(ServerName::DnsName(_)) if !name.ends_with('.') => Ok(name),
        _ => Err(format!("`{text}` is not a name like hub.example.org")),
    }
}

fn parse_email(text: &str) -> Result<String, String> {
    let is_whole = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || "@,?%".contains(c))
    };
    match text.split_once('@') {
        Some((name, host)) if is_whole(name) && is_whole(host) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not an address like ada@example.org")),
    }
}

fn parse_directory(text: &str) -> Result<reqwest::Url, String> {
    let url = fetch::parse_url(text)?;
    match url.scheme() {
        "https" => Ok(url),
        _ => Err(format!("`{text}` is not https")),
    }
}

fn parse_stun(text: &str) -> Result<String, String> {
    parse_url(text, ["stun", "stuns"])
}

fn parse_turn(text: &str) -> Result<String, String> {
    parse_url(text, ["turn", "turns"])
}

/// The name of a host, and the port, where browsers show one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName {
    /// In small letters, without a dot at its end.
    pub name: String,
    /// None, if it is that of the scheme.
    pub port: Option<u16>,
}

impl HostName {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a name like hub.example.org or hub.example.org:8443");
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match !name.is_empty() && name.chars().all(is_of_a_name) {
            true => Ok(Self { name: name.trim_end_matches('.').to_ascii_lowercase(), port }),
            false => Err(wrong()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_or_a_network_and_a_host_a_name() {
        assert_eq!(parse_network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
        assert_eq!(parse_network("::1").unwrap().to_string(), "::1/128");
        assert!(parse_network("proxy").is_err());
        let name = |text: &str| HostName::parse(text).map(|host| (host.name, host.port));
        assert_eq!(name("Hub.Example.ORG.").unwrap(), ("hub.example.org".to_owned(), None));
        assert_eq!(name("hub:3000").unwrap(), ("hub".to_owned(), Some(3_000)));
        for bad in ["", ":3000", "hub:", "hub:x", "https://hub", "a/b", "*"] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_certificate_is_for_a_name_and_its_directory_is_secure() {
        assert_eq!(parse_domain("Hub.Example.ORG").unwrap(), "hub.example.org");
        for bad in ["", "*.example.org", "127.0.0.1", "::1", "hub.example.org.", "hub:443", "a b"] {
            assert!(parse_domain(bad).is_err(), "{bad}");
        }
        for bad in ["ada", "ada@", "@example.org", "a@b@c", "ada@example.org,b@example.org"] {
            assert!(parse_email(bad).is_err(), "{bad}");
        }
        assert!(parse_directory("https://127.0.0.1:14000/dir").is_ok());
        assert!(parse_directory("http://127.0.0.1:14000/dir").is_err());
    }

    #[test]
    fn a_certificate_comes_by_one_way() {
        let read = |flags: &[&str]| Config::try_parse_from([&["hubbub"], flags].concat());
        let acme = ["--acme", "a.example.org", "--acme", "b.example.org,c.example.org"];
        let names = read(&acme).unwrap().acme;
        assert_eq!(names, ["a.example.org", "b.example.org", "c.example.org"]);
        let files = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
        let error = read(&[&acme[..], &files].concat()).unwrap_err().to_string();
        assert!(error.contains("cannot be used with"), "{error}");
        assert!(read(&["--acme-email", "ada@example.org"]).is_err());
    }

    #[test]
    fn a_base_is_a_path_of_plain_characters() {
        for (text, base) in
            [("", ""), ("/", ""), ("/hub", "/hub"), ("/hub/", "/hub"), ("/a/b-c", "/a/b-c")]
        {
            assert_eq!(parse_base(text).unwrap(), base);
        }
        for bad in [
            "hub",
            "//",
            "/a//b",
            "/..",
            "/a b",
            "/a\"b",
            "https://a/hub",
            "/%2e",
            "/rooms",
            "/api/x",
        ] {
            assert!(parse_base(bad).is_err() || bad == "//", "{bad}");
        }
    }

    #[test]
    fn a_ratio_is_from_none_to_all() {
        for (text, ratio) in [("0", 0.0), ("0.01", 0.01), ("1", 1.0)] {
            assert_eq!(parse_ratio(text), Ok(ratio));
        }
        for bad in ["", "-0.1", "1.1", "50%", "NaN", "inf"] {
            assert!(parse_ratio(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_has_a_scheme_and_a_host_and_nothing_else() {
        assert_eq!(parse_origin("https://Example.org:8443").unwrap(), "https://example.org:8443");
        assert_eq!(parse_origin("https://example.org:443").unwrap(), "https://example.org");
        for bad in [
            "example.org",
            "https://",
            "https://a/",
            "https://a/b",
            "ftp://a",
            "https://a?b",
            "https://u@a",
            "*",
            "null",
        ] {
            assert!(parse_origin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_turn_server_takes_a_secret_from_a_file() {
        let read = |flags: &[&str]| Config::try_parse_from([&["hubbub"], flags].concat());
        let turn = ["--turn", "turn:10.0.0.1"];
        let error = read(&turn).unwrap_err().to_string();
        assert!(error.contains("--turn-secret"), "{error}");
        let file = std::env::temp_dir().join(format!("hubbub-secret-{}", uuid::Uuid::new_v4()));
        let path = file.to_str().unwrap();
        let with = [&turn[..], &["--turn-secret", path]].concat();
        std::fs::write(&file, "short\n").unwrap();
        let error = read(&with).unwrap_err().to_string();
        assert!(error.contains("shorter than 16 bytes"), "{error}");
        std::fs::write(&file, "long enough to be one\n").unwrap();
        assert_eq!(read(&with).unwrap().turn, ["turn:10.0.0.1"]);
        std::fs::remove_file(file).unwrap();
        let error = read(&["--stun", "stun.example.org"]).unwrap_err().to_string();
        assert!(error.contains("is not like stun:host.example.org"), "{error}");
    }

    #[test]
    fn a_wrong_origin_is_refused_at_start_by_name() {
        let error = Config::try_parse_from(["hubbub", "--allow-origin", "nowhere"]).unwrap_err();
        assert!(error.to_string().contains("`nowhere` is not an origin"), "{error}");
    }
}
