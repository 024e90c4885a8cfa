//! XMPP: bytes of another server's stream, up to who may speak for whom.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| sammen_xmpp::s2s::fuzz::fuzz_stream(data));
