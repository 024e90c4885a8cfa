//! What a browser's push service carries: encrypted for the browser alone (RFC 8291, 8188) and signed by the node (RFC 8292),
//! so that the service reads nothing and nobody else can use the subscription.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::agreement::{self, ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use ring::{aead, hkdf};
use serde_json::json;

/// Bytes of a point of P-256, uncompressed; of the secret that a browser makes.
const POINT: usize = 65;
const AUTH: usize = 16;
/// Bytes of a record, which is the whole message; services take at least 4096.
const RECORD: usize = 4096;
/// Lengths are rounded up to this, so that they tell little.
const STEP: usize = 256;
/// Most bytes of what is said.
pub const MOST: usize = 3072;
/// Seconds that the node's word for itself holds; at most a day.
const HOLDS: i64 = 12 * 3600;

/// Keys of a browser's subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Its public key.
    pub p256dh: Vec<u8>,
    /// Its secret.
    pub auth: Vec<u8>,
}

/// Why nothing was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushFault {
    /// The browser's keys are none.
    #[error("these are no keys of a subscription")]
    Keys,
    /// Too long, or no randomness.
    #[error("the message can't be encrypted")]
    Message,
}

impl Keys {
    /// Keys as a browser gives them: base64url.
    ///
    /// # Errors
    /// When they are none.
    pub fn read(p256dh: &str, auth: &str) -> Result<Self, PushFault> {
        let read = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        let keys = Self {
            p256dh: read(p256dh).map_err(|_| PushFault::Keys)?,
            auth: read(auth).map_err(|_| PushFault::Keys)?,
        };
        // A point that is none is found out now and not at the first message.
        seal(&keys, b"").map(|_| keys)
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(key: &hkdf::Prk, info: &[&[u8]]) -> Result<[u8; N], PushFault> {
    let mut out = [0; N];
    key.expand(info, Length(N))
        .and_then(|made| made.fill(&mut out))
        .map_err(|_| PushFault::Message)?;
    Ok(out)
}

/// Encrypts for a browser: the body of a request with `Content-Encoding: aes128gcm`.
///
/// # Errors
/// When the keys are none, or the message is too long.
pub fn seal(keys: &Keys, message: &[u8]) -> Result<Vec<u8>, PushFault> {
    if keys.p256dh.len() != POINT || keys.auth.len() != AUTH {
        return Err(PushFault::Keys);
    }
    if message.len() > MOST {
        return Err(PushFault::Message);
    }
    let random = SystemRandom::new();
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).map_err(|_| PushFault::Message)?;
    let public = own.compute_public_key().map_err(|_| PushFault::Message)?;
    let theirs = UnparsedPublicKey::new(&ECDH_P256, &keys.p256dh);
    // RFC 8291 §3.3, §3.4.
    let ikm: [u8; 32] = agreement::agree_ephemeral(own, &theirs, |shared| {
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &keys.auth).extract(shared);
        derive(&key, &[b"WebPush: info\0", &keys.p256dh, public.as_ref()])
    })
    .map_err(|_| PushFault::Keys)??;
    let salt: [u8; 16] = rand::random();
    // RFC 8188 §2.2, §2.3: one record, so its number is none.
    let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&ikm);
    let content: [u8; 16] = derive(&key, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce: [u8; 12] = derive(&key, &[b"Content-Encoding: nonce\0"])?;
    let mut record = message.to_vec();
    record.push(2); // The last record.
    record.resize(record.len().next_multiple_of(STEP), 0);
    let sealer = aead::UnboundKey::new(&aead::AES_128_GCM, &content);
    let sealer = aead::LessSafeKey::new(sealer.map_err(|_| PushFault::Message)?);
    let nonce = aead::Nonce::assume_unique_for_key(nonce);
    sealer
        .seal_in_place_append_tag(nonce, aead::Aad::empty(), &mut record)
        .map_err(|_| PushFault::Message)?;
    let size = u32::try_from(RECORD).unwrap_or(u32::MAX);
    let length = u8::try_from(POINT).unwrap_or(u8::MAX);
    let mut out = salt.to_vec();
    out.extend_from_slice(&size.to_be_bytes());
    out.push(length);
    out.extend_from_slice(public.as_ref());
    out.extend_from_slice(&record);
    Ok(out)
}

/// The node's key towards push services.
pub struct Signer {
    pair: EcdsaKeyPair,
}

impl Signer {
    /// A new key, as it is kept.
    ///
    /// # Errors
    /// Without randomness.
    pub fn fresh() -> Result<Vec<u8>, PushFault> {
        let made =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        Ok(made.map_err(|_| PushFault::Message)?.as_ref().to_vec())
    }

    /// A key as it was kept.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(kept: &[u8]) -> Result<Self, PushFault> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, kept, &random);
        pair.map(|pair| Self { pair }).map_err(|_| PushFault::Keys)
    }

    /// The public half, as browsers want it (`applicationServerKey`).
    pub fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref())
    }

    /// The header that tells a service who pushes (RFC 8292 §3); `now` in seconds since 1970, `contact` a URI.
    ///
    /// # Errors
    /// Without randomness.
    pub fn authorization(
        &self,
        audience: &str,
        contact: &str,
        now: i64,
    ) -> Result<String, PushFault> {
        let head = json!({ "typ": "JWT", "alg": "ES256" }).to_string();
        let claims = json!({ "aud": audience, "exp": now + HOLDS, "sub": contact }).to_string();
        let mut token = URL_SAFE_NO_PAD.encode(head);
        token.push('.');
        token.push_str(&URL_SAFE_NO_PAD.encode(claims));
        let signed = self.pair.sign(&SystemRandom::new(), token.as_bytes());
        let signed = signed.map_err(|_| PushFault::Message)?;
        let signature = URL_SAFE_NO_PAD.encode(signed.as_ref());
        Ok(format!("vapid t={token}.{signature}, k={}", self.public()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey as Verifier};

    /// What a browser does: RFC 8291 §4 backwards.
    fn open(own: EphemeralPrivateKey, auth: &[u8], body: &[u8]) -> Vec<u8> {
        let own_public = own.compute_public_key().unwrap();
        let (salt, rest) = body.split_at(16);
        assert_eq!(&rest[..5], &[0, 0, 16, 0, 65]);
        let (public, sealed) = rest[5..].split_at(POINT);
        let theirs = UnparsedPublicKey::new(&ECDH_P256, public);
        let ikm: [u8; 32] = agreement::agree_ephemeral(own, &theirs, |shared| {
            let key = hkdf::Salt::new(hkdf::HKDF_SHA256, auth).extract(shared);
            derive(&key, &[b"WebPush: info\0", own_public.as_ref(), public]).unwrap()
        })
        .unwrap();
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(&ikm);
        let content: [u8; 16] = derive(&key, &[b"Content-Encoding: aes128gcm\0"]).unwrap();
        let nonce: [u8; 12] = derive(&key, &[b"Content-Encoding: nonce\0"]).unwrap();
        let opener = aead::UnboundKey::new(&aead::AES_128_GCM, &content).unwrap();
        let mut sealed = sealed.to_vec();
        let plain = aead::LessSafeKey::new(opener)
            .open_in_place(
                aead::Nonce::assume_unique_for_key(nonce),
                aead::Aad::empty(),
                &mut sealed,
            )
            .unwrap();
        let end = plain.iter().rposition(|b| *b != 0).unwrap();
        assert_eq!(plain[end], 2);
        plain[..end].to_vec()
    }

    #[test]
    fn only_the_browser_reads_it_and_its_length_tells_little() {
        let keys = |own: &EphemeralPrivateKey| Keys {
            p256dh: own.compute_public_key().unwrap().as_ref().to_vec(),
            auth: vec![7; AUTH],
        };
        let fresh = || EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new()).unwrap();
        let mut lengths = Vec::new();
        for message in ["", "hi", "a longer one\0\0"] {
            let own = fresh();
            let keys = keys(&own);
            let sealed = seal(&keys, message.as_bytes()).unwrap();
            lengths.push(sealed.len());
            let opened = open(own, &keys.auth, &sealed);
            assert_eq!(opened, message.as_bytes());
        }
        assert!(lengths.windows(2).all(|w| w[0] == w[1]), "{lengths:?}");
        let own = fresh();
        let longest = seal(&keys(&own), &[b'x'; MOST]).unwrap();
        assert!(longest.len() <= RECORD);
        assert!(seal(&keys(&own), &[b'x'; MOST + 1]).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let point = URL_SAFE_NO_PAD.encode([4; POINT]);
        for (p256dh, auth) in [
            ("", ""),
            ("AAAA", "AAAA"),
            (point.as_str(), "AAAAAAAAAAAAAAAAAAAAAA"),
            ("!", "!"),
        ] {
            assert_eq!(Keys::read(p256dh, auth), Err(PushFault::Keys), "{p256dh}");
        }
    }

    #[test]
    fn the_node_signs_for_one_service() {
        let signer = Signer::read(&Signer::fresh().unwrap()).unwrap();
        let said = signer
            .authorization("https://push.example", "https://example.org", 1000)
            .unwrap();
        let rest = said.strip_prefix("vapid t=").unwrap();
        let (token, key) = rest.split_once(", k=").unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let read = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        Verifier::new(&ECDSA_P256_SHA256_FIXED, read(key))
            .verify(signed.as_bytes(), &read(signature))
            .unwrap();
        let claims: serde_json::Value =
            serde_json::from_slice(&read(signed.split('.').nth(1).unwrap())).unwrap();
        assert_eq!(claims["aud"], "https://push.example");
        assert_eq!(claims["exp"], 1000 + HOLDS);
        assert!(Signer::read(b"nonsense").is_err());
    }
}
