//! Affiliations and roles: kicks, bans, voice, invitations, registration.

use sammen_xmpp::wire::ns;

use super::{MUC, TOWN, codes, condition, field, item, ok, rank, rank_of, town};
use crate::people::House;

#[tokio::test]
async fn bob_is_kicked_and_banned_and_let_in_again() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    ok(&alice
        .ranks("<item nick='bob' role='none'><reason>enough</reason></item>")
        .await);
    let out = bob.sees("bob").await;
    assert_eq!(
        (out.get("type"), codes(&out)),
        (Some("unavailable"), vec![307, 110])
    );
    assert_eq!(
        item(&out).find_text("reason", ns::MUC_USER).as_deref(),
        Some("enough")
    );
    assert_eq!(
        item(&out).find("actor", ns::MUC_USER).unwrap().get("nick"),
        Some("alice")
    );
    assert_eq!(codes(&alice.sees("bob").await), [307]);
    bob.joins("bob").await;
    alice.sees("bob").await;
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='outcast'/>")
        .await);
    let out = bob.sees("bob").await;
    assert_eq!(
        (codes(&out), rank(&out)),
        (vec![301, 110], ("outcast", "none"))
    );
    assert_eq!(codes(&alice.sees("bob").await), [301]);
    assert_eq!(bob.may_not_enter(TOWN, "bob", MUC).await, "forbidden");
    assert_eq!(bob.reads_archive("").await, Err("forbidden".into()));
    let list = alice
        .asks("get", TOWN, "l", "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query>")
        .await;
    let listed = list.first().unwrap().find("item", ns::MUC_ADMIN).unwrap();
    assert_eq!(listed.get("jid"), Some("bob@localhost"));
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='none'/>")
        .await);
    bob.joins("bob").await;
}

#[tokio::test]
async fn the_list_of_bans_says_why_and_can_name_a_whole_domain() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let list =
        "<query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query>";
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(
        condition(
            &bob.ranks("<item jid='other.net' affiliation='outcast'/>")
                .await
        ),
        "forbidden"
    );
    ok(&alice
        .ranks("<item jid='carol@localhost' affiliation='outcast'><reason>spam</reason></item><item jid='other.net' affiliation='outcast'/>")
        .await);
    let listed = alice.asks("get", TOWN, "l", list).await;
    let items: Vec<_> = listed.first().unwrap().all("item", ns::MUC_ADMIN).collect();
    let jids: Vec<_> = items.iter().filter_map(|i| i.get("jid")).collect();
    assert_eq!(jids, ["carol@localhost", "other.net"]);
    let why = items[0].find_text("reason", ns::MUC_ADMIN);
    assert_eq!(why.as_deref(), Some("spam"));
    assert_eq!(carol.may_not_enter(TOWN, "carol", MUC).await, "forbidden");
    // The own domain too: who is in goes, who is not stays out; admins and owners are spared.
    ok(&alice
        .ranks("<item jid='localhost' affiliation='outcast'><reason>closed</reason></item>")
        .await);
    let out = bob.sees("bob").await;
    assert_eq!(out.get("type"), Some("unavailable"));
    assert_eq!(
        item(&out).find_text("reason", ns::MUC_USER).as_deref(),
        Some("closed")
    );
    assert_eq!(bob.may_not_enter(TOWN, "bob", MUC).await, "forbidden");
    ok(&alice
        .ranks("<item jid='localhost' affiliation='none'/>")
        .await);
    bob.joins("bob").await;
}

#[tokio::test]
async fn a_conversation_of_two_goes_on_in_a_room() {
    let house = House::new().await;
    let (mut alice, _bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    alice
        .send(&format!(
            "<message to='carol@localhost'><x xmlns='jabber:x:conference' jid='{TOWN}' reason='us' continue='true' thread='t1'/></message>"
        ))
        .await;
    let told = carol.expect(|el| el.has("x", ns::MUC_USER)).await;
    let x = told.find("x", ns::MUC_USER).unwrap();
    let invite = x.find("invite", ns::MUC_USER).unwrap();
    assert_eq!(
        invite.find_text("reason", ns::MUC_USER).as_deref(),
        Some("us")
    );
    let goes_on = invite.find("continue", ns::MUC_USER).unwrap();
    assert_eq!(goes_on.get("thread"), Some("t1"));
}

#[tokio::test]
async fn ranks_are_given_all_at_once_or_not_at_all() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    carol.joins("carol").await;
    // The second item makes all of it impossible.
    let refused = alice
        .ranks("<item jid='bob@localhost' affiliation='admin'/><item jid='alice@localhost' affiliation='outcast'/>")
        .await;
    assert_eq!(condition(&refused), "conflict");
    let refused = alice
        .ranks("<item jid='alice@localhost' affiliation='none'/>")
        .await;
    assert_eq!(condition(&refused), "conflict", "the last owner stays");
    bob.has_nothing(|el| rank_of(el, "bob") == Some(("admin".into(), "moderator".into())))
        .await;
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='admin'><reason>helps</reason></item><item jid='carol@localhost' affiliation='member'/>")
        .await);
    let own = bob
        .expect(|el| rank_of(el, "bob") == Some(("admin".into(), "moderator".into())))
        .await;
    assert!(codes(&own).contains(&110));
    assert_eq!(
        item(&own).find_text("reason", ns::MUC_USER).as_deref(),
        Some("helps")
    );
    // As a moderator bob learns who is who.
    let seen = bob
        .expect(|el| rank_of(el, "carol").is_some() && item(el).get("jid").is_some())
        .await;
    assert_eq!(item(&seen).get("jid"), Some("carol@localhost/train"));
    for (items, expected) in [
        (
            "<item jid='alice@localhost' affiliation='member'/>",
            "not-allowed",
        ),
        (
            "<item jid='carol@localhost' affiliation='admin'/>",
            "not-allowed",
        ),
        ("<item nick='alice' role='none'/>", "not-allowed"),
        ("<item nick='alice' role='visitor'/>", "not-allowed"),
        ("<item nick='nobody' role='none'/>", "item-not-found"),
        (
            "<item jid='bob@localhost' affiliation='outcast'/>",
            "conflict",
        ),
        ("<item nick='carol' role='king'/>", "bad-request"),
        ("", "bad-request"),
    ] {
        assert_eq!(condition(&bob.ranks(items).await), expected, "{items}");
    }
    for items in [
        "<item jid='bob@localhost' affiliation='none'/>",
        "<item nick='bob' role='none'/>",
    ] {
        assert_eq!(condition(&carol.ranks(items).await), "forbidden", "{items}");
    }
    // An owner hands the room over in one request.
    ok(&alice
        .ranks("<item jid='alice@localhost' affiliation='member'/><item jid='bob@localhost' affiliation='owner'/>")
        .await);
    bob.expect(|el| rank_of(el, "alice") == Some(("member".into(), "participant".into())))
        .await;
}

#[tokio::test]
async fn a_moderated_room_gives_voice() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    ok(&alice
        .configures(&[("muc#roomconfig_moderatedroom", "1")])
        .await);
    bob.expect(|el| rank_of(el, "bob") == Some(("none".into(), "visitor".into())))
        .await;
    bob.tells("may-i").await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
    // A visitor may still whisper, and asks for voice.
    bob.send("<message to='town@rooms.localhost/alice' type='chat'><body>please</body></message>")
        .await;
    alice.hears("please").await;
    bob.send(
        "<message to='town@rooms.localhost'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
         <value>http://jabber.org/protocol/muc#request</value></field><field var='muc#role'><value>participant</value>\
         </field></x></message>",
    )
    .await;
    let asked = alice.expect(|el| el.has("x", ns::DATA_FORMS)).await;
    let form = asked.find("x", ns::DATA_FORMS).unwrap();
    assert_eq!(field(form, "muc#roomnick").as_deref(), Some("bob"));
    assert_eq!(
        field(form, "muc#jid").as_deref(),
        Some("bob@localhost/home")
    );
    alice
        .send(
            "<message to='town@rooms.localhost'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#request</value></field><field var='muc#roomnick'><value>bob</value>\
             </field><field var='muc#request_allow'><value>true</value></field></x></message>",
        )
        .await;
    bob.expect(|el| rank_of(el, "bob") == Some(("none".into(), "participant".into())))
        .await;
    bob.tells("thanks").await;
    alice.hears("thanks").await;
    let voices = alice
        .asks("get", TOWN, "v", "<query xmlns='http://jabber.org/protocol/muc#admin'><item role='participant'/></query>")
        .await;
    let voice = voices.first().unwrap().find("item", ns::MUC_ADMIN).unwrap();
    assert_eq!(
        (voice.get("nick"), voice.get("jid")),
        (Some("bob"), Some("bob@localhost"))
    );
    ok(&alice.ranks("<item nick='bob' role='visitor'/>").await);
    bob.expect(|el| rank_of(el, "bob") == Some(("none".into(), "visitor".into())))
        .await;
}

#[tokio::test]
async fn invitations_go_through_the_room() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    let invite = |who: &str| {
        format!(
            "<message to='{TOWN}'><x xmlns='{}'><invite to='{who}@localhost'><reason>come</reason></invite></x></message>",
            ns::MUC_USER
        )
    };
    bob.send(&invite("carol")).await;
    let got = carol.expect(|el| el.has("x", ns::MUC_USER)).await;
    assert_eq!(got.get("from"), Some(TOWN));
    let from = got
        .find("x", ns::MUC_USER)
        .unwrap()
        .find("invite", ns::MUC_USER)
        .unwrap();
    assert_eq!(from.get("from"), Some("bob@localhost"));
    assert_eq!(
        from.find_text("reason", ns::MUC_USER).as_deref(),
        Some("come")
    );
    carol
        .send(&format!(
            "<message to='{TOWN}'><x xmlns='{}'><decline to='bob@localhost'><reason>busy</reason></decline></x></message>",
            ns::MUC_USER
        ))
        .await;
    let no = bob
        .expect(|el| el.name() == "message" && el.has("x", ns::MUC_USER))
        .await;
    let no = no
        .find("x", ns::MUC_USER)
        .unwrap()
        .find("decline", ns::MUC_USER)
        .unwrap();
    assert_eq!(no.get("from"), Some("carol@localhost"));
    assert_eq!(
        no.find_text("reason", ns::MUC_USER).as_deref(),
        Some("busy")
    );
    // A closed room opens to the invited.
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='member'/>")
        .await);
    ok(&alice
        .configures(&[
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_allowinvites", "0"),
        ])
        .await);
    bob.send(&invite("carol")).await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
    assert_eq!(
        carol.may_not_enter(TOWN, "carol", MUC).await,
        "registration-required"
    );
    alice.send(&invite("carol")).await;
    carol
        .expect(|el| el.name() == "message" && el.has("x", ns::MUC_USER))
        .await;
    let came = carol.joins("carol").await;
    assert_eq!(rank(&came.own), ("member", "participant"));
}

#[tokio::test]
async fn an_invitation_waits_for_who_is_away() {
    let house = House::new().await;
    let (_alice, mut bob) = town(&house).await;
    bob.send(&format!(
        "<message to='{TOWN}'><x xmlns='{}'><invite to='carol@localhost'/></x></message>",
        ns::MUC_USER
    ))
    .await;
    bob.settles().await;
    let mut carol = house.signs_in("carol", "train").await;
    carol.send("<presence/>").await;
    let invited = |el: &sammen_xmpp::wire::Element| el.has("x", ns::MUC_USER);
    let got = carol.expect(invited).await;
    assert_eq!(got.get("from"), Some(TOWN));
    // The same device is not shown it again, another one is.
    carol.send("<presence type='unavailable'/>").await;
    carol.settles().await;
    carol.send("<presence/>").await;
    carol.has_nothing(invited).await;
    let mut phone = house.arrives("carol", "phone").await;
    phone.expect(invited).await;
}

#[tokio::test]
async fn nicks_can_be_registered() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let own = "<query xmlns='http://jabber.org/protocol/disco#info' node='x-roomuser-item'/>";
    let none = bob.asks("get", TOWN, "n", own).await;
    assert!(none.first().unwrap().first().is_none());
    let form = bob
        .asks("get", TOWN, "r", "<query xmlns='jabber:iq:register'/>")
        .await;
    let form = form
        .first()
        .unwrap()
        .find("x", ns::DATA_FORMS)
        .unwrap()
        .clone();
    assert_eq!(field(&form, "muc#register_roomnick").as_deref(), Some(""));
    let submit = |nick: &str| {
        format!(
            "<query xmlns='jabber:iq:register'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'>\
             <value>http://jabber.org/protocol/muc#register</value></field><field var='muc#register_roomnick'>\
             <value>{nick}</value></field></x></query>"
        )
    };
    assert_eq!(
        condition(&bob.asks("set", TOWN, "r", &submit("alice")).await),
        "conflict"
    );
    assert_eq!(
        condition(
            &bob.asks("set", TOWN, "r", "<query xmlns='jabber:iq:register'/>")
                .await
        ),
        "bad-request"
    );
    ok(&bob.asks("set", TOWN, "r", &submit("robert")).await);
    bob.expect(|el| rank_of(el, "robert").is_some_and(|(a, _)| a == "member"))
        .await;
    let known = bob.asks("get", TOWN, "n", own).await;
    assert_eq!(
        known.first().unwrap().first().unwrap().get("name"),
        Some("robert")
    );
    // It stays his while he is gone.
    bob.send("<presence type='unavailable' to='town@rooms.localhost/robert'/>")
        .await;
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(carol.may_not_enter(TOWN, "Robert", MUC).await, "conflict");
    ok(&bob
        .asks(
            "set",
            TOWN,
            "r",
            "<query xmlns='jabber:iq:register'><remove/></query>",
        )
        .await);
    carol.joins("Robert").await;
    ok(&alice
        .configures(&[("muc#roomconfig_moderatedroom", "1")])
        .await);
    let refused = bob
        .asks("get", TOWN, "r", "<query xmlns='jabber:iq:register'/>")
        .await;
    assert_eq!(
        condition(&refused),
        "not-allowed",
        "standing would give voice"
    );
}
