//! Core's words as IRC lines, and IRC lines as core's words.
//!
//! | core | IRC out ([`out`]) | IRC in ([`inward`]) |
//! | --- | --- | --- |
//! | message | PRIVMSG or NOTICE, ACTION, `draft/multiline` | the same |
//! | html | formatting codes ([`html`]) | the same |
//! | reply | `+reply`, `+draft/reply` | either |
//! | edit | `* correction` with `+reply` | – |
//! | retraction | REDACT, or a NOTICE | REDACT |
//! | reaction | TAGMSG `+draft/react`, `+draft/unreact`, or a short NOTICE | TAGMSG |
//! | typing | TAGMSG `+typing` | the same |
//! | encrypted | a NOTICE that names the app | – |
//! | file | its URL | – |
//! | membership | JOIN, PART, KICK, INVITE, MODE | the same |
//! | room change | TOPIC, MODE | the same |

pub mod html;
pub mod inward;
pub mod out;
pub mod reaction;
