//! `[xmpp.components]`: programs that serve domains of their own (XEP-0114).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use anyhow::bail;
use sammen_core::Domain;
use sammen_net::Secret;
use serde::Deserialize;

use super::Listen;
use super::calls::secret_in;

/// Components.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Components {
    /// Where they connect.
    pub listen: Vec<Listen>,
    /// Who may, by domain.
    pub known: BTreeMap<Domain, Known>,
}

/// How a component proves itself.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Known {
    /// By this secret.
    Here {
        /// The secret.
        secret: Secret,
    },
    /// By the one in a file.
    There {
        /// The file.
        secret_file: PathBuf,
    },
}

impl Components {
    /// What can be seen without looking anywhere.
    ///
    /// # Errors
    /// When something makes no sense.
    pub fn verify(&self, own: &Domain, federation: bool) -> anyhow::Result<()> {
        if !self.known.is_empty() && !federation {
            bail!(
                "xmpp.components: they are reached as other servers are; xmpp.s2s.enabled has to be true"
            );
        }
        for (domain, known) in &self.known {
            let name = domain.as_str();
            let below = name.strip_suffix(own.as_str());
            if matches!(below, Some("" | "rooms." | "upload.")) {
                bail!("xmpp.components.known.\"{name}\": that is this node's own");
            }
            if let Known::Here { secret } = known
                && secret.expose().is_empty()
            {
                bail!("xmpp.components.known.\"{domain}\": anybody knows an empty secret");
            }
        }
        Ok(())
    }

    /// The secrets by domain.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn secrets(&self) -> anyhow::Result<HashMap<String, Secret>> {
        let secret = |known: &Known| match known {
            Known::Here { secret } => Ok(secret.clone()),
            Known::There { secret_file } => secret_in(secret_file),
        };
        let known = self.known.iter();
        known
            .map(|(domain, known)| Ok((domain.as_str().to_owned(), secret(known)?)))
            .collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    #[test]
    fn a_component_has_a_secret() {
        let read = |text: &str| toml::from_str::<Components>(text);
        let own = Domain::new("example.org").unwrap();
        let verify = |text: &str, federation| read(text).unwrap().verify(&own, federation);
        let good = read("known = { \"a.b\" = { secret = 's' } }").unwrap();
        assert!(good.verify(&own, true).is_ok() && good.verify(&own, false).is_err());
        assert_eq!(good.secrets().unwrap()["a.b"], Secret::new("s"));
        for (name, secret) in [
            ("a.b", ""),
            ("example.org", "s"),
            ("rooms.example.org", "s"),
        ] {
            let text = format!("known = {{ \"{name}\" = {{ secret = '{secret}' }} }}");
            assert!(verify(&text, true).is_err(), "{name}");
        }
        assert!(read("known = { \"a.b\" = {} }").is_err());
    }
}
