//! An address: a scheme, a host and a path prefix, checked before anything is sent to it.

use crate::fault::Fault;
use crate::inert;
use reqwest::Url;
use std::net::IpAddr;

/// Where a server is: `https://host[:port][/path][?query]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
}

impl Address {
    /// Reads an address. A host in any other notation (`2130706433`, `0x7f.1`) is what it means.
    ///
    /// # Errors
    /// White space, another scheme than HTTP's, no host, a user or a password, a fragment.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let refused = |why: &str| {
            let shown = inert::one_line(text);
            Err(Fault::new(format!("`{shown}` is no address that relapse speaks to: {why}")).help("write it as `https://host/path`"))
        };
        // What a reader skips and a URL parser removes would make two addresses of one.
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return refused("it holds white space, a control character or a backslash");
        }
        let Ok(url) = Url::parse(text) else { return refused("it cannot be read") };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return refused("it does not begin with http:// or https:// and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Fault::new("an address holds a user or a password").help("name the key's variable under `key` instead"));
        }
        if url.fragment().is_some() {
            return refused("it has a fragment");
        }
        Ok(Self { url })
    }

    /// The host in lower case; an IPv6 address stands in brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Host and port, the port also where the scheme implies it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host(), self.url.port_or_known_default().unwrap_or_default())
    }

    /// Whether it is encrypted on the way.
    pub fn is_encrypted(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']).trim_end_matches('.');
        let ip = host.parse::<IpAddr>().map(|ip| ip.to_canonical());
        host == "localhost" || host.ends_with(".localhost") || ip.is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified())
    }

    /// The path, without a slash at its end.
    pub fn path(&self) -> &str {
        self.url.path().trim_end_matches('/')
    }

    /// The query, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.url.query().filter(|query| !query.is_empty())
    }

    /// Path and query on this host.
    pub(super) fn url(&self, path_and_query: &str) -> Url {
        let (path, query) = path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(query);
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_in_every_notation() {
        for text in [
            "http://127.0.0.1:8080/v1",
            "http://localhost",
            "http://LOCALHOST.:1",
            "http://api.localhost",
            "http://[::1]:9",
            "http://[::ffff:127.0.0.1]",
            "http://2130706433/",
            "http://0x7f.1",
            "http://0.0.0.0",
        ] {
            assert!(Address::parse(text).unwrap().is_loopback(), "{text}");
        }
        for text in ["https://api.openai.com/v1", "http://169.254.169.254", "http://localhost.evil.test", "http://127.0.0.1.evil.test"] {
            assert!(!Address::parse(text).unwrap().is_loopback(), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            "api.openai.com",
            "ftp://api.openai.com",
            "file:///etc/passwd",
            "https://",
            "https://api.openai.com\r\nHost: evil.test",
            "https://api.open\tai.com",
            "https://api.openai.com\\@evil.test",
            "https://me:secret@api.openai.com",
            "https://api.openai.com@evil.test",
            "https://api.openai.com/#x",
        ] {
            let fault = Address::parse(text).unwrap_err();
            assert!(!fault.message.contains("secret") && fault.help.is_some(), "{text}: {fault}");
        }
    }

    #[test]
    fn a_request_keeps_the_host_whatever_its_path_is() {
        let address = Address::parse("https://api.openai.com/v1/").unwrap();
        assert_eq!((address.path(), address.authority().as_str()), ("/v1", "api.openai.com:443"));
        assert_eq!(address.url("/v1/x?a=b").as_str(), "https://api.openai.com/v1/x?a=b");
        assert_eq!(address.url("//evil.test/@x").host_str(), Some("api.openai.com"));
    }
}
