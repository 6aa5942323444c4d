//! Where the servers of NATS are, and with that, where they want it, who one is.

use std::{fmt, str::FromStr};

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

/// Addresses of one cluster, and who one is there. What is shown of them says only where they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Servers {
    addresses: Vec<ServerAddr>,
    who: Who,
}

#[derive(Clone, PartialEq, Eq)]
enum Who {
    Anybody,
    Token(String),
    User(String, String),
}

/// Why that is no address: without the text, in which there may be a password.
const SHAPE: &str = "it is not like nats://host:4222, or several of these with commas between them";

impl Servers {
    pub(crate) fn addresses(&self) -> Vec<ServerAddr> {
        self.addresses.clone()
    }

    /// Options by which one is whom the addresses say.
    pub(crate) fn identified(&self) -> ConnectOptions {
        match self.who.clone() {
            Who::Anybody => ConnectOptions::new(),
            Who::Token(token) => ConnectOptions::with_token(token),
            Who::User(user, password) => ConnectOptions::with_user_and_password(user, password),
        }
    }
}

impl Who {
    /// What is before the `@`, in which what an address can't have is written as `%` and two hexadecimal digits.
    fn parse(text: &str) -> Result<Self, &'static str> {
        let read = |part: &str| match percent_decode_str(part).decode_utf8() {
            Ok(part) if !part.is_empty() => Ok(part.into_owned()),
            _ => Err(SHAPE),
        };
        Ok(match text.split_once(':') {
            Some((user, password)) => Self::User(read(user)?, read(password)?),
            None => Self::Token(read(text)?),
        })
    }
}

impl FromStr for Servers {
    type Err = &'static str;

    /// `nats://host:4222`, or `tls://…`; several with commas between them. Before the first host `user:password@` or
    /// `token@`, where that is wanted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
        if !matches!(scheme, "nats" | "tls") {
            return Err(SHAPE);
        }
        let (who, hosts) = match rest.split_once('@') {
            Some((who, hosts)) => (Who::parse(who)?, hosts),
            None => (Who::Anybody, rest),
        };
        let address = |host: &str| {
            let own = host.strip_prefix(scheme).and_then(|rest| rest.strip_prefix("://"));
            let host = own.unwrap_or(host);
            if host.is_empty() || host.contains(['/', '?', '#', '@']) {
                return Err(SHAPE);
            }
            format!("{scheme}://{host}").parse().map_err(|_| SHAPE)
        };
        Ok(Self { addresses: hosts.split(',').map(address).collect::<Result<_, _>>()?, who })
    }
}

impl fmt::Display for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(ServerAddr::as_url_str).collect();
        f.write_str(&addresses.join(","))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Servers({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_are_one_setting() {
        for (text, servers) in [
            ("nats://a", "nats://a"),
            ("nats://a:1,b:2,nats://c", "nats://a:1,nats://b:2,nats://c"),
            ("tls://ada:p@a,b", "tls://a,tls://b"),
            ("nats://tea@[::1]:4222", "nats://[::1]:4222"),
        ] {
            assert_eq!(text.parse::<Servers>().unwrap().to_string(), servers);
        }
        for bad in [
            "",
            "a",
            "nats://",
            "http://a",
            "nats://a,",
            "nats://a,,b",
            "nats://a/b",
            "nats://a:x",
            "nats://u:p@a,v:q@b",
            "nats://:p@a",
            "nats://u:%ff@a",
        ] {
            assert!(bad.parse::<Servers>().is_err(), "{bad}");
        }
    }

    #[test]
    fn who_one_is_is_read_and_not_shown() {
        let servers: Servers = "nats://ada:s%40crow@a:1,b".parse().unwrap();
        assert!(servers.who == Who::User("ada".to_owned(), "s@crow".to_owned()));
        assert_eq!(format!("{servers:?}"), "Servers(nats://a:1,nats://b)");
        let servers: Servers = "nats://tea@a".parse().unwrap();
        assert!(servers.who == Who::Token("tea".to_owned()));
    }
}
