//! Client certificates that sign in without a password (SASL EXTERNAL), for the operator.

use std::path::Path;

use anyhow::{Context, bail};
use sammen_net::credentials::Scopes;
use sammen_net::tls;
use serde_json::{Value, json};

use super::Admin;

/// The fingerprint of the certificate in a PEM file, as it is written everywhere: SHA-256 in hexadecimal.
///
/// # Errors
/// When the file can't be read or has no certificate in it.
pub fn fingerprint_in(file: &Path) -> anyhow::Result<String> {
    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let found = tls::fingerprint(&pem)
        .with_context(|| format!("there is no certificate in {}", file.display()))?;
    Ok(written(&found))
}

fn written(fingerprint: &[u8]) -> String {
    fingerprint.iter().map(|b| format!("{b:02x}")).collect()
}

/// Also as `openssl x509 -fingerprint -sha256` writes it, with colons.
fn read(text: &str) -> anyhow::Result<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    bytes
        .and_then(|b| b.try_into().ok())
        .context("a fingerprint is 64 hexadecimal digits, see `certificate NAME list`")
}

impl Admin {
    pub(super) async fn certificate_add(
        &self,
        name: &str,
        label: String,
        fingerprint: &str,
        only: Vec<String>,
    ) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        super::accounts::are_protocols(&only)?;
        let (print, now) = (read(fingerprint)?, self.accounts.now_ms());
        let called = label.clone();
        self.accounts
            .change(&address, move |c| {
                let scopes = Scopes::only(only.iter().cloned());
                c.add_certificate(&called, print, scopes, now, &mut rand::rng())
            })
            .await?;
        Ok(json!({ "name": address.name(), "label": label, "fingerprint": written(&print) }))
    }

    pub(super) async fn certificate_list(&self, name: &str) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        let credentials = self.accounts.credentials(&address).await?;
        let all = credentials.iter().flat_map(|c| c.certificates());
        let list = all.map(|certificate| {
            json!({
                "label": certificate.name,
                "fingerprint": written(&certificate.fingerprint),
                "only": certificate.scopes.names().collect::<Vec<_>>(),
                "created_ms": certificate.created_ms,
            })
        });
        Ok(list.collect::<Vec<_>>().into())
    }

    pub(super) async fn certificate_remove(
        &self,
        name: &str,
        fingerprint: &str,
    ) -> anyhow::Result<Value> {
        let address = self.known(name)?;
        let print = read(fingerprint)?;
        let removed = self.accounts.change(&address, move |c| {
            Ok(c.remove_certificate(&print, &mut rand::rng()))
        });
        if !removed.await? {
            bail!("{address} has no certificate {}", written(&print));
        }
        Ok(json!({ "name": address.name(), "removed": written(&print) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_openssl_writes_them() {
        let plain = "0f".repeat(32);
        let colons = vec!["0F"; 32].join(":");
        assert_eq!(read(&plain).unwrap(), [15; 32]);
        assert_eq!(read(&colons).unwrap(), [15; 32]);
        assert_eq!(written(&[15; 32]), plain);
        for wrong in ["", "0f", "zz", &"é".repeat(32)] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
