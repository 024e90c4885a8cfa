//! The three facts that we read out of a certificate ourselves: signature algorithm, expiry, whole structure (RFC 5280
//! §4.1). Everything else about certificates is rustls' work.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use ring::digest;

/// One DER element: tag, content, and what follows it.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

fn element(input: &[u8]) -> Option<Element<'_>> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (
                bytes.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)),
                rest,
            )
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some(Element { tag, content, rest })
}

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

fn sequence(input: &[u8]) -> Option<Element<'_>> {
    element(input).filter(|e| e.tag == SEQUENCE)
}

/// `tls-server-end-point` (RFC 5929 §4.1): the certificate hashed with the hash of its signature, where MD5 and SHA-1
/// count as SHA-256. `None` where the signature has no single hash (Ed25519, PSS).
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let to_be_signed = sequence(sequence(certificate)?.content)?;
    let oid = element(sequence(to_be_signed.rest)?.content).filter(|e| e.tag == OID)?;
    let hash = match oid.content {
        // ecdsa-with-SHA256, -384, -512 (RFC 5758 §3.2)
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03] => &digest::SHA384,
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => &digest::SHA512,
        // md5-, sha1-, sha256-, sha384-, sha512WithRSAEncryption (RFC 8017 A.2.4)
        [
            0x2a,
            0x86,
            0x48,
            0x86,
            0xf7,
            0x0d,
            0x01,
            0x01,
            0x04 | 0x05 | 0x0b,
        ] => &digest::SHA256,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c] => &digest::SHA384,
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d] => &digest::SHA512,
        _ => return None,
    };
    Some(digest::digest(hash, certificate).as_ref().to_vec())
}

/// When the certificate expires, in seconds since 1970.
pub(super) fn not_after(certificate: &[u8]) -> Option<i64> {
    validity(certificate).map(|(_, end)| end)
}

/// From when until when the certificate holds, in seconds since 1970.
pub(super) fn validity(certificate: &[u8]) -> Option<(i64, i64)> {
    let to_be_signed = sequence(sequence(certificate)?.content)?.content;
    let mut rest = to_be_signed;
    if let Some(version) = element(rest).filter(|e| e.tag == VERSION) {
        rest = version.rest;
    }
    for _serial_signature_issuer in 0..3 {
        rest = element(rest)?.rest;
    }
    let not_before = element(sequence(rest)?.content)?;
    Some((time_of(&not_before)?, time_of(&element(not_before.rest)?)?))
}

fn time_of(element: &Element<'_>) -> Option<i64> {
    let text = std::str::from_utf8(element.content)
        .ok()?
        .strip_suffix('Z')?;
    let (year, rest) = match element.tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i64 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest) // RFC 5280 §4.1.2.5.1
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let number = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = time::Month::try_from(number(0)?).ok()?;
    let date = time::Date::from_calendar_date(i32::try_from(year).ok()?, month, number(2)?).ok()?;
    let clock = time::Time::from_hms(number(4)?, number(6)?, number(8)?).ok()?;
    Some(date.with_time(clock).assume_utc().unix_timestamp())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail")]
mod tests {
    use super::*;

    fn certificate(year: i32, algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let mut params = rcgen::CertificateParams::new(vec!["example.org".into()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 28);
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn expiry_in_both_forms_of_time() {
        let ecdsa = &rcgen::PKCS_ECDSA_P256_SHA256;
        assert_eq!(not_after(&certificate(2031, ecdsa)), Some(1_930_003_200));
        assert_eq!(not_after(&certificate(2055, ecdsa)), Some(2_687_385_600));
        assert_eq!(not_after(b"\x30\x03\x02\x01\x01"), None);
    }

    #[test]
    fn end_point_follows_the_hash_of_the_signature() {
        let p256 = certificate(2031, &rcgen::PKCS_ECDSA_P256_SHA256);
        assert_eq!(
            server_end_point(&p256).unwrap(),
            digest::digest(&digest::SHA256, &p256).as_ref()
        );
        let p384 = certificate(2031, &rcgen::PKCS_ECDSA_P384_SHA384);
        assert_eq!(
            server_end_point(&p384).unwrap(),
            digest::digest(&digest::SHA384, &p384).as_ref()
        );
        assert_eq!(
            server_end_point(&certificate(2031, &rcgen::PKCS_ED25519)),
            None
        );
    }

    #[test]
    fn cut_certificates_are_refused_without_a_panic() {
        let whole = certificate(2031, &rcgen::PKCS_ECDSA_P256_SHA256);
        for end in 0..whole.len() {
            let cut = whole.get(..end).unwrap();
            assert_eq!(not_after(cut), None);
            assert_eq!(server_end_point(cut), None);
        }
    }
}
