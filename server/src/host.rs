//! By which names this server may be called.
//!
//! A page of another site can have its own name lead to this server (DNS rebinding); then its `Origin` and its
//! `Host` agree, and the browser sees one site. What such a page can't have is a name that is ours: an
//! address, `localhost`, a name of the local network, or one that the operator has told.

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Uri, Version, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use common::{ErrorCode, Refusal};

use crate::{config::HostName, problem::Problem, state::ServerState};

/// Lets requests pass that are sent to a name of ours.
pub(crate) async fn check(
    State(server): State<ServerState>,
    request: Request,
    next: Next,
) -> Response {
    let told = told(request.version(), request.uri(), request.headers());
    match told.and_then(|host| is_ours(&host, &server.config.hosts)) {
        Ok(()) => next.run(request).await,
        Err(refusal) => Problem(refusal).into_response(),
    }
}

/// The one host a request is sent to (RFC 9112 section 3.2).
fn told(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Authority::try_from(host.as_bytes()).ok(),
        (None, None) if version < Version::HTTP_11 => {
            return Ok(Authority::from_static("localhost"));
        }
        _ => None,
    };
    let host = host.filter(|host| !host.as_str().contains('@'));
    match (host, uri.authority()) {
        (Some(host), None) => Ok(host),
        (Some(host), Some(target)) if host == *target => Ok(host),
        _ => Err(Refusal::field("Host", "a request has one `Host`, a name or an address")),
    }
}

fn is_ours(host: &Authority, told: &[HostName]) -> Result<(), Refusal> {
    let name = host.host().trim_end_matches('.').to_ascii_lowercase();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_address = address.unwrap_or(&name).parse::<std::net::IpAddr>().is_ok();
    // No public name has one part only, or ends like these (RFC 6761, RFC 6762, RFC 8375).
    let is_local = !name.contains('.')
        || [".localhost", ".local", ".home.arpa", ".internal"]
            .iter()
            .any(|end| name.ends_with(end));
    if is_address || is_local || told.iter().any(|told| told.name == name) {
        return Ok(());
    }
    let message =
        format!("this server is not known as `{name}`; the operator can tell it with --host");
    Err(Refusal { field: Some("Host".to_owned()), ..Refusal::new(ErrorCode::WrongHost, message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &[&str], target: &str) -> Result<String, Refusal> {
        let headers =
            hosts.iter().map(|host| (header::HOST, host.parse().unwrap())).collect::<HeaderMap>();
        told(Version::HTTP_11, &target.parse().unwrap(), &headers).map(|host| host.to_string())
    }

    #[test]
    fn a_request_names_one_host() {
        assert_eq!(of(&["a:1"], "/").unwrap(), "a:1");
        assert_eq!(of(&["a"], "http://a/").unwrap(), "a");
        for (hosts, target) in [
            (&[][..], "/"),
            (&["a", "a"], "/"),
            (&["a"], "http://b/"),
            (&["u@a"], "/"),
            (&["a b"], "/"),
        ] {
            let refusal = of(hosts, target).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some("Host"), "{hosts:?}");
        }
    }

    #[test]
    fn addresses_local_names_and_those_that_were_told_are_ours() {
        let told = [HostName { name: "hub.example".to_owned(), port: None }];
        let passes = |host: &str| is_ours(&host.parse().unwrap(), &told);
        for ours in [
            "127.0.0.1:3000",
            "192.168.1.7",
            "[::1]:3000",
            "localhost:3000",
            "a.localhost",
            "printer.local",
            "hub",
            "hub.example",
            "HUB.example.:443",
        ] {
            assert_eq!(passes(ours), Ok(()), "{ours}");
        }
        for other in
            ["evil.example", "hub.example.evil.example", "127.0.0.1.evil.example", "xlocal.example"]
        {
            let refusal = passes(other).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::WrongHost);
            assert!(refusal.message.contains("--host"));
        }
    }
}
