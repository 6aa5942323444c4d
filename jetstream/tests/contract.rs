//! The broker on JetStream keeps the contract of all brokers, on a real server and on a simulated one that does nothing wrong.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::{Arc, LazyLock};

use hub::broker::{Broker, Retention};
use jetstream::{JetStreamBroker, Options};
use tokio::{runtime::Handle, task::block_in_place};

use support::Nats;

static NATS: LazyLock<Nats> = LazyLock::new(Nats::start);

fn jetstream(mut retention: Retention) -> Arc<dyn Broker> {
    // The server lays it aside for each of the streams.
    retention.total_bytes = retention.total_bytes.min(64 * 1024 * 1024);
    let name = format!("test-{}", uuid::Uuid::new_v4().simple());
    let options = Options { name, ..Options::at(NATS.url().parse().unwrap()) };
    let opening = JetStreamBroker::open(options, retention);
    Arc::new(block_in_place(|| Handle::current().block_on(opening)).unwrap())
}

hub::broker_contract!(jetstream;);

/// So the simulated one can be taken for a real one, where nothing goes wrong.
mod simulated {
    use std::time::Duration;

    use jetstream::simulated::{Faults, SimulatedNats};

    use super::*;

    fn simulated(retention: Retention) -> Arc<dyn Broker> {
        let nats = SimulatedNats::new(fastrand::Rng::with_seed(0), Faults::NONE, 0);
        let opening = nats.hub(retention, Duration::from_secs(120));
        let (_, broker) = block_in_place(|| Handle::current().block_on(opening)).unwrap();
        Arc::new(broker)
    }

    hub::broker_contract!(simulated;);
}
