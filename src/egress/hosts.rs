//! The hosts that may be spoken to, and which key may go to which of them.

use super::Address;
use crate::fault::{Fault, Faults};
use crate::inert;
use std::fmt;

/// The built-in providers' hosts, each with the variable of its key.
const BUILT_IN: [(&str, &str); 2] = [("api.openai.com", "OPENAI_API_KEY"), ("api.anthropic.com", "ANTHROPIC_API_KEY")];

/// The variable that allows hosts, besides `--allow-host`.
pub const ALLOW_HOSTS: &str = "RELAPSE_ALLOW_HOSTS";

/// A provider's key: the variable that holds it, and its value, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The variable.
    pub variable: String,
    /// The key itself.
    pub value: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.variable)
    }
}

/// The hosts that a person allowed from outside the repository, besides the built-in ones.
///
/// What the repository says can be changed by a pull request; so it names addresses, and never allows them.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    /// `host` or `host:port`, in lower case.
    allowed: Vec<String>,
    /// The values of the built-in providers' keys, under whatever name they are sent.
    reserved: Vec<String>,
}

impl Hosts {
    /// Takes the hosts of `--allow-host` and of `RELAPSE_ALLOW_HOSTS` (separated by commas or white space).
    ///
    /// # Errors
    /// What is neither `host` nor `host:port`.
    pub fn new(flags: &[String], environment: impl Fn(&str) -> Option<String>) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let variable = environment(ALLOW_HOSTS).unwrap_or_default();
        let listed = variable.split([',', ' ', '\t', '\n']).filter(|host| !host.is_empty());
        let written = flags.iter().map(String::as_str).chain(listed);
        let allowed = written.filter_map(|host| faults.take(normalised(host))).collect();
        let reserved = BUILT_IN.iter().filter_map(|(_, variable)| environment(variable)).filter(|value| !value.is_empty()).collect();
        faults.into_result(Self { allowed, reserved })
    }

    /// Whether a request may be sent to an address, and with this key.
    ///
    /// # Errors
    /// Why not, and the flag that a person may give.
    pub fn check(&self, address: &Address, key: Option<&Key>) -> Result<(), Fault> {
        let built_in = BUILT_IN.iter().find(|(host, _)| address.authority() == format!("{host}:443") && address.is_encrypted());
        let allowed = self.allows(address);
        if built_in.is_none() && !allowed {
            let fault = Fault::new(format!("{} is neither a built-in provider nor allowed from outside the repository", address.host()));
            return Err(fault.help(format!("if you trust it, run with `--allow-host {}` or set {ALLOW_HOSTS}", address.host())));
        }
        let Some(key) = key else { return Ok(()) };
        let of_built_in = BUILT_IN.iter().any(|(_, variable)| *variable == key.variable) || self.reserved.contains(&key.value);
        if address.is_loopback() && of_built_in {
            let fault =
                Fault::new(format!("the key in {} belongs to a built-in provider and does not go to {}", key.variable, address.host()));
            return Err(fault.help("name another variable under `key`, or leave `key` out"));
        }
        if allowed || built_in.is_some_and(|(_, variable)| *variable == key.variable) {
            return Ok(());
        }
        let fault = Fault::new(format!("the key in {} is not sent to {}", key.variable, address.host()));
        Err(fault.help(format!("if it belongs there, run with `--allow-host {}` or set {ALLOW_HOSTS}", address.host())))
    }

    fn allows(&self, address: &Address) -> bool {
        self.allowed.iter().any(|host| host == address.host() || *host == address.authority())
    }
}

/// A host as an address has it, so that `LOCALHOST` and `[::1]` are found.
fn normalised(written: &str) -> Result<String, Fault> {
    let refused = || {
        let fault = Fault::new(format!("`{}` is no host", inert::one_line(written)));
        fault.help("write `--allow-host llm.example.com` or `--allow-host 127.0.0.1:8080`")
    };
    let address = Address::parse(&format!("http://{written}")).map_err(|_| refused())?;
    if !address.path().is_empty() || address.query().is_some() {
        return Err(refused());
    }
    let has_port = written.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(if has_port { address.authority() } else { address.host().to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(flags: &[&str], variable: &'static str) -> Result<Hosts, Faults> {
        let flags: Vec<String> = flags.iter().map(ToString::to_string).collect();
        Hosts::new(&flags, |name| match name {
            ALLOW_HOSTS => Some(variable.to_string()),
            "OPENAI_API_KEY" => Some("built-in-key".to_string()),
            _ => None,
        })
    }

    fn check(allowed: &[&str], address: &str, variable: Option<&str>) -> bool {
        let key = variable.map(|variable| Key { variable: variable.into(), value: "probe-key-1".into() });
        hosts(allowed, "").unwrap().check(&Address::parse(address).unwrap(), key.as_ref()).is_ok()
    }

    #[test]
    fn a_key_goes_to_its_own_providers_host_only() {
        assert!(check(&[], "https://api.openai.com/v1", Some("OPENAI_API_KEY")));
        assert!(!check(&[], "https://api.anthropic.com/v1", Some("OPENAI_API_KEY")));
        assert!(!check(&[], "http://api.openai.com/v1", Some("OPENAI_API_KEY")), "not in the clear");
        assert!(!check(&[], "https://api.openai.com:8443/v1", Some("OPENAI_API_KEY")));
        assert!(!check(&[], "https://api.openai.com/v1", Some("GITHUB_TOKEN")));
        assert!(!check(&[], "https://api.openai.com.evil.test/v1", Some("OPENAI_API_KEY")));
        assert!(!check(&[], "https://api.openai.com./v1", Some("OPENAI_API_KEY")));
    }

    #[test]
    fn a_host_that_the_repository_names_is_refused_until_a_person_allows_it() {
        for address in ["https://llm.example.com/v1", "http://127.0.0.1:8080/v1", "http://169.254.169.254/latest", "http://2130706433/v1"] {
            assert!(!check(&[], address, None), "{address}");
            assert!(!check(&["other.example.com"], address, Some("LOCAL_LLM_KEY")), "{address}");
        }
        assert!(check(&["LLM.example.com"], "https://llm.example.com/v1", Some("LOCAL_LLM_KEY")));
        assert!(check(&["127.0.0.1"], "http://2130706433:9/v1", Some("LOCAL_LLM_KEY")));
        assert!(check(&["127.0.0.1:8080"], "http://127.0.0.1:8080/v1", None));
        assert!(!check(&["127.0.0.1:8080"], "http://127.0.0.1:8081/v1", None));
        assert!(check(&["[::1]:80"], "http://[::1]/v1", None));
    }

    #[test]
    fn loopback_never_gets_the_key_of_a_built_in_provider() {
        for host in ["127.0.0.1", "localhost", "[::1]"] {
            assert!(!check(&[host], &format!("http://{host}/v1"), Some("OPENAI_API_KEY")), "{host}");
            assert!(check(&[host], &format!("http://{host}/v1"), Some("LOCAL_LLM_KEY")), "{host}");
        }
        let renamed = Key { variable: "LOCAL_LLM_KEY".into(), value: "built-in-key".into() };
        let address = Address::parse("http://127.0.0.1/v1").unwrap();
        assert!(hosts(&["127.0.0.1"], "").unwrap().check(&address, Some(&renamed)).is_err());
    }

    #[test]
    fn the_variable_holds_a_list_and_what_is_no_host_is_named() {
        assert_eq!(hosts(&[], "a.test, b.test:8080\nlocalhost").unwrap().allowed, ["a.test", "b.test:8080", "localhost"]);
        for written in ["https://a.test", "a.test/v1", "me@a.test", "a b", ""] {
            assert!(hosts(&[written], "").is_err(), "{written}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let key = Key { variable: "OPENAI_API_KEY".into(), value: "probe-key-1".into() };
        assert_eq!(format!("{key:?}"), "Key(OPENAI_API_KEY)");
    }
}
