//! XEP-0045 §10: the owner's configuration form, and what a submitted one means for core's settings.

use sammen_core::address::Address;
use sammen_core::conversation::{Binding, JoinRule, Settings, Visibility};
use sammen_core::convo::Convo;
use sammen_core::member::{Role, Standing};

use super::form::{Form, Submitted};
use crate::wire::{Condition, Element, StanzaError, ns};

/// The room's binding: a field of our own (XEP-0068 §3.3 lets fields have a name in a namespace).
pub const ENCRYPTION: &str = "{urn:sammen:room}encryption";
/// Who reads what was said before they came.
pub const HISTORY: &str = "{urn:sammen:room}history";
/// Days that messages stay.
pub const RETENTION: &str = "{urn:sammen:room}retention";

/// In [`Settings::extra`]: private messages are off altogether.
pub const NO_PRIVATE: &str = "xmpp/no-private";
/// In [`Settings::extra`]: most messages that a joiner is sent.
pub const MAX_HISTORY: &str = "xmpp/max-history";
/// In [`Settings::extra`]: the roles whose presence everyone is shown, with commas between them.
pub const BROADCAST: &str = "xmpp/presencebroadcast";
/// In [`Settings::extra`]: the roles that may read the list of members, with commas between them.
pub const MEMBER_LIST: &str = "xmpp/getmemberlist";
/// In [`Settings::extra`]: SHA-1 of the picture, by which XMPP names it.
pub const AVATAR_SHA1: &str = "xmpp/avatar-sha1";

/// Messages that a joiner is sent who does not say how many, and most that anyone is sent; the archive has the rest.
pub const HISTORY_USUAL: usize = 20;
/// See [`HISTORY_USUAL`].
pub const HISTORY_MOST: usize = 200;

/// The scheme of a room that is bound to XMPP's encryption.
pub const OMEMO: &str = "OMEMO";

const CONFIG: &str = "muc#roomconfig_";

/// A field of the standard's form.
fn var(name: &str) -> String {
    format!("{CONFIG}{name}")
}

/// How many messages a joiner is sent at most.
pub fn max_history(settings: &Settings) -> usize {
    settings
        .extra
        .get(MAX_HISTORY)
        .and_then(|v| v.parse().ok())
        .unwrap_or(HISTORY_USUAL)
}

/// The roles that such a setting can name.
const ROLES: [(&str, &str); 3] = [
    ("moderator", "Moderators"),
    ("participant", "People with voice"),
    ("visitor", "People without voice"),
];

/// The roles that a setting of [`Settings::extra`] names; all of them where it was never set.
pub fn roles<'a>(settings: &'a Settings, key: &str) -> Vec<&'a str> {
    match settings.extra.get(key) {
        None => ROLES.iter().map(|(name, _)| *name).collect(),
        Some(set) => set.split(',').filter(|r| !r.is_empty()).collect(),
    }
}

/// Whether everyone is shown the presence of somebody (§10.2, `presencebroadcast`).
pub fn is_broadcast(convo: &Convo, who: &Address) -> bool {
    let settings = &convo.conversation.settings;
    settings.extra.get(BROADCAST).is_none_or(|set| {
        let role = super::names::role(convo.role(who));
        set.split(',').any(|r| r == role)
    })
}

/// Takes such a setting from a form; naming all is the same as never setting it.
fn apply_roles(form: &Submitted, name: &str, key: &str, s: &mut Settings) {
    let Some(wanted) = form.many(&var(name)) else {
        return;
    };
    let named: Vec<&str> = ROLES
        .iter()
        .map(|(role, _)| *role)
        .filter(|role| wanted.iter().any(|w| w == role))
        .collect();
    if named.len() == ROLES.len() {
        s.extra.remove(key);
    } else {
        s.extra.insert(key.to_owned(), named.join(","));
    }
}

/// Who reads an unbound room; part of its description, so that people know before they speak.
pub fn who_reads(settings: &Settings) -> &'static str {
    match &settings.binding {
        Binding::Unbound => {
            "This room is for every app: its server reads it, and encrypted (OMEMO) messages are not taken here."
        }
        Binding::Bound(_) => {
            "This room is end-to-end encrypted: apps of other networks see a notice only."
        }
    }
}

/// From which role on private messages are allowed, by the names of §10.2.
fn allow_pm(settings: &Settings) -> &'static str {
    if settings.extra.contains_key(NO_PRIVATE) {
        return "none";
    }
    match settings.private_messages {
        Role::None | Role::Visitor => "anyone",
        Role::Participant => "participants",
        Role::Moderator => "moderators",
    }
}

fn history_name(visibility: Visibility) -> &'static str {
    match visibility {
        Visibility::Joined => "joined",
        Visibility::Shared => "shared",
        Visibility::World => "world",
    }
}

/// The form that an owner gets. `jid` writes addresses.
pub fn form(convo: &Convo, title: &str, jid: impl Fn(&Address) -> String) -> Element {
    let s = &convo.conversation.settings;
    let people = |standing: Standing| {
        let mut list: Vec<String> = convo
            .members
            .values()
            .filter(|m| m.standing == standing)
            .map(|m| jid(&m.address))
            .collect();
        list.sort_unstable();
        list
    };
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let max_users = if s.max_members == 0 {
        "none".to_owned()
    } else {
        s.max_members.to_string()
    };
    let mut sizes = vec![("10", "10"), ("50", "50"), ("100", "100"), ("500", "500")];
    if s.max_members != 0 && !sizes.iter().any(|(v, _)| *v == max_users) {
        sizes.push((&max_users, &max_users));
    }
    sizes.push(("none", "Without a limit"));
    let encryption = match &s.binding {
        Binding::Unbound => "none",
        Binding::Bound(_) => "omemo",
    };
    Form::new("form", ns::MUC_ROOM_CONFIG)
        .headed(&format!("Configuration of {title}"), who_reads(s))
        .text(&var("roomname"), "Name", &text(&s.name))
        .text(&var("roomdesc"), "Description", &text(&s.description))
        .text(&var("lang"), "Language", &text(&s.language))
        .choice(
            ENCRYPTION,
            "Encryption (OMEMO rooms are members-only and show addresses)",
            encryption,
            &[
                ("none", "None: for every app, the server reads"),
                ("omemo", "OMEMO: XMPP apps alone, the server can't read"),
            ],
        )
        .flag(
            &var("persistentroom"),
            "Stays when everyone left",
            s.persistent,
        )
        .flag(&var("publicroom"), "Listed for everyone", s.listed)
        .flag(
            &var("membersonly"),
            "For members and invited people only",
            s.join_rule != JoinRule::Open,
        )
        .flag(&var("allowinvites"), "Members may invite", s.invites_open)
        .flag(
            &var("moderatedroom"),
            "Only people with voice may speak",
            s.moderated,
        )
        .flag(
            &var("passwordprotectedroom"),
            "A password is needed to enter",
            s.password.is_some(),
        )
        .field(
            &var("roomsecret"),
            "text-private",
            Some("Password"),
            s.password.as_deref(),
        )
        .choice(
            &var("whois"),
            "Who sees real addresses",
            if s.addresses_open {
                "anyone"
            } else {
                "moderators"
            },
            &[
                ("moderators", "Moderators"),
                ("anyone", "Everyone in the room"),
            ],
        )
        .flag(
            &var("changesubject"),
            "Everyone may change the subject",
            s.topic_open,
        )
        .choice(
            &var("allowpm"),
            "Who may send private messages",
            allow_pm(s),
            &[
                ("anyone", "Everyone"),
                ("participants", "People with voice"),
                ("moderators", "Moderators"),
                ("none", "Nobody"),
            ],
        )
        .choices(
            &var("presencebroadcast"),
            "Whose presence everyone is shown",
            &roles(s, BROADCAST),
            &ROLES,
        )
        .choices(
            &var("getmemberlist"),
            "Who may read the list of members",
            &roles(s, MEMBER_LIST),
            &ROLES,
        )
        .choice(&var("maxusers"), "Most members", &max_users, &sizes)
        .choice(
            HISTORY,
            "Who reads the history",
            history_name(s.visibility),
            &[
                ("shared", "Members read all of it"),
                ("joined", "Members read it from their joining on"),
                ("world", "Everyone"),
            ],
        )
        .flag(
            &var("enablelogging"),
            "Everyone may read the history, also without joining",
            s.visibility == Visibility::World,
        )
        .text(
            "muc#maxhistoryfetch",
            "Messages that people get on joining",
            &max_history(s).to_string(),
        )
        .text(
            RETENTION,
            "Days that messages stay (empty: as long as the server keeps any)",
            &s.retention_days.map_or_else(String::new, |d| d.to_string()),
        )
        .field(
            &var("roomadmins"),
            "jid-multi",
            Some("Admins"),
            people(Standing::Admin),
        )
        .field(
            &var("roomowners"),
            "jid-multi",
            Some("Owners"),
            people(Standing::Owner),
        )
        .done()
}

fn refused(why: &'static str) -> StanzaError {
    // §10.1.3: what a policy forbids is not acceptable.
    StanzaError::new(Condition::NotAcceptable).with_text(why)
}

/// Applies a submitted form. Fields that are missing stay as they are.
///
/// # Errors
/// `not-acceptable` where the values contradict each other or our rules, `bad-request` where they are no values.
pub fn apply(form: &Submitted, s: &mut Settings) -> Result<(), StanzaError> {
    let one = |name: &str| form.one(&var(name));
    let flag = |name: &str| form.flag(&var(name));
    let text = |value: &str| (!value.trim().is_empty()).then(|| value.trim().to_owned());
    if let Some(name) = one("roomname") {
        s.name = text(name);
    }
    if let Some(description) = one("roomdesc") {
        s.description = text(description);
    }
    if let Some(language) = one("lang") {
        s.language = text(language).filter(|l| l.len() <= 64);
    }
    s.persistent = flag("persistentroom").unwrap_or(s.persistent);
    s.listed = flag("publicroom").unwrap_or(s.listed);
    s.invites_open = flag("allowinvites").unwrap_or(s.invites_open);
    s.moderated = flag("moderatedroom").unwrap_or(s.moderated);
    s.topic_open = flag("changesubject").unwrap_or(s.topic_open);
    apply_password(flag("passwordprotectedroom"), one("roomsecret"), s)?;
    match one("allowpm") {
        None => {}
        Some("none") => {
            s.extra.insert(NO_PRIVATE.into(), "1".into());
        }
        Some(who) => {
            s.extra.remove(NO_PRIVATE);
            s.private_messages = match who {
                "moderators" => Role::Moderator,
                "participants" => Role::Participant,
                _ => Role::None,
            };
        }
    }
    match one("maxusers") {
        None => {}
        Some("none" | "" | "0") => s.max_members = 0,
        Some(n) => {
            s.max_members = n
                .parse()
                .map_err(|_| StanzaError::new(Condition::BadRequest))?;
        }
    }
    if let Some(n) = form.one("muc#maxhistoryfetch") {
        let n: usize = n
            .parse()
            .map_err(|_| StanzaError::new(Condition::BadRequest))?;
        s.extra
            .insert(MAX_HISTORY.into(), n.min(HISTORY_MOST).to_string());
    }
    match form.one(RETENTION) {
        None => {}
        Some("") => s.retention_days = None,
        Some(n) => {
            s.retention_days = Some(
                n.parse()
                    .map_err(|_| StanzaError::new(Condition::BadRequest))?,
            );
        }
    }
    apply_roles(form, "presencebroadcast", BROADCAST, s);
    apply_roles(form, "getmemberlist", MEMBER_LIST, s);
    apply_history(form, s);
    apply_binding(form, s)
}

fn apply_password(
    wanted: Option<bool>,
    secret: Option<&str>,
    s: &mut Settings,
) -> Result<(), StanzaError> {
    let secret = secret.filter(|p| !p.is_empty());
    match (wanted, secret) {
        (Some(false), _) => s.password = None,
        (_, Some(secret)) => s.password = Some(secret.to_owned()),
        // §10.1.3 names this very case.
        (Some(true), None) if s.password.is_none() => {
            return Err(refused("A room with a password needs a password."));
        }
        _ => {}
    }
    Ok(())
}

fn apply_history(form: &Submitted, s: &mut Settings) {
    let before = s.visibility;
    match form.one(HISTORY) {
        Some("joined") => s.visibility = Visibility::Joined,
        Some("shared") => s.visibility = Visibility::Shared,
        Some("world") => s.visibility = Visibility::World,
        _ => {}
    }
    // Both fields say who reads; the one that was changed counts.
    if s.visibility == before {
        match form.flag(&var("enablelogging")) {
            Some(true) => s.visibility = Visibility::World,
            Some(false) if before == Visibility::World => s.visibility = Visibility::Shared,
            _ => {}
        }
    }
}

/// A room bound to OMEMO is members-only and shows addresses; an unbound members-only room hides them, so that apps
/// do not offer what would be refused. Members-only with addresses for everyone is how XMPP apps ask for a room in
/// which OMEMO works: it binds the room.
fn apply_binding(form: &Submitted, s: &mut Settings) -> Result<(), StanzaError> {
    let before = s.binding.clone();
    match form.one(ENCRYPTION) {
        None => {}
        Some("none") => s.binding = Binding::Unbound,
        Some("omemo") => bind(s),
        Some(_) => return Err(refused("This room can be bound to OMEMO, or to nothing.")),
    }
    let members_only = form.flag(&var("membersonly"));
    let anyone = form.one(&var("whois")).map(|w| w == "anyone");
    let changed = s.binding != before;
    if matches!(s.binding, Binding::Bound(_)) {
        if !changed && (members_only == Some(false) || anyone == Some(false)) {
            return Err(refused(
                "A room bound to OMEMO is members-only and shows addresses to its members.",
            ));
        }
        bind(s);
        return Ok(());
    }
    match members_only {
        Some(true) if s.join_rule == JoinRule::Open => s.join_rule = JoinRule::Members,
        Some(false) => s.join_rule = JoinRule::Open,
        _ => {}
    }
    if changed {
        s.addresses_open = false;
    } else if let Some(anyone) = anyone {
        s.addresses_open = anyone;
    }
    if s.join_rule != JoinRule::Open && s.addresses_open {
        if anyone == Some(true) {
            bind(s);
        } else {
            s.addresses_open = false;
        }
    }
    Ok(())
}

fn bind(s: &mut Settings) {
    // What another protocol bound it to stays.
    if s.binding == Binding::Unbound {
        s.binding = Binding::Bound(OMEMO.into());
    }
    s.addresses_open = true;
    if s.join_rule == JoinRule::Open {
        s.join_rule = JoinRule::Members;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn submit(fields: &[(&str, &str)]) -> Submitted {
        let form = fields
            .iter()
            .fold(Form::new("submit", ns::MUC_ROOM_CONFIG), |form, (k, v)| {
                form.field(k, "text-single", None, [v])
            });
        Submitted::read(&form.done()).unwrap_or_default()
    }

    #[test]
    fn every_setting_is_taken_and_missing_ones_stay() {
        let mut s = Settings::default();
        let form = submit(&[
            ("muc#roomconfig_roomname", " Town "),
            ("muc#roomconfig_roomdesc", "All of us"),
            ("muc#roomconfig_publicroom", "1"),
            ("muc#roomconfig_moderatedroom", "true"),
            ("muc#roomconfig_allowpm", "none"),
            ("muc#roomconfig_maxusers", "50"),
            ("muc#maxhistoryfetch", "100000"),
            ("muc#roomconfig_enablelogging", "1"),
            ("muc#roomconfig_passwordprotectedroom", "1"),
            ("muc#roomconfig_roomsecret", "cauldronburn"),
            (RETENTION, "30"),
        ]);
        assert_eq!(apply(&form, &mut s), Ok(()));
        assert_eq!(s.name.as_deref(), Some("Town"));
        assert_eq!(
            (s.listed, s.moderated, s.persistent, s.max_members),
            (true, true, true, 50)
        );
        assert_eq!((allow_pm(&s), max_history(&s)), ("none", HISTORY_MOST));
        assert_eq!(s.visibility, Visibility::World);
        assert_eq!(s.password.as_deref(), Some("cauldronburn"));
        assert_eq!(s.retention_days, Some(30));
        let again = submit(&[("muc#roomconfig_passwordprotectedroom", "0")]);
        assert_eq!(apply(&again, &mut s), Ok(()));
        assert_eq!(
            (s.password.as_deref(), s.name.as_deref()),
            (None, Some("Town"))
        );
    }

    #[test]
    fn a_blank_password_is_not_acceptable() {
        let mut s = Settings::default();
        let form = submit(&[("muc#roomconfig_passwordprotectedroom", "1")]);
        assert_eq!(
            apply(&form, &mut s).map_err(|e| e.condition),
            Err(Condition::NotAcceptable)
        );
    }

    #[test]
    fn a_bound_room_is_members_only_and_shows_addresses() {
        let mut s = Settings::default();
        assert_eq!(apply(&submit(&[(ENCRYPTION, "omemo")]), &mut s), Ok(()));
        assert_eq!(s.binding, Binding::Bound(OMEMO.into()));
        assert_eq!((s.join_rule, s.addresses_open), (JoinRule::Members, true));
        // What a Matrix app bound is not bound anew by a form that says that it is.
        let mut other = Settings {
            binding: Binding::Bound("Megolm".into()),
            ..s.clone()
        };
        assert_eq!(apply(&submit(&[(ENCRYPTION, "omemo")]), &mut other), Ok(()));
        assert_eq!(other.binding, Binding::Bound("Megolm".into()));
        let open = submit(&[("muc#roomconfig_membersonly", "0"), (ENCRYPTION, "omemo")]);
        assert!(apply(&open, &mut s.clone()).is_err());
        let loose = submit(&[(ENCRYPTION, "none"), ("muc#roomconfig_membersonly", "1")]);
        assert_eq!(apply(&loose, &mut s), Ok(()));
        assert_eq!((s.binding, s.addresses_open), (Binding::Unbound, false));
    }

    #[test]
    fn a_members_only_room_that_shows_addresses_is_bound() {
        let mut s = Settings::default();
        let closed = submit(&[("muc#roomconfig_membersonly", "1")]);
        assert_eq!(apply(&closed, &mut s), Ok(()));
        assert_eq!((s.join_rule, s.addresses_open), (JoinRule::Members, false));
        assert_eq!(s.binding, Binding::Unbound);
        let group = submit(&[
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_whois", "anyone"),
        ]);
        assert_eq!(apply(&group, &mut s), Ok(()));
        assert_eq!(s.binding, Binding::Bound(OMEMO.into()));
        assert_eq!((s.join_rule, s.addresses_open), (JoinRule::Members, true));
        let mut open = Settings::default();
        let shown = submit(&[("muc#roomconfig_whois", "anyone")]);
        assert_eq!(apply(&shown, &mut open), Ok(()));
        assert_eq!(
            (open.binding.clone(), open.addresses_open),
            (Binding::Unbound, true)
        );
        assert_eq!(apply(&closed, &mut open), Ok(()));
        assert_eq!(
            (open.binding, open.addresses_open),
            (Binding::Unbound, false)
        );
    }
}
