//! The environment of an application: a short list of what is inherited, and all else written down.

use std::collections::BTreeMap;

/// What an application inherits: where programs, its home and temporary files are, and how it speaks.
const INHERITED: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LOGNAME",
    "PATH",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
    "USER",
    // Without these no program starts on Windows.
    "APPDATA",
    "COMSPEC",
    "LOCALAPPDATA",
    "PATHEXT",
    "SYSTEMROOT",
    "TEMP",
    "TMP",
    "USERPROFILE",
];

/// Keys without which SDKs refuse to start; their value opens nothing.
const KEYS: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "COHERE_API_KEY",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "MISTRAL_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "TOGETHER_API_KEY",
];

/// The value of every key while an application is replayed.
const NO_KEY: &str = "relapse-replay-no-key";

/// Variables by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// What is inherited, and keys that open nothing.
    pub fn new(ours: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut variables: BTreeMap<String, String> = KEYS.iter().map(|name| ((*name).to_owned(), NO_KEY.to_owned())).collect();
        variables.extend(ours.into_iter().filter(|(name, _)| INHERITED.contains(&name.as_str())));
        // What would otherwise be buffered is lost when a process is ended.
        variables.insert("PYTHONUNBUFFERED".into(), "1".into());
        Self { variables }
    }

    /// What is inherited, with our own keys: an application that goes live needs them.
    pub fn live(ours: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours: Vec<(String, String)> = ours.into_iter().collect();
        let mut environment = Self::new(ours.iter().cloned());
        environment.variables.extend(ours.into_iter().filter(|(name, value)| KEYS.contains(&name.as_str()) && !value.is_empty()));
        environment
    }

    /// Sets a variable, in place of an earlier value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.variables.insert(name.into(), value.into());
    }

    /// Adds to the attributes that an OpenTelemetry SDK puts on everything it exports.
    pub fn add_resource(&mut self, key: &str, value: &str) {
        let attributes = self.variables.entry("OTEL_RESOURCE_ATTRIBUTES".into()).or_default();
        if !attributes.is_empty() {
            attributes.push(',');
        }
        attributes.push_str(&format!("{key}={value}"));
    }

    /// The variables, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_ours_is_not_inherited() {
        let ours = [("PATH", "/bin"), ("OPENAI_API_KEY", "sk-real"), ("AWS_SECRET_ACCESS_KEY", "real"), ("HTTPS_PROXY", "http://x")];
        let environment = Environment::new(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let found: BTreeMap<&str, &str> = environment.iter().collect();
        assert_eq!(found.get("PATH"), Some(&"/bin"));
        assert_eq!(found.get("OPENAI_API_KEY"), Some(&NO_KEY));
        assert_eq!((found.get("AWS_SECRET_ACCESS_KEY"), found.get("HTTPS_PROXY")), (None, None));
    }

    #[test]
    fn resource_attributes_are_added_to() {
        let mut environment = Environment::default();
        environment.set("OTEL_RESOURCE_ATTRIBUTES", "service.name=bot");
        environment.add_resource("relapse.case", "empty-index");
        assert_eq!(environment.iter().next(), Some(("OTEL_RESOURCE_ATTRIBUTES", "service.name=bot,relapse.case=empty-index")));
    }
}
