//! XMPP: bytes of a stream, of a WebSocket message, of a BOSH request, of a JID.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sammen_xmpp::wire::fuzz;

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    match which % 5 {
        0 | 1 => fuzz::fuzz_stream(data),
        2 => fuzz::fuzz_message(data),
        3 => fuzz::fuzz_body(data),
        _ => fuzz::fuzz_jid(data),
    }
});
