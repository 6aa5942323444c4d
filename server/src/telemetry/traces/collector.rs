//! Who spans are sent to. It may be away, or slow: that holds up nobody, and what it does not take is dropped.

use std::sync::atomic::{AtomicBool, Ordering};

use opentelemetry_proto::{
    tonic::collector::trace::v1::ExportTraceServiceRequest,
    transform::{
        common::tonic::ResourceAttributesWithSchema,
        trace::tonic::group_spans_by_resource_and_scope,
    },
};
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{SpanData, SpanExporter},
};
use prost::Message;
use reqwest::Url;
use tokio::runtime::Handle;

use crate::fetch;

/// What is behind the address of a collector, where it takes traces.
const PATH: &str = "/v1/traces";

/// Reads the address of a collector; where it takes traces is put behind it, unless it is there
/// ([OTLP](https://opentelemetry.io/docs/specs/otel/protocol/exporter/#endpoint-urls-for-otlphttp)).
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let mut url: Url = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
    let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_plain {
        return Err(format!("`{text}` is not an address like http://127.0.0.1:4318"));
    }
    let path = url.path().trim_end_matches('/');
    let path = format!("{}{PATH}", path.strip_suffix(PATH).unwrap_or(path));
    url.set_path(&path);
    Ok(url)
}

/// One collector.
#[derive(Debug)]
pub(super) struct Collector {
    url: Url,
    resource: ResourceAttributesWithSchema,
    /// Batches are made up by a thread of their own, which knows no runtime; requests are made on this one.
    runtime: Handle,
    /// It did not take the last batch.
    is_away: AtomicBool,
}

impl Collector {
    /// Who takes traces at `url`. To be called in a runtime.
    pub(super) fn at(url: Url) -> Self {
        let (resource, is_away) = (ResourceAttributesWithSchema::default(), AtomicBool::new(false));
        Self { url, resource, runtime: Handle::current(), is_away }
    }
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let url = self.url.clone();
        let posting = self.runtime.spawn(async move {
            let answered = fetch::post(&url, &[], fetch::Body::protobuf(body)).await?;
            match answered.status {
                200..300 => Ok(()),
                status => Err(format!("it answered {status}")),
            }
        });
        let posted = posting.await.unwrap_or_else(|_| Err("the server stops".to_owned()));
        let was_away = self.is_away.swap(posted.is_err(), Ordering::Relaxed);
        match &posted {
            Ok(()) if was_away => tracing::info!("traces are taken again"),
            Err(error) if !was_away => {
                tracing::warn!(%error, "traces can't be delivered; until they can they are dropped");
            }
            _ => {}
        }
        posted.map_err(OTelSdkError::InternalFailure)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_traces_are_taken_is_put_behind_the_address_of_a_collector() {
        for (text, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://o.example/otlp", "https://o.example/otlp/v1/traces"),
            ("https://o.example/otlp/v1/traces", "https://o.example/otlp/v1/traces"),
            ("https://o.example/v1/traces/", "https://o.example/v1/traces"),
        ] {
            assert_eq!(parse_url(text).unwrap().as_str(), url, "{text}");
        }
        for bad in ["collector:4318", "grpc://a", "http://", "http://a?b", "http://u:p@a", "a"] {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
