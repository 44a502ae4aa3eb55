//! Where a deployment is reached.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The base URL of a deployment's HTTP API: `https://`, or `http://` if the host is this computer. It has no path,
/// since request signatures cover the whole one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerUrl(Url);

/// Why a text is not a [`ServerUrl`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ServerUrlError {
    /// It is not a URL of the form wanted.
    #[error("a server is written like https://example.org or http://127.0.0.1:8787, without path, query or user")]
    Malformed,
    /// Requests would cross the network unencrypted.
    #[error("http:// is for a server on this computer alone: use https://")]
    Unencrypted,
}

impl ServerUrl {
    /// Whether the server is on this computer.
    pub fn is_loopback(&self) -> bool {
        is_loopback_host(self.0.host_str().unwrap_or_default())
    }

    /// Whether requests travel under TLS.
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of `path`, which begins with `/`.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{self}{path}")
    }
}

/// Whether the host of a URL is this computer.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// `http://127.0.0.1:8787`, where `cargo dev` serves.
impl Default for ServerUrl {
    fn default() -> Self {
        Self(Url::parse("http://127.0.0.1:8787").expect("a constant URL"))
    }
}

impl FromStr for ServerUrl {
    type Err = ServerUrlError;

    fn from_str(text: &str) -> Result<Self, ServerUrlError> {
        let url = Url::parse(text).map_err(|_| ServerUrlError::Malformed)?;
        let is_bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !is_bare {
            return Err(ServerUrlError::Malformed);
        }
        let server = Self(url);
        if server.is_encrypted() || server.is_loopback() { Ok(server) } else { Err(ServerUrlError::Unencrypted) }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl Serialize for ServerUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_elsewhere_is_reached_under_tls_alone() {
        for (text, wanted) in [
            ("https://example.org", Ok("https://example.org")),
            ("https://example.org:8443/", Ok("https://example.org:8443")),
            ("http://127.0.0.1:8787", Ok("http://127.0.0.1:8787")),
            ("http://localhost:1/", Ok("http://localhost:1")),
            ("http://[::1]:8787", Ok("http://[::1]:8787")),
            ("http://example.org", Err(ServerUrlError::Unencrypted)),
            ("http://localhost.example.org", Err(ServerUrlError::Unencrypted)),
            ("http://192.168.0.1", Err(ServerUrlError::Unencrypted)),
        ] {
            assert_eq!(text.parse::<ServerUrl>().map(|url| url.to_string()), wanted.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn whatever_is_more_than_a_host_and_a_port_is_refused() {
        for text in [
            "",
            "example.org",
            "ftp://localhost",
            "https://a/b",
            "https://a?b",
            "https://a#b",
            "https://u:p@a",
            "file:///",
        ] {
            assert_eq!(text.parse::<ServerUrl>(), Err(ServerUrlError::Malformed), "{text}");
        }
    }
}
