//! Where NATS is, and why it can't be used.

use std::{path::PathBuf, time::Duration};

use crate::{Servers, stream::Failure};

/// Where NATS is, and how the log is kept there.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where its servers are.
    pub servers: Servers,
    /// A file that says who one is there (`.creds`), where it wants that.
    pub credentials: Option<PathBuf>,
    /// What its streams and subjects are called; hubs of one name are one. Default `hubbub1`.
    pub name: String,
    /// How many servers keep each message, 1 to 5: counts when the streams are made. Default 1.
    pub replicas: usize,
    /// How long anything that is asked of it may take. Default 5 s.
    pub wait: Duration,
    /// How long an id is known to all hubs, whatever became of its message. Costs about 270 bytes a message of that time on each
    /// server. Counts when the streams are made. Default 2 minutes.
    pub window: Duration,
    /// Over how many streams rooms are spread, 1 to 64: counts when the log is made. Default 1.
    pub streams: usize,
    /// Whether its streams are made if there are none. Default yes.
    pub make: bool,
}

impl Options {
    /// The defaults, at these servers.
    pub fn at(servers: Servers) -> Self {
        Self {
            servers,
            credentials: None,
            name: "hubbub1".to_owned(),
            replicas: 1,
            streams: 1,
            wait: Duration::from_secs(5),
            window: Duration::from_secs(120),
            make: true,
        }
    }
}

/// Why the log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No server answers.
    #[error("NATS can't be reached: {0}")]
    Away(String),
    /// What says who one is can't be read.
    #[error("{}: {error}", file.display())]
    Credentials {
        /// Their file.
        file: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// It does not know what is needed.
    #[error("NATS {0} is too old: it has to be 2.12.1 or newer")]
    TooOld(String),
    /// There is none of this name, and it was not to be made.
    #[error("there is no stream {0}")]
    NoStream(String),
    /// The stream of this name can't be made or had.
    #[error("the stream {0} can't be had: {1}")]
    Stream(String, String),
    /// A stream of this name is there, and in this is not what Hubbub needs.
    #[error("there is a stream {0} whose `{1}` is not what Hubbub needs")]
    OtherStream(String, &'static str),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Away(failure.to_string())
    }
}
