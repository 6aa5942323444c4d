//! The memory broker keeps the contract of all brokers.
#![allow(missing_docs)]

use std::sync::Arc;

use hub::broker::{Broker, Retention, memory::MemoryBroker};

fn memory(retention: Retention) -> Arc<dyn Broker> {
    Arc::new(MemoryBroker::new(retention))
}

hub::broker_contract!(memory);
