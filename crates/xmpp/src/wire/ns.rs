//! Namespaces that the node knows, and sharing of their text.

use std::sync::LazyLock;

use super::Str;

macro_rules! namespaces {
    ($($name:ident = $value:literal, $doc:literal;)*) => {
        $(#[doc = $doc] pub const $name: &str = $value;)*
        const ALL: &[&str] = &[$($value),*];
    };
}

namespaces! {
    XML = "http://www.w3.org/XML/1998/namespace", "The `xml:` prefix, for `xml:lang`.";
    XMLNS = "http://www.w3.org/2000/xmlns/", "Namespace declarations themselves.";
    STREAM = "http://etherx.jabber.org/streams", "RFC 6120 §4.8.1: `stream:` elements.";
    CLIENT = "jabber:client", "RFC 6120 §4.8.2: stanzas between client and server.";
    COMPONENT = "jabber:component:accept", "XEP-0114: stanzas of components.";
    SERVER = "jabber:server", "RFC 6120 §4.8.2: stanzas between servers.";
    FRAMING = "urn:ietf:params:xml:ns:xmpp-framing", "RFC 7395: `<open/>` and `<close/>` over WebSocket.";
    DIALBACK = "jabber:server:dialback", "XEP-0220: server dialback.";
    DIALBACK_FEATURE = "urn:xmpp:features:dialback", "XEP-0220 §2.2: dialback announced.";
    BIDI = "urn:xmpp:bidi", "XEP-0288: stanzas both ways on one stream.";
    BIDI_FEATURE = "urn:xmpp:features:bidi", "XEP-0288: the same announced.";
    STREAM_ERRORS = "urn:ietf:params:xml:ns:xmpp-streams", "RFC 6120 §4.9: stream error conditions.";
    STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas", "RFC 6120 §8.3: stanza error conditions.";
    TLS = "urn:ietf:params:xml:ns:xmpp-tls", "RFC 6120 §5: STARTTLS.";
    SASL = "urn:ietf:params:xml:ns:xmpp-sasl", "RFC 6120 §6: SASL.";
    BIND = "urn:ietf:params:xml:ns:xmpp-bind", "RFC 6120 §7: resource binding.";
    SESSION = "urn:ietf:params:xml:ns:xmpp-session", "RFC 3921 §3: session establishment, a no-op today.";
    ROSTER = "jabber:iq:roster", "RFC 6121 §2: roster.";
    ROSTER_VER = "urn:xmpp:features:rosterver", "RFC 6121 §2.6: roster versioning.";
    PRE_APPROVAL = "urn:xmpp:features:pre-approval", "RFC 6121 §3.4: pre-approval.";
    DATA_FORMS = "jabber:x:data", "XEP-0004: data forms.";
    LAST = "jabber:iq:last", "XEP-0012: last activity.";
    DISCO_INFO = "http://jabber.org/protocol/disco#info", "XEP-0030: what an entity can do.";
    DISCO_ITEMS = "http://jabber.org/protocol/disco#items", "XEP-0030: what belongs to an entity.";
    ADDRESS = "http://jabber.org/protocol/address", "XEP-0033: extended addressing.";
    MUC = "http://jabber.org/protocol/muc", "XEP-0045: entering rooms.";
    MUC_USER = "http://jabber.org/protocol/muc#user", "XEP-0045: what the room says.";
    MUC_ADMIN = "http://jabber.org/protocol/muc#admin", "XEP-0045: affiliations and roles.";
    MUC_OWNER = "http://jabber.org/protocol/muc#owner", "XEP-0045: configuration and destruction.";
    MUC_REQUEST = "http://jabber.org/protocol/muc#request", "XEP-0045: asking for voice.";
    MUC_ROOM_CONFIG = "http://jabber.org/protocol/muc#roomconfig", "XEP-0045: form type of the configuration.";
    MUC_ROOM_INFO = "http://jabber.org/protocol/muc#roominfo", "XEP-0045: form type of disco extensions.";
    MUC_UNIQUE = "http://jabber.org/protocol/muc#unique", "XEP-0307: a name for a room that nobody has yet.";
    MUC_STABLE_ID = "http://jabber.org/protocol/muc#stable_id", "XEP-0045: the room keeps message ids.";
    MUC_SELF_PING = "http://jabber.org/protocol/muc#self-ping-optimization", "XEP-0410: self-ping.";
    MUC_REGISTER = "jabber:iq:register", "XEP-0077: registration, of nicks in rooms too.";
    BOOKMARKS_OLD = "storage:bookmarks", "XEP-0048: bookmarks.";
    PRIVATE = "jabber:iq:private", "XEP-0049: private XML storage.";
    VCARD_TEMP = "vcard-temp", "XEP-0054: vCard.";
    RSM = "http://jabber.org/protocol/rsm", "XEP-0059: result set management.";
    PUBSUB = "http://jabber.org/protocol/pubsub", "XEP-0060: publish-subscribe.";
    PUBSUB_EVENT = "http://jabber.org/protocol/pubsub#event", "XEP-0060: notifications.";
    PUBSUB_AUTHORIZATION = "http://jabber.org/protocol/pubsub#subscribe_authorization", "XEP-0060: asking the owner.";
    PUBSUB_OWNER = "http://jabber.org/protocol/pubsub#owner", "XEP-0060: owner's use.";
    PUBSUB_ERRORS = "http://jabber.org/protocol/pubsub#errors", "XEP-0060: error conditions.";
    PUBSUB_PUBLISH_OPTIONS = "http://jabber.org/protocol/pubsub#publish-options", "XEP-0060: preconditions.";
    PUBSUB_NODE_CONFIG = "http://jabber.org/protocol/pubsub#node_config", "XEP-0060: form type of node configuration.";
    OOB = "jabber:x:oob", "XEP-0066: out of band data.";
    XHTML_IM = "http://jabber.org/protocol/xhtml-im", "XEP-0071: XHTML-IM.";
    AVATAR_DATA = "urn:xmpp:avatar:data", "XEP-0084: avatar bytes.";
    AVATAR_METADATA = "urn:xmpp:avatar:metadata", "XEP-0084: avatar metadata.";
    CHATSTATES = "http://jabber.org/protocol/chatstates", "XEP-0085: typing.";
    VERSION = "jabber:iq:version", "XEP-0092: software version.";
    CAPS = "http://jabber.org/protocol/caps", "XEP-0115: entity capabilities.";
    COMMANDS = "http://jabber.org/protocol/commands", "XEP-0050: ad-hoc commands.";
    VCARD_UPDATE = "vcard-temp:x:update", "XEP-0153: vCard avatar hash.";
    NICK = "http://jabber.org/protocol/nick", "XEP-0172: nickname.";
    REGISTER_FEATURE = "http://jabber.org/features/iq-register", "XEP-0077: stream feature.";
    IBR_TOKEN = "urn:xmpp:ibr-token:0", "XEP-0445: accounts by invitation.";
    PARS = "urn:xmpp:pars:0", "XEP-0379: the token of an invitation.";
    INVITE = "urn:xmpp:invite#invite", "XEP-0401: command that invites.";
    INVITE_ACCOUNT = "urn:xmpp:invite#create-account", "XEP-0401: command that promises an account.";
    INVITATION = "urn:xmpp:invite#invitation", "XEP-0401: form type of an invitation.";
    BOSH = "http://jabber.org/protocol/httpbind", "XEP-0124: the body of a request.";
    XBOSH = "urn:xmpp:xbosh", "XEP-0206: what XMPP adds to it.";
    EXTDISCO = "urn:xmpp:extdisco:2", "XEP-0215: STUN and TURN servers.";
    RECEIPTS = "urn:xmpp:receipts", "XEP-0184: delivery receipts.";
    BLOCKING = "urn:xmpp:blocking", "XEP-0191: blocking.";
    BLOCKING_ERRORS = "urn:xmpp:blocking:errors", "XEP-0191: error condition.";
    SM = "urn:xmpp:sm:3", "XEP-0198: stream management.";
    PING = "urn:xmpp:ping", "XEP-0199: ping.";
    TIME = "urn:xmpp:time", "XEP-0202: entity time.";
    DELAY = "urn:xmpp:delay", "XEP-0203: delayed delivery.";
    CONFERENCE = "jabber:x:conference", "XEP-0249: direct invitation.";
    CARBONS = "urn:xmpp:carbons:2", "XEP-0280: carbons.";
    VCARD4 = "urn:ietf:params:xml:ns:vcard-4.0", "XEP-0292: vCard4.";
    FORWARD = "urn:xmpp:forward:0", "XEP-0297: forwarding.";
    CORRECT = "urn:xmpp:message-correct:0", "XEP-0308: correction.";
    MAM = "urn:xmpp:mam:2", "XEP-0313: archive.";
    MAM_EXTENDED = "urn:xmpp:mam:2#extended", "XEP-0313: archive, extended queries.";
    IDLE = "urn:xmpp:idle:1", "XEP-0319: last activity in presence.";
    MARKERS = "urn:xmpp:chat-markers:0", "XEP-0333: displayed markers.";
    HINTS = "urn:xmpp:hints", "XEP-0334: processing hints.";
    CSI = "urn:xmpp:csi:0", "XEP-0352: client state.";
    SID = "urn:xmpp:sid:0", "XEP-0359: stanza-id and origin-id.";
    HTTP_UPLOAD = "urn:xmpp:http:upload:0", "XEP-0363: file upload.";
    EME = "urn:xmpp:eme:0", "XEP-0380: which encryption.";
    OMEMO = "eu.siacs.conversations.axolotl", "XEP-0384 0.3: OMEMO as deployed.";
    OMEMO2 = "urn:xmpp:omemo:2", "XEP-0384 0.8: OMEMO.";
    SFS = "urn:xmpp:sfs:0", "XEP-0447: stateless file sharing.";
    SASL2 = "urn:xmpp:sasl:2", "XEP-0388: extensible SASL.";
    BIND2 = "urn:xmpp:bind:0", "XEP-0386: bind 2.";
    SASL_UPGRADE = "urn:xmpp:sasl:upgrade:0", "XEP-0480: upgrade tasks.";
    SCRAM_UPGRADE = "urn:xmpp:scram-upgrade:0", "XEP-0480: upgrades of SCRAM.";
    CAM = "urn:xmpp:cam:0", "XEP-0494: client access management.";
    PEP_VCARD_CONVERSION = "urn:xmpp:pep-vcard-conversion:0", "XEP-0398: avatar conversion.";
    BOOKMARKS = "urn:xmpp:bookmarks:1", "XEP-0402: bookmarks.";
    BOOKMARKS_COMPAT = "urn:xmpp:bookmarks:1#compat", "XEP-0402: bookmarks also as XEP-0048.";
    OCCUPANT_ID = "urn:xmpp:occupant-id:0", "XEP-0421: occupant id.";
    RETRACT = "urn:xmpp:message-retract:1", "XEP-0424: retraction.";
    RETRACT_TOMBSTONE = "urn:xmpp:message-retract:1#tombstone", "XEP-0424: the archive keeps tombstones.";
    MODERATE = "urn:xmpp:message-moderate:1", "XEP-0425: moderation.";
    FASTEN = "urn:xmpp:fasten:0", "XEP-0422: fastening.";
    FALLBACK = "urn:xmpp:fallback:0", "XEP-0428: fallback text.";
    CHANNEL_BINDING = "urn:xmpp:sasl-cb:0", "XEP-0440: channel binding types.";
    REACTIONS = "urn:xmpp:reactions:0", "XEP-0444: reactions.";
    REPLY = "urn:xmpp:reply:0", "XEP-0461: replies.";
    STREAM_LIMITS = "urn:xmpp:stream-limits:0", "XEP-0478: limits announced.";
    FAST = "urn:xmpp:fast:0", "XEP-0484: fast re-authentication.";
    MDS = "urn:xmpp:mds:displayed:0", "XEP-0490: read sync.";
    XMPP_TIME = "jabber:iq:time", "XEP-0090: obsolete entity time.";
    ATTENTION = "urn:xmpp:attention:0", "XEP-0224: attention.";
    JINGLE_MESSAGE = "urn:xmpp:jingle-message:0", "XEP-0353: calls are offered.";
    STYLING = "urn:xmpp:styling:0", "XEP-0393: message styling.";
}

/// Known namespaces by length, so that a look-up compares a handful of texts at most.
static BY_LENGTH: LazyLock<Vec<Vec<&'static str>>> = LazyLock::new(|| {
    let longest = ALL.iter().map(|ns| ns.len()).max().unwrap_or(0);
    (0..=longest)
        .map(|n| ALL.iter().copied().filter(|ns| ns.len() == n).collect())
        .collect()
});

/// The shared text of a namespace: no allocation for those listed here.
pub fn intern(ns: &str) -> Str {
    BY_LENGTH
        .get(ns.len())
        .and_then(|same| same.iter().find(|known| **known == ns))
        .map_or_else(|| Str::new(ns), |known| Str::new_static(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_namespaces_are_found_and_unknown_ones_kept() {
        for ns in ALL {
            assert_eq!(intern(ns), *ns);
            assert!(!intern(ns).is_heap_allocated(), "{ns}");
        }
        assert_eq!(
            intern("urn:example:nobody-knows-this-one"),
            "urn:example:nobody-knows-this-one"
        );
    }
}
