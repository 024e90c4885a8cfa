//! Addresses that prove that this node told them: who knows one was shown it, and nobody can make one up.

use subtle::ConstantTimeEq as _;

use crate::hash::Hash;

/// Bytes of a proof.
const PROOF: usize = 16;

/// The key of a node's addresses.
pub struct Links {
    key: bytes::Bytes,
}

impl Links {
    pub(crate) fn new(key: bytes::Bytes) -> Self {
        Self { key }
    }

    /// What stands in an address beside the name of what it leads to: 32 hexadecimal digits.
    pub fn proof(&self, of: &str) -> String {
        let mac = Hash::Sha256.hmac(&self.key, of.as_bytes());
        mac.iter().take(PROOF).map(|b| format!("{b:02x}")).collect()
    }

    /// Whether a proof is that.
    pub fn holds(&self, of: &str, proof: &str) -> bool {
        self.proof(of).as_bytes().ct_eq(proof.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_thing_of_one_node() {
        let links = Links::new(bytes::Bytes::from_static(b"a key"));
        let proof = links.proof("this");
        assert_eq!(proof.len(), 2 * PROOF);
        assert!(links.holds("this", &proof));
        for (of, wrong) in [
            ("that", proof.as_str()),
            ("this", ""),
            ("this", &proof[1..]),
        ] {
            assert!(!links.holds(of, wrong));
        }
        assert!(!Links::new(bytes::Bytes::from_static(b"other")).holds("this", &proof));
    }
}
