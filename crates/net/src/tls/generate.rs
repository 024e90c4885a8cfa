//! The node's own authority and certificate, made at first start for nodes that nobody gave certificates to.
//!
//! The authority signs exactly one certificate and its key is thrown away: whoever tells a client to trust `ca.pem`
//! trusts this node and nobody who steals a file from it later to sign others.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use time::OffsetDateTime;

use super::{TlsError, certificates::Loaded};

/// Under the 825 days that Apple's systems accept.
const VALID: Duration = Duration::from_secs(820 * 86_400);
/// Clocks of laptops are off.
const BACKDATED: Duration = Duration::from_secs(86_400);
/// Made anew at a start when less is left.
const RENEW: Duration = Duration::from_secs(30 * 86_400);

/// File names inside the folder.
pub(super) const CA: &str = "ca.pem";
pub(super) const CERTIFICATE: &str = "cert.pem";
pub(super) const KEY: &str = "key.pem";

/// Makes the files unless there are good ones: for all names, and valid for a month more. `true` if it made them.
pub(super) fn ensure(folder: &Path, names: &[String], now: SystemTime) -> Result<bool, TlsError> {
    if let Ok(loaded) = Loaded::read(&folder.join(CERTIFICATE), &folder.join(KEY))
        && folder.join(CA).exists()
        && names.iter().all(|name| loaded.covers(name))
        && loaded
            .not_after()
            .is_some_and(|end| end > seconds(now + RENEW))
    {
        return Ok(false);
    }
    let wrong = |e: rcgen::Error| TlsError::Generate(e.to_string());
    let mut ca = params(Vec::new(), "Sammen node authority", now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca =
        CertifiedIssuer::self_signed(ca, KeyPair::generate().map_err(wrong)?).map_err(wrong)?;

    let common_name = names.first().map_or("sammen", String::as_str);
    let mut leaf = params(names.to_vec(), common_name, now)?;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Other servers ask this node for it as a client (SASL EXTERNAL).
    leaf.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().map_err(wrong)?;
    let certificate = leaf.signed_by(&key, &ca).map_err(wrong)?;

    fs::create_dir_all(folder).map_err(|e| TlsError::file(folder, e))?;
    write(&folder.join(KEY), &key.serialize_pem())?;
    write(
        &folder.join(CERTIFICATE),
        &format!("{}{}", certificate.pem(), ca.pem()),
    )?;
    write(&folder.join(CA), &ca.pem())?;
    // The folder's own name: clients that trust this authority must find it again after a power cut.
    if let Some(parent) = folder.parent() {
        sync(parent).map_err(|e| TlsError::file(parent, e))?;
    }
    Ok(true)
}

fn params(
    names: Vec<String>,
    common_name: &str,
    now: SystemTime,
) -> Result<CertificateParams, TlsError> {
    let mut params =
        CertificateParams::new(names).map_err(|e| TlsError::Generate(e.to_string()))?;
    params.not_before = OffsetDateTime::from(now - BACKDATED);
    params.not_after = OffsetDateTime::from(now + VALID);
    params.distinguished_name.remove(DnType::CommonName);
    // X.520 allows 64 characters.
    params.distinguished_name.push(
        DnType::CommonName,
        common_name.chars().take(64).collect::<String>(),
    );
    Ok(params)
}

fn seconds(time: SystemTime) -> i64 {
    OffsetDateTime::from(time).unix_timestamp()
}

/// Whole or not at all, readable by the owner only.
fn write(path: &Path, text: &str) -> Result<(), TlsError> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    let unfinished = path.with_extension("new");
    let result: io::Result<()> = (|| {
        let _ = fs::remove_file(&unfinished);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)?;
        path.parent().map_or(Ok(()), sync)
    })();
    result.map_err(|e| TlsError::file(path, e))
}

/// Makes the names in a folder durable.
fn sync(folder: &Path) -> io::Result<()> {
    // The parent of a bare name is the empty path.
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    fs::File::open(folder)?.sync_all()
}
