//! How an ACME directory is asked: over HTTPS, trusting whom the system trusts, or whom the operator names for it.

use std::{future::Future, io, path::Path, pin::Pin, sync::Arc, time::Duration};

use axum::http::{Request, Response, header};
use bytes::Bytes;
use http_body_util::Limited;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio::time::timeout;

/// How long a directory may take to begin an answer.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: the longest there is has a chain of certificates.
const MOST: usize = 1024 * 1024;

/// Asks a directory.
#[derive(Clone)]
pub(crate) struct Asking(Client<HttpsConnector<HttpConnector>, BodyWrapper<Bytes>>);

impl Asking {
    /// `roots` is a file with whom to trust, in PEM, in place of whom the system trusts.
    ///
    /// # Errors
    ///
    /// When there is nobody to trust.
    pub(crate) fn new(roots: Option<&Path>, provider: Arc<CryptoProvider>) -> io::Result<Self> {
        let builder = HttpsConnectorBuilder::new();
        let builder = match roots {
            None => builder.with_provider_and_native_roots(provider)?,
            Some(file) => {
                let named = |why| io::Error::other(format!("--acme-ca {}: {why}", file.display()));
                let roots = read(file).map_err(named)?;
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(io::Error::other)?;
                builder.with_tls_config(config.with_root_certificates(roots).with_no_client_auth())
            }
        };
        let connector = builder.https_only().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).build(connector)))
    }
}

/// Whom a file names.
fn read(file: &Path) -> Result<RootCertStore, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file)? {
        roots.add(certificate?)?;
    }
    match roots.is_empty() {
        true => Err("there is no certificate in it".into()),
        false => Ok(roots),
    }
}

impl HttpClient for Asking {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let asked = timeout(WITHIN, self.0.request(request));
        Box::pin(async move {
            let late =
                |_| Error::Other(format!("no answer within {} seconds", WITHIN.as_secs()).into());
            let answer = asked.await.map_err(late)?.map_err(|error| Error::Other(error.into()))?;
            match is_readable(&answer) {
                true => Ok(answer.map(|body| Limited::new(body, MOST)).into()),
                false => Err(Error::Other(format!("it answered {}", answer.status()).into())),
            }
        })
    }
}

/// Whether it is what was asked for, or says in ACME's own words why not (RFC 8555 section 6.7).
fn is_readable(answer: &Response<Incoming>) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    answer.status().is_success() || kind.starts_with("application/problem+json")
}
