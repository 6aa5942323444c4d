//! Who is at the other end: the other side of a connection, or whom a proxy of ours speaks for.
//!
//! The rule to keep: of what is said only the word of a proxy that the operator has told counts, and only in the one way
//! that was told: a proxy passes on what it does not know, and anybody could have written that.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use axum::http::{HeaderMap, HeaderValue};
use clap::ValueEnum;
use ipnet::IpNet;
use ppp::{HeaderResult, v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// What a proxy says of how a request came to it.
pub(crate) const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// How proxies say whom they speak for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ProxyHeader {
    /// In each request, by X-Forwarded-For and X-Forwarded-Proto.
    #[default]
    XForwarded,
    /// In each request, by Forwarded (RFC 7239).
    Forwarded,
    /// Before anything else on a connection, by the PROXY protocol, version 1 or 2.
    ProxyProtocol,
}

/// Where something comes from, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// None behind a Unix socket: whoever may open its file is as good as a proxy that was told.
    pub(crate) address: Option<SocketAddr>,
    /// By TLS.
    pub(crate) is_secure: bool,
}

impl Peer {
    fn at(self, address: impl Into<SocketAddr>) -> Self {
        Self { address: Some(address.into()), ..self }
    }

    /// Whether it is a proxy of ours.
    pub(crate) fn is_trusted(self, trusted: &[IpNet]) -> bool {
        self.address.is_none_or(|address| is_trusted(address.ip(), trusted))
    }

    /// Whom it speaks for by these headers: itself, unless it is a proxy of ours. Of several the last that is no such proxy
    /// counts: what stands before it anybody could have written. Afterwards they say what holds, in one way.
    pub(crate) fn speaks_for(
        mut self,
        headers: &mut HeaderMap,
        how: ProxyHeader,
        trusted: &[IpNet],
    ) -> Self {
        let hops = match how {
            _ if !self.is_trusted(trusted) => Vec::new(),
            ProxyHeader::XForwarded => x_forwarded(headers),
            ProxyHeader::Forwarded => forwarded(headers),
            ProxyHeader::ProxyProtocol => Vec::new(),
        };
        for hop in hops.into_iter().rev() {
            self.is_secure = hop.is_secure.unwrap_or(self.is_secure);
            let Some(address) = hop.address else { break };
            self.address = Some(SocketAddr::new(address.to_canonical(), 0));
            if !self.is_trusted(trusted) {
                break;
            }
        }
        headers.remove(FORWARDED_PROTO);
        if self.is_secure {
            headers.insert(FORWARDED_PROTO, HeaderValue::from_static("https"));
        }
        self
    }
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|net| net.contains(&address))
}

/// What one proxy says of whom it was asked by.
struct Hop {
    /// None, where it does not tell.
    address: Option<IpAddr>,
    is_secure: Option<bool>,
}

fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let proto = headers.get(FORWARDED_PROTO).map(|proto| proto.as_bytes() == b"https");
    let hop = |name: &str| Hop { address: name.trim().parse().ok(), is_secure: proto };
    let named = headers.get_all("x-forwarded-for").iter().map(|list| list.to_str());
    let mut hops: Vec<_> =
        named.flat_map(|list| list.unwrap_or_default().split(',').map(hop)).collect();
    if hops.is_empty() {
        hops.push(Hop { address: None, is_secure: proto });
    }
    hops
}

fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let lists = headers.get_all("forwarded").iter().map(|list| list.to_str().unwrap_or_default());
    lists.flat_map(|list| split(list, b',')).map(|hop| Hop::read(&hop)).collect()
}

impl Hop {
    /// `for=192.0.2.60;proto=https`, in any order, with more.
    fn read(pairs: &str) -> Self {
        let mut hop = Self { address: None, is_secure: None };
        for pair in split(pairs, b';') {
            let Some((name, value)) = pair.split_once('=') else { continue };
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                "for" => hop.address = node(value),
                "proto" => hop.is_secure = Some(value.eq_ignore_ascii_case("https")),
                _ => {}
            }
        }
        hop
    }
}

/// The address in `192.0.2.60:4711` or `[2001:db8::1]:4711`, with a port or without; none of one that hides (RFC 7239
/// section 6).
fn node(text: &str) -> Option<IpAddr> {
    match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0.parse().map(IpAddr::V6).ok(),
        None => text.split(':').next()?.parse().map(IpAddr::V4).ok(),
    }
}

/// What stands between `separator`s that are not in quotes. It is read from its end, where our proxy has written: a quote
/// that somebody before it has not closed hides nothing of that.
fn split(list: &str, separator: u8) -> Vec<String> {
    let (mut parts, mut end, mut is_quoted) = (Vec::new(), list.len(), false);
    let bytes = list.as_bytes();
    for at in (0..bytes.len()).rev() {
        let is_escaped =
            bytes[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1;
        match bytes[at] {
            b'"' if !is_escaped => is_quoted = !is_quoted,
            byte if byte == separator && !is_quoted => {
                parts.push(list[at + 1..end].trim().to_owned());
                end = at;
            }
            _ => {}
        }
    }
    parts.push(list[..end].trim().to_owned());
    parts.reverse();
    parts
}

/// What each header of version 2 has before its addresses, the count of what follows at its end.
const FIXED_BYTES: usize = 16;
/// How long one may be: addresses and what else a proxy tells.
const HEADER_BYTES: usize = 536;
/// One of version 1, with the end of its line (section 2.1).
const LINE_BYTES: usize = 107;

/// Reads the header of the [PROXY protocol](https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt) that a connection
/// begins with, and not a byte more; says whom it speaks for. A proxy may speak for itself, to see whether we are there.
///
/// # Errors
///
/// When there is none, or one that is longer than needed.
pub(crate) async fn read_proxy_header(
    stream: &mut (impl AsyncRead + Unpin),
    proxy: Peer,
) -> io::Result<Peer> {
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    // The shortest of version 1 is longer than this.
    let mut bytes = vec![0; v2::PROTOCOL_PREFIX.len()];
    stream.read_exact(&mut bytes).await?;
    if bytes == v2::PROTOCOL_PREFIX {
        bytes.resize(FIXED_BYTES, 0);
        stream.read_exact(&mut bytes[v2::PROTOCOL_PREFIX.len()..]).await?;
        let more = usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
        if more > HEADER_BYTES - FIXED_BYTES {
            return Err(wrong("the PROXY header is too long"));
        }
        bytes.resize(FIXED_BYTES + more, 0);
        stream.read_exact(&mut bytes[FIXED_BYTES..]).await?;
    } else {
        while !bytes.ends_with(b"\r\n") {
            if !bytes.starts_with(b"PROXY ") || bytes.len() == LINE_BYTES {
                return Err(wrong("there is no PROXY header"));
            }
            bytes.push(stream.read_u8().await?);
        }
    }
    match HeaderResult::parse(&bytes) {
        HeaderResult::V1(Ok(header)) => Ok(match header.addresses {
            v1::Addresses::Tcp4(of) => proxy.at((of.source_address, of.source_port)),
            v1::Addresses::Tcp6(of) => proxy.at((of.source_address, of.source_port)),
            v1::Addresses::Unknown => proxy,
        }),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Proxy => {
            let is_tls = |tlv: v2::TypeLengthValue<'_>| {
                // Its first byte says by bit 0 that the client came by TLS (section 2.2.6).
                tlv.kind == v2::Type::SSL as u8 && tlv.value.first().is_some_and(|how| how & 1 == 1)
            };
            let is_secure = header.tlvs().flatten().any(is_tls);
            let client = Peer { is_secure: is_secure || proxy.is_secure, ..proxy };
            Ok(match header.addresses {
                v2::Addresses::IPv4(of) => client.at((of.source_address, of.source_port)),
                v2::Addresses::IPv6(of) => client.at((of.source_address, of.source_port)),
                v2::Addresses::Unix(_) | v2::Addresses::Unspecified => client,
            })
        }
        HeaderResult::V2(Ok(_)) => Ok(proxy),
        HeaderResult::V1(Err(error)) => Err(wrong(&error.to_string())),
        HeaderResult::V2(Err(error)) => Err(wrong(&error.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn peer(address: &str) -> Peer {
        let address = address.parse().ok().map(|address: IpAddr| SocketAddr::new(address, 7));
        Peer { address, is_secure: false }
    }

    /// Whom `address` speaks for by these fields, and whether over TLS.
    fn client(how: ProxyHeader, address: &str, fields: &[(&'static str, &str)]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        let client = peer(address).speaks_for(&mut headers, how, &trusted);
        let is_secure = headers.get(FORWARDED_PROTO).is_some_and(|proto| proto == "https");
        assert_eq!(is_secure, client.is_secure);
        let address = client.address.map(|address| address.ip().to_canonical().to_string());
        address.unwrap_or_default() + if is_secure { " by TLS" } else { "" }
    }

    #[test]
    fn the_last_that_is_no_proxy_of_ours_is_whom_they_speak_for() {
        let by = |address: &str, lists: &[&'static str]| {
            let fields: Vec<_> = lists.iter().map(|list| ("x-forwarded-for", *list)).collect();
            client(ProxyHeader::XForwarded, address, &fields)
        };
        assert_eq!(by("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
        assert_eq!(by("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(by("::ffff:10.0.0.1", &["1.1.1.1, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(by("10.0.0.1", &["1.1.1.1", "198.51.100.7, 10.0.0.2"]), "198.51.100.7");
        assert_eq!(by("::1", &["2001:db8::1"]), "2001:db8::1");
        assert_eq!(by("10.0.0.1", &["198.51.100.7, unknown"]), "10.0.0.1");
        assert_eq!(by("10.0.0.1", &[]), "10.0.0.1");
        // A Unix socket.
        assert_eq!(by("", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn forwarded_is_read_as_rfc_7239_has_it() {
        let by = |address: &str, list: &'static str| {
            client(ProxyHeader::Forwarded, address, &[("forwarded", list)])
        };
        assert_eq!(by("192.0.2.1", "for=198.51.100.7;proto=https"), "192.0.2.1");
        assert_eq!(by("10.0.0.1", "for=198.51.100.7"), "198.51.100.7");
        assert_eq!(by("10.0.0.1", "For=\"[2001:db8::1]:4711\";Proto=https"), "2001:db8::1 by TLS");
        let chain = "for=1.1.1.1;proto=http, for=198.51.100.7;proto=https, for=10.0.0.2;proto=http";
        assert_eq!(by("10.0.0.1", chain), "198.51.100.7 by TLS");
        assert_eq!(by("10.0.0.1", "for=198.51.100.7, for=_hidden"), "10.0.0.1");
        assert_eq!(by("10.0.0.1", "for=198.51.100.7, nonsense"), "10.0.0.1");
        assert_eq!(by("10.0.0.1", "for=198.51.100.7;"), "198.51.100.7");
        assert_eq!(by("10.0.0.1", "for=198.51.100.7:80; proto=\"https\""), "198.51.100.7 by TLS");
        // What stands in quotes is no list, whoever wrote it there.
        let host = "for=198.51.100.7;host=\"a,for=1.1.1.1;proto=https\"";
        assert_eq!(by("10.0.0.1", host), "198.51.100.7");
        // What a client wrote with a quote that never ends does not swallow what the proxy says.
        assert_eq!(by("10.0.0.1", "for=\"1.1.1.1, for=198.51.100.7"), "198.51.100.7");
    }

    #[test]
    fn only_the_header_that_was_told_counts() {
        let fields = [
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=198.51.100.8"),
        ];
        let by = |how| client(how, "10.0.0.1", &fields);
        assert_eq!(by(ProxyHeader::XForwarded), "198.51.100.7 by TLS");
        assert_eq!(by(ProxyHeader::Forwarded), "198.51.100.8");
        assert_eq!(by(ProxyHeader::ProxyProtocol), "10.0.0.1");
    }

    /// Whom `10.0.0.1` speaks for by a connection that begins so, and what is left to be read.
    async fn begun(bytes: &[u8]) -> io::Result<(Peer, Vec<u8>)> {
        let mut stream = bytes;
        let client = read_proxy_header(&mut stream, peer("10.0.0.1")).await?;
        Ok((client, stream.to_vec()))
    }

    #[tokio::test]
    async fn the_proxy_protocol_says_it_once_for_a_connection() {
        let (client, rest) =
            begun(b"PROXY TCP4 198.51.100.7 192.0.2.1 56324 443\r\nGET /").await.unwrap();
        assert_eq!(client.address, Some("198.51.100.7:56324".parse().unwrap()));
        assert!(!client.is_secure);
        assert_eq!(rest, b"GET /");

        let (client, _) = begun(b"PROXY UNKNOWN\r\n").await.unwrap();
        assert_eq!(client, peer("10.0.0.1"));

        let addresses = (
            "[2001:db8::1]:4711".parse::<SocketAddr>().unwrap(),
            "[2001:db8::2]:443".parse::<SocketAddr>().unwrap(),
        );
        let header = |command| {
            v2::Builder::with_addresses(v2::Version::Two | command, v2::Protocol::Stream, addresses)
                // Bit 0: the client came by TLS.
                .write_tlv(v2::Type::SSL, &[1, 0, 0, 0, 0])
                .unwrap()
                .build()
                .unwrap()
        };
        let bytes = [&header(v2::Command::Proxy)[..], b"GET /"].concat();
        let (client, rest) = begun(&bytes).await.unwrap();
        assert_eq!(client.address, Some(addresses.0));
        assert!(client.is_secure);
        assert_eq!(rest, b"GET /");
        // The proxy itself, to see whether we are there.
        let (client, _) = begun(&header(v2::Command::Local)).await.unwrap();
        assert_eq!(client, peer("10.0.0.1"));
    }

    #[tokio::test]
    async fn a_connection_that_begins_otherwise_is_not_read_on() {
        let long = [v2::PROTOCOL_PREFIX, &[0x21, 0x11, 0xff, 0xff]].concat();
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        for wrong in [
            &b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..],
            b"PROXY TCP4 198.51.100.7\r\n",
            b"PROXY TCP4 198.51.100.7 192.0.2.1 56324 443",
            &endless,
            &long,
            &[],
        ] {
            assert!(begun(wrong).await.is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
