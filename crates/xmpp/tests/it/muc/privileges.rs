//! XEP-0045 §5: every privilege for every pair of affiliations and roles, as tables.
//!
//! Alice owns the town throughout, so that a room always has an owner; bob asks, carol is asked about.

use sammen_core::member::{Role, Standing};
use sammen_core::ops::rooms;
use sammen_core::{Address, Origin, Principal};
use sammen_xmpp::muc::names;
use sammen_xmpp::wire::ns;

use super::{MUC, TOWN, condition, ok, town};
use crate::people::{House, Person};

const STANDINGS: [&str; 5] = ["outcast", "none", "member", "admin", "owner"];

/// Makes somebody what the play needs, whatever they are now.
async fn becomes(house: &House, who: &str, standing: &str, role: Option<&str>) {
    let who = Address::new(&format!("{who}@localhost")).unwrap();
    let town = Address::new("#town@localhost").unwrap();
    let standing = names::standing(standing).unwrap();
    let role = role.map(|r| names::role_named(r).unwrap());
    house
        .node
        .write(move |tx| {
            let id = tx.room(&town)?.id();
            let (node, origin) = (Principal::Node, Origin::default());
            rooms::set_standing(tx, &node, id, &who, standing, None, &origin)?;
            if let Some(role) = role {
                rooms::set_role(tx, &node, id, &who, role, None, &origin)?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

/// What somebody is.
fn is(house: &House, who: &str) -> (Standing, Role) {
    let who = Address::new(&format!("{who}@localhost")).unwrap();
    let town = Address::new("#town@localhost").unwrap();
    let convo = house.node.room(&town).unwrap().unwrap();
    (convo.standing(&who), convo.role(&who))
}

/// Enters, also where one is in already, and forgets what was said.
async fn enters_again(person: &mut Person, nick: &str) {
    person.joins(nick).await;
    person.settles().await;
    person.takes(|_| true);
}

/// Everything that somebody sent before was answered: a write goes the same way as a message, and the ping waits for
/// what the writer says.
async fn is_dealt_with(person: &mut Person) {
    let contact = "<query xmlns='jabber:iq:roster'><item jid='carol@localhost'/></query>";
    ok(&person.asks("set", "", "w", contact).await);
    person.settles().await;
}

fn outcome(answer: &sammen_xmpp::wire::Element) -> &'static str {
    if answer.get("type") == Some("result") {
        return "yes";
    }
    match condition(answer).as_str() {
        "forbidden" => "forbidden",
        "not-allowed" => "not-allowed",
        other => panic!("{other}"),
    }
}

/// §5.2.1 with §9 and §10: who changes whose affiliation to what. A change to what somebody is already is none, and
/// nothing that only admins do is told apart from it to others.
#[tokio::test]
async fn every_affiliation_changes_those_that_it_may() {
    let house = House::new().await;
    let (_alice, mut bob) = town(&house).await;
    for actor in STANDINGS {
        for target in STANDINGS {
            for to in STANDINGS {
                becomes(&house, "bob", actor, None).await;
                becomes(&house, "carol", target, None).await;
                let item = format!("<item jid='carol@localhost' affiliation='{to}'/>");
                let got = outcome(&bob.ranks(&item).await);
                let ranked = |name: &str| matches!(name, "admin" | "owner");
                let expected = match actor {
                    "owner" => "yes",
                    "admin" if target == to => "yes",
                    "admin" if ranked(target) || ranked(to) => "not-allowed",
                    "admin" => "yes",
                    _ => "forbidden",
                };
                assert_eq!(got, expected, "{actor} makes {target} {to}");
                let is_now = if got == "yes" { to } else { target };
                assert_eq!(
                    is(&house, "carol").0,
                    names::standing(is_now).unwrap(),
                    "{actor} makes {target} {to}"
                );
            }
        }
    }
}

/// Affiliation and role, in the order of the tables below.
const PEOPLE: [(&str, &str); 7] = [
    ("none", "visitor"),
    ("none", "participant"),
    ("none", "moderator"),
    ("member", "participant"),
    ("member", "moderator"),
    ("admin", "moderator"),
    ("owner", "moderator"),
];

/// Rows: who asks; columns: about whom. `y`: done (or so already), `n`: not-allowed, `f`: forbidden.
const ROLES: [(&str, [&str; 7]); 4] = [
    // §8.2, §5.1.3: moderators are kicked by admins alone, nobody by one who stands lower.
    (
        "none",
        [
            "fffffff", "fffffff", "yynnnnn", "fffffff", "yynynnn", "yyyyyyn", "yyyyyyy",
        ],
    ),
    // §8.4: voice is not taken from one who stands as high; from admins and owners never.
    (
        "visitor",
        [
            "fffffff", "fffffff", "ynnnnnn", "fffffff", "yynnnnn", "yyyyynn", "yyyyynn",
        ],
    ),
    // §8.3, §9.7: voice is given by every moderator, moderation taken by admins, from admins and owners never.
    (
        "participant",
        [
            "fffffff", "fffffff", "yynynnn", "fffffff", "yynynnn", "yyyyynn", "yyyyynn",
        ],
    ),
    // §9.6: moderators are made by admins.
    (
        "moderator",
        [
            "fffffff", "fffffff", "ffyfyyy", "fffffff", "ffyfyyy", "yyyyyyy", "yyyyyyy",
        ],
    ),
];

#[tokio::test]
async fn every_role_changes_those_that_it_may() {
    let house = House::new().await;
    let (_alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    for (to, table) in ROLES {
        for (actor, row) in PEOPLE.iter().zip(table) {
            for (target, expected) in PEOPLE.iter().zip(row.chars()) {
                let what = format!("{actor:?} makes {target:?} {to}");
                enters_again(&mut carol, "carol").await;
                becomes(&house, "bob", actor.0, Some(actor.1)).await;
                becomes(&house, "carol", target.0, Some(target.1)).await;
                let item = format!("<item nick='carol' role='{to}'/>");
                let answer = bob.ranks(&item).await;
                let got = match outcome(&answer) {
                    "yes" => 'y',
                    "not-allowed" => 'n',
                    _ => 'f',
                };
                assert_eq!(got, expected, "{what}");
                let (standing, role) = is(&house, "carol");
                assert_eq!(names::affiliation(standing), target.0, "{what}");
                let is_now = if got == 'y' { to } else { target.1 };
                assert_eq!(names::role(role), is_now, "{what}");
            }
        }
    }
}

/// §5.2.1: what else an affiliation gives: `y` done, else the error. In the order of [`STANDINGS`].
#[tokio::test]
async fn every_affiliation_has_its_privileges() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    let owner = |inner: &str| format!("<query xmlns='{}'>{inner}</query>", ns::MUC_OWNER);
    let list = |name: &str| {
        format!(
            "<query xmlns='{}'><item affiliation='{name}'/></query>",
            ns::MUC_ADMIN
        )
    };
    let form = format!(
        "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>{}</value></field>\
         <field var='muc#roomconfig_roomdesc'><value>x</value></field></x>",
        ns::MUC_ROOM_CONFIG
    );
    let f = "forbidden";
    let owners = [f, f, f, f, "y"];
    let admins = [f, f, f, "y", "y"];
    for (what, kind, query, by_standing) in [
        ("the ban list", "get", list("outcast"), admins),
        ("the list of members", "get", list("member"), admins),
        ("the list of admins", "get", list("admin"), admins),
        ("the list of owners", "get", list("owner"), admins),
        ("the configuration", "get", owner(""), owners),
        ("to configure", "set", owner(&form), owners),
    ] {
        for (standing, expected) in STANDINGS.iter().zip(by_standing) {
            becomes(&house, "bob", standing, None).await;
            let answer = bob.asks(kind, TOWN, "p", &query).await;
            let got = match answer.get("type") {
                Some("result") => "y".to_owned(),
                _ => condition(&answer),
            };
            assert_eq!(got, expected, "{standing}: {what}");
        }
    }
    // Where the room shows addresses to everyone its members read who belongs to it (§9.5).
    ok(&alice
        .configures(&[
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_whois", "anyone"),
        ])
        .await);
    for (standing, expected) in STANDINGS.iter().zip([f, f, "y", "y", "y"]) {
        becomes(&house, "bob", standing, None).await;
        let answer = bob.asks("get", TOWN, "p", &list("member")).await;
        assert_eq!(answer.get("type") == Some("result"), expected == "y");
    }
    // Entering a closed room, and an open one.
    for (closed, by_standing) in [
        ("1", [f, "registration-required", "y", "y", "y"]),
        ("0", [f, "y", "y", "y", "y"]),
    ] {
        ok(&alice
            .configures(&[
                ("{urn:sammen:room}encryption", "none"),
                ("muc#roomconfig_membersonly", closed),
            ])
            .await);
        for (standing, expected) in STANDINGS.iter().zip(by_standing) {
            becomes(&house, "carol", "outcast", None).await;
            becomes(&house, "carol", standing, None).await;
            if expected == "y" {
                carol.joins("carol").await;
            } else {
                let got = carol.may_not_enter(TOWN, "carol", MUC).await;
                assert_eq!(got, expected, "{standing} enters, closed: {closed}");
            }
        }
    }
    // Registering (§7.10): who stands higher has a nick to change.
    let nick = "<query xmlns='jabber:iq:register'/>";
    for (standing, expected) in STANDINGS.iter().zip(["not-allowed", "y", "y", "y", "y"]) {
        becomes(&house, "bob", standing, None).await;
        let answer = bob.asks("get", TOWN, "r", nick).await;
        let got = match answer.get("type") {
            Some("result") => "y".to_owned(),
            _ => condition(&answer),
        };
        assert_eq!(got, expected, "{standing} registers");
    }
    for (standing, expected) in STANDINGS.iter().zip(owners) {
        becomes(&house, "bob", standing, None).await;
        let answer = bob.asks("set", TOWN, "d", &owner("<destroy/>")).await;
        let got = match answer.get("type") {
            Some("result") => "y".to_owned(),
            _ => condition(&answer),
        };
        assert_eq!(got, expected, "{standing} destroys");
    }
}

/// §5.1.1: what a role lets one do; the roles none (not in the room), visitor, participant, moderator.
#[tokio::test]
async fn every_role_has_its_privileges() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    carol.joins("carol").await;
    let message = |kind: &str, to: &str, inner: &str| {
        format!("<message id='p' type='{kind}' to='{TOWN}{to}'>{inner}</message>")
    };
    let out = "not-acceptable";
    let f = "forbidden";
    let text = "<body>hi</body>";
    let subject = "<subject>hi</subject>";
    let invite = "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='dora@localhost'/></x>";
    let voice = "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#request</value></field>\
        <field var='muc#roomnick'><value>bob</value></field><field var='muc#request_allow'><value>1</value></field></x>";
    let nick = format!("<presence id='p' to='{TOWN}/bobby'/>");
    for (what, stanza, by_role) in [
        (
            "to the room",
            message("groupchat", "", text),
            [out, f, "y", "y"],
        ),
        (
            "to one",
            message("chat", "/carol", text),
            [out, "y", "y", "y"],
        ),
        (
            "subject",
            message("groupchat", "", subject),
            [out, f, f, "y"],
        ),
        (
            "invite",
            message("normal", "", invite),
            [out, "item-not-found", "item-not-found", "item-not-found"],
        ),
        ("voice", message("normal", "", voice), [out, f, f, "y"]),
        ("nick", nick, ["item-not-found", "y", "y", "y"]),
    ] {
        for (role, expected) in ["none", "visitor", "participant", "moderator"]
            .iter()
            .zip(by_role)
        {
            if !is(&house, "bob").1.eq(&Role::None) {
                bob.send(&format!("<presence type='unavailable' to='{TOWN}/bob'/>"))
                    .await;
                bob.settles().await;
            }
            if *role != "none" {
                enters_again(&mut bob, "bob").await;
                becomes(&house, "bob", "none", Some(role)).await;
            }
            bob.settles().await;
            bob.takes(|_| true);
            bob.send(&stanza).await;
            is_dealt_with(&mut bob).await;
            let refused =
                bob.takes(|el| el.get("type") == Some("error") && el.get("id") == Some("p"));
            let got = refused.first().map_or("y".to_owned(), condition);
            assert_eq!(got, expected, "{role}: {what}");
        }
    }
    // With the subject open to all, participants set it and visitors don't.
    ok(&alice
        .configures(&[("muc#roomconfig_changesubject", "1")])
        .await);
    for (role, expected) in [("visitor", Some(f)), ("participant", None)] {
        enters_again(&mut bob, "bob").await;
        becomes(&house, "bob", "none", Some(role)).await;
        bob.send(&message("groupchat", "", subject)).await;
        is_dealt_with(&mut bob).await;
        let refused = bob.takes(|el| el.get("type") == Some("error"));
        assert_eq!(refused.first().map(condition).as_deref(), expected);
    }
}
