//! Where this server's log is, and the key that its tokens are signed with: by what the operator chose.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use hub::{
    broker::{Broker, BrokerError, Retention, memory::MemoryBroker},
    peers::Peers,
};
use jetstream::JetStreamBroker;
use tokio::time::{Instant, sleep};

use crate::{
    broker::sqlite::{self, SqliteBroker},
    config::Config,
    identity::{Identity, new_key},
    telemetry::Telemetry,
};

/// For how long NATS may not answer at a start, and how long it is left alone between two tries.
const START: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(500);
/// What the key of all hubs of a log is kept as.
const KEY: &str = "token-key";

/// Why a log, or the key, can't be had.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory can't be used.
    #[error("can't use the data directory {}: {error}", dir.display())]
    Data {
        /// The directory.
        dir: PathBuf,
        /// Why not.
        error: sqlite::OpenError,
    },
    /// The log on NATS can't be used.
    #[error("can't use the log on NATS: {0}")]
    Nats(#[from] jetstream::OpenError),
    /// The log does not give the key.
    #[error("can't have the key: {0}")]
    Key(#[from] BrokerError),
    /// The file of the key can't be used.
    #[error("can't use the key: {0}")]
    KeyFile(io::Error),
}

impl StartError {
    /// Whether it may be otherwise in a moment.
    fn may_pass(&self) -> bool {
        use jetstream::OpenError::{Away, Stream};
        matches!(self, Self::Nats(Away(_) | Stream(..)) | Self::Key(_))
    }
}

/// What a server is over.
pub(crate) struct Store {
    /// Who signs its tokens.
    pub(crate) identity: Identity,
    /// The log.
    pub(crate) broker: Arc<dyn Broker>,
    /// The way to the other hubs of that log, where there can be any.
    pub(crate) peers: Option<Arc<dyn Peers>>,
}

impl Store {
    /// For one hub alone.
    pub(crate) fn alone(identity: Identity, broker: Arc<dyn Broker>) -> Self {
        Self { identity, broker, peers: None }
    }
}

/// The log and the key. What is not there is made.
pub(crate) async fn open(config: &Config, telemetry: &Telemetry) -> Result<Store, StartError> {
    if let Some((identity, log)) = on_nats_soon(config).await? {
        let commit = telemetry.commit.clone();
        let peers = Some(log.peers());
        let broker = Arc::new(log.observed(move |took| commit.record(took)));
        return Ok(Store { identity, broker, peers });
    }
    if config.ephemeral {
        let retention = config.retention.clone().unwrap_or_else(Retention::in_memory);
        let own = own(config)?.unwrap_or_else(Identity::ephemeral);
        return Ok(Store::alone(own, Arc::new(MemoryBroker::new(retention))));
    }
    let unusable = |error| StartError::Data { dir: config.data.clone(), error };
    let retention = config.retention.clone().unwrap_or_default();
    let log = SqliteBroker::open(&config.data, retention, config.sync).map_err(unusable)?;
    Ok(Store::alone(in_data(config)?, Arc::new(log.observed(telemetry.commit.clone()))))
}

/// The log on NATS and its key, if that is where it is. Servers that have just been started, or are to choose who leads
/// first, get a while to answer.
async fn on_nats_soon(config: &Config) -> Result<Option<(Identity, JetStreamBroker)>, StartError> {
    let once = async || match on_nats(config, true).await? {
        Some(log) => Ok(Some((shared(config, &log).await?, log))),
        None => Ok::<_, StartError>(None),
    };
    let started = Instant::now();
    loop {
        match once().await {
            Err(error) if error.may_pass() && started.elapsed() < START => {
                tracing::warn!(%error, "trying again");
                sleep(AGAIN).await;
            }
            done => return done,
        }
    }
}

/// The log on NATS, if that is where it is; its streams are made only if `make`.
///
/// # Errors
///
/// [`StartError::Nats`].
pub async fn on_nats(config: &Config, make: bool) -> Result<Option<JetStreamBroker>, StartError> {
    let Some(options) = config.nats.options(make) else { return Ok(None) };
    let retention = config.retention.clone().unwrap_or_default();
    Ok(Some(JetStreamBroker::open(options, retention).await?))
}

/// The key alone, which is made if it is not there; a server may be running.
pub(crate) async fn identity(config: &Config) -> Result<Identity, StartError> {
    match on_nats(config, false).await? {
        Some(log) => shared(config, &log).await,
        None => in_data(config),
    }
}

/// The key in its file, if one is named.
fn own(config: &Config) -> Result<Option<Identity>, StartError> {
    let own = config.key_file.as_deref().map(Identity::read_key).transpose();
    own.map_err(StartError::KeyFile)
}

fn in_data(config: &Config) -> Result<Identity, StartError> {
    if let Some(own) = own(config)? {
        return Ok(own);
    }
    Identity::load(&config.data).map_err(|error| {
        let error = sqlite::OpenError::Io(error);
        StartError::Data { dir: config.data.clone(), error }
    })
}

/// The key of all hubs of a log.
async fn shared(config: &Config, log: &JetStreamBroker) -> Result<Identity, StartError> {
    match own(config)? {
        Some(own) => Ok(own),
        None => Ok(Identity::with_key(&log.secret(KEY, &new_key()).await?)),
    }
}
