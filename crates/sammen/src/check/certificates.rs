//! Certificates of the configuration: do key and certificate belong together, for which names are they, when do they
//! hold, and who vouches for them.

use std::path::Path;
use std::time::SystemTime;

use sammen_net::dial::{Trust, Untrusted};
use sammen_net::tls::{CertificateFiles, Inspected};

use crate::config::{CertificateFile, Config};

/// A certificate with less left than this is told of.
const SOON_DAYS: i64 = 14;

/// What is wrong with the certificates. The node's own, which it makes itself, is always right.
pub fn findings(config: &Config, now: SystemTime) -> Vec<String> {
    let mut findings = Vec::new();
    let mut read = Vec::new();
    for file in &config.tls.certificates {
        match inspect(file) {
            Ok(found) => read.push((file, found)),
            Err(error) => findings.push(format!(
                "a certificate can't be used ({error}): name a chain and the key that belongs to it in tls.certificates"
            )),
        }
        findings.extend(exposed(&file.key));
    }
    if read.is_empty() {
        return findings;
    }
    for name in names(config) {
        if !read.iter().any(|(_, found)| found.covers(&name)) {
            findings.push(format!(
                "no certificate is for {name}: ask your authority for one that names it too"
            ));
        }
    }
    let s2s = &config.xmpp.s2s;
    let trust = match Trust::new(&s2s.authorities, s2s.system_authorities) {
        Ok(trust) => Some(trust),
        Err(error) => {
            findings.push(format!(
                "an authority can't be read ({error}): correct xmpp.s2s.authorities"
            ));
            None
        }
    };
    for (file, found) in &read {
        findings.extend(when(file, found, now));
        if let Some(trust) = &trust {
            findings.extend(chain(config, file, found, trust, now));
        }
    }
    findings
}

fn inspect(file: &CertificateFile) -> Result<Inspected, sammen_net::tls::TlsError> {
    Inspected::read(&CertificateFiles {
        chain: file.chain.clone(),
        key: file.key.clone(),
    })
}

/// Names under which others look for this node and ask for a certificate.
fn names(config: &Config) -> Vec<String> {
    let domain = config.domain.as_str();
    let mut names = vec![domain.to_owned()];
    if config.xmpp.s2s.enabled {
        names.push(format!("rooms.{domain}"));
    }
    names
}

fn seconds(now: SystemTime) -> i64 {
    let since = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn when(file: &CertificateFile, found: &Inspected, now: SystemTime) -> Option<String> {
    let (path, now) = (file.chain.display(), seconds(now));
    if found.not_before().is_some_and(|begin| begin > now) {
        return Some(format!(
            "the certificate {path} is not valid yet: set this computer's clock, or wait"
        ));
    }
    let days = (found.not_after()? - now).div_euclid(86_400);
    match days {
        ..0 => Some(format!(
            "the certificate {path} has expired: renew it, then `systemctl reload sammen`"
        )),
        0..SOON_DAYS => Some(format!(
            "the certificate {path} expires in {days} days: see why it was not renewed"
        )),
        _ => None,
    }
}

/// Whether apps and other servers believe it. Names and dates have sentences of their own.
fn chain(
    config: &Config,
    file: &CertificateFile,
    found: &Inspected,
    trust: &Trust,
    now: SystemTime,
) -> Option<String> {
    let domain = config.domain.as_str();
    let name = names(config)
        .into_iter()
        .find(|name| found.covers(name))
        .unwrap_or_else(|| domain.to_owned());
    let path = file.chain.display();
    match trust.verify(found.chain(), &name, now) {
        Err(Untrusted::NoAuthorities) => Some(
            "this computer knows no authorities: install ca-certificates, or name some in xmpp.s2s.authorities"
                .into(),
        ),
        Err(Untrusted::Invalid(why))
            if why.contains("UnknownIssuer") || why.contains("BadSignature") => Some(format!(
            "nobody that this computer trusts vouches for {path}: put the certificates between yours and the authority \
             behind yours into the file (fullchain.pem), or the authority into xmpp.s2s.authorities if it is your own"
        )),
        Err(Untrusted::Invalid(why))
            if found.covers(&name) && when(file, found, now).is_none() =>
        {
            Some(format!("the certificate {path} is not believed ({why}): get another"))
        }
        _ => None,
    }
}

/// A key that more than its owner and group can read.
fn exposed(key: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(key).ok()?.permissions().mode();
    (mode & 0o007 != 0).then(|| {
        let path = key.display();
        format!("everyone on this computer can use the key {path}: chmod o-rwx {path}")
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sammen_net::tls::{Source, Tls};

    use super::*;

    /// A node's own certificate, as if somebody else had made it.
    fn made(folder: &Path, names: &[&str], now: SystemTime) {
        let names = names.iter().map(|n| (*n).to_owned()).collect();
        let folder = folder.to_owned();
        Tls::new(Source::Own { folder, names }, now).unwrap();
    }

    fn config(folder: &Path, key: &Path, authority: bool) -> Config {
        let authorities = if authority {
            format!("'{}'", folder.join("ca.pem").display())
        } else {
            String::new()
        };
        Config::parse(&format!(
            "domain = 'example.org'\n[tls]\ncertificates = [{{ chain = '{}', key = '{}' }}]\n\
             [xmpp.s2s]\nsystem_authorities = false\nauthorities = [{authorities}]\n",
            folder.join("cert.pem").display(),
            key.display(),
        ))
        .unwrap()
    }

    #[test]
    fn each_fault_of_a_certificate_is_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let days = |n: u64| now + Duration::from_secs(n * 86_400);
        made(&one, &["example.org", "rooms.example.org"], now);
        made(&two, &["example.org"], now);
        let good = config(&one, &one.join("key.pem"), true);
        assert_eq!(findings(&good, now), Vec::<String>::new());
        let says = |config: &Config, now, what: &str| {
            let found = findings(config, now);
            assert!(found.iter().any(|f| f.contains(what)), "{what}: {found:?}");
        };
        says(&good, days(815), "expires in 5 days");
        says(&good, days(900), "has expired");
        says(
            &good,
            now - Duration::from_secs(10 * 86_400),
            "not valid yet",
        );
        says(
            &config(&two, &two.join("key.pem"), true),
            now,
            "no certificate is for rooms.example.org",
        );
        says(
            &config(&one, &two.join("key.pem"), true),
            now,
            "a certificate can't be used",
        );
        says(
            &config(&one, &one.join("none.pem"), true),
            now,
            "a certificate can't be used",
        );
        says(
            &config(&one, &one.join("key.pem"), false),
            now,
            "ca-certificates",
        );
        // Another authority than the one that made it.
        std::fs::copy(two.join("ca.pem"), one.join("ca.pem")).unwrap();
        says(&good, now, "nobody that this computer trusts");
        use std::os::unix::fs::PermissionsExt as _;
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(one.join("key.pem"), open).unwrap();
        says(&good, now, "chmod o-rwx");
    }
}
