//! IRC: lines, their pieces, what we build of them, and formatted text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sammen_irc::wire::fuzz;

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else { return };
    match which % 4 {
        0 => fuzz::fuzz_line(data),
        1 => fuzz::fuzz_chunks(data, &[1, 2, 3, 7, 64]),
        2 => fuzz::fuzz_build(&data.split(|b| *b == b' ').collect::<Vec<_>>()),
        _ => {
            if let Ok(text) = std::str::from_utf8(data) {
                fuzz::fuzz_text(text);
            }
        }
    }
});
