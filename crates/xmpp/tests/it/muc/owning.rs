//! What owners do: configuration, encryption, picture, the end.

use sammen_xmpp::wire::ns;

use super::{MUC, TOWN, codes, condition, field, item, ok, rank, rank_of, town};
use crate::people::{House, written};

#[tokio::test]
async fn the_owner_configures_and_everyone_hears_of_it() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    alice.joins("alice").await;
    let form = alice
        .asks(
            "get",
            TOWN,
            "f",
            "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
        )
        .await;
    let form = form
        .first()
        .unwrap()
        .find("x", ns::DATA_FORMS)
        .unwrap()
        .clone();
    for (var, value) in [
        ("FORM_TYPE", ns::MUC_ROOM_CONFIG),
        ("muc#roomconfig_membersonly", "0"),
        ("muc#roomconfig_whois", "moderators"),
        ("muc#roomconfig_persistentroom", "1"),
        ("muc#roomconfig_maxusers", "none"),
        ("muc#roomconfig_allowpm", "anyone"),
        ("muc#roomconfig_roomowners", "alice@localhost"),
        ("{urn:sammen:room}encryption", "none"),
    ] {
        assert_eq!(field(&form, var).as_deref(), Some(value), "{var}");
    }
    // An instant room takes it as it is.
    ok(&alice
        .asks("set", TOWN, "i", "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>")
        .await);
    let mut bob = house.arrives("bob", "home").await;
    bob.joins("bob").await;
    let refused = bob
        .asks(
            "get",
            TOWN,
            "f",
            "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
        )
        .await;
    assert_eq!(condition(&refused), "forbidden");
    ok(&alice
        .configures(&[
            ("muc#roomconfig_roomname", "The Town"),
            ("muc#roomconfig_roomdesc", "All of us"),
            ("muc#roomconfig_publicroom", "1"),
            ("muc#roomconfig_enablelogging", "1"),
            ("muc#roomconfig_roomadmins", "bob@localhost"),
        ])
        .await);
    let told = bob.expect(|el| codes(el).contains(&170)).await;
    assert_eq!(
        (told.get("from"), told.get("type")),
        (Some(TOWN), Some("groupchat"))
    );
    bob.expect(|el| rank_of(el, "bob") == Some(("admin".into(), "moderator".into())))
        .await;
    let (features, form) = bob.looks().await;
    for feature in [
        ns::MUC,
        ns::MAM,
        ns::OCCUPANT_ID,
        ns::MUC_STABLE_ID,
        ns::SID,
        ns::VCARD_TEMP,
        "muc_public",
        "muc_open",
        "muc_semianonymous",
        "muc_persistent",
        "muc_unsecured",
        "muc_unmoderated",
    ] {
        assert!(features.iter().any(|f| f == feature), "{feature}");
    }
    assert_eq!(field(&form, "muc#roominfo_occupants").as_deref(), Some("2"));
    assert!(
        field(&form, "muc#roominfo_description")
            .unwrap()
            .starts_with("All of us\n")
    );
    // Everyone reads the history now, also who is not in.
    alice.tells("for-all").await;
    alice.hears("for-all").await;
    let mut carol = house.arrives("carol", "train").await;
    assert_eq!(carol.reads_archive("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_room_whose_first_configuration_is_cancelled_is_gone() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    alice.enters(TOWN, "alice", MUC).await;
    ok(&alice
        .asks("set", TOWN, "c", "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='cancel'/></query>")
        .await);
    let out = alice.sees("alice").await;
    assert!(
        out.find("x", ns::MUC_USER)
            .unwrap()
            .has("destroy", ns::MUC_USER)
    );
    let again = alice.joins("alice").await;
    assert!(codes(&again.own).contains(&201));
}

#[tokio::test]
async fn a_new_room_is_locked_until_its_owner_has_configured_it() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let mut bob = house.arrives("bob", "home").await;
    let made = alice.enters(TOWN, "alice", MUC).await;
    assert!(codes(&made.own).contains(&201));
    assert_eq!(bob.may_not_enter(TOWN, "bob", MUC).await, "item-not-found");
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    let looked = bob.asks("get", TOWN, "i", info).await;
    assert_eq!(condition(&looked), "item-not-found");
    // A reserved room: the first form that is submitted opens it.
    ok(&alice
        .configures(&[("muc#roomconfig_roomname", "Ours")])
        .await);
    bob.joins("bob").await;
    // Whose owner goes away before that was not meant.
    let mut carol = house.arrives("carol", "train").await;
    carol.enters("draft@rooms.localhost", "carol", MUC).await;
    carol
        .send("<presence type='unavailable' to='draft@rooms.localhost/carol'/>")
        .await;
    carol.settles().await;
    let looked = carol.asks("get", "draft@rooms.localhost", "j", info).await;
    assert_eq!(condition(&looked), "item-not-found");
}

#[tokio::test]
async fn a_client_is_given_a_name_for_a_room_that_nobody_has() {
    let house = House::new().await;
    let mut alice = house.arrives("alice", "desk").await;
    let unique = "<unique xmlns='http://jabber.org/protocol/muc#unique'/>";
    let mut names = std::collections::HashSet::new();
    for id in ["u1", "u2"] {
        let answer = alice.asks("get", "rooms.localhost", id, unique).await;
        let name = answer.first().unwrap().content().into_owned();
        assert_eq!(name.len(), 32);
        names.insert(name);
    }
    assert_eq!(names.len(), 2);
}

#[tokio::test]
async fn who_has_no_voice_is_not_shown_where_the_owner_wants_it_so() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='member'/>")
        .await);
    ok(&alice
        .configures(&[
            ("muc#roomconfig_moderatedroom", "1"),
            ("muc#roomconfig_presencebroadcast", "participant"),
        ])
        .await);
    alice.settles().await;
    bob.settles().await;
    let of_carol = |el: &sammen_xmpp::wire::Element| {
        el.get("from").is_some_and(|f| f == format!("{TOWN}/carol"))
    };
    let came = carol.joins("carol").await;
    assert_eq!(rank(&came.own), ("none", "visitor"));
    assert_eq!(came.people.len(), 1, "moderators are not shown either");
    bob.has_nothing(of_carol).await;
    ok(&alice.ranks("<item nick='carol' role='participant'/>").await);
    assert_eq!(rank(&bob.sees("carol").await), ("none", "participant"));
    ok(&alice.ranks("<item nick='carol' role='visitor'/>").await);
    assert_eq!(bob.sees("carol").await.get("type"), Some("unavailable"));
    ok(&alice.ranks("<item nick='carol' role='none'/>").await);
    bob.has_nothing(of_carol).await;
}

#[tokio::test]
async fn who_may_read_the_list_of_members_is_the_owners_to_say() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='member'/>")
        .await);
    ok(&alice
        .configures(&[
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_whois", "anyone"),
        ])
        .await);
    let list = format!(
        "<query xmlns='{}'><item affiliation='member'/></query>",
        ns::MUC_ADMIN
    );
    ok(&bob.asks("get", TOWN, "l1", &list).await);
    ok(&alice
        .configures(&[("muc#roomconfig_getmemberlist", "moderator")])
        .await);
    assert_eq!(
        condition(&bob.asks("get", TOWN, "l2", &list).await),
        "forbidden"
    );
    ok(&alice.asks("get", TOWN, "l3", &list).await);
}

#[tokio::test]
async fn the_owner_destroys_the_room() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let destroy = format!(
        "<query xmlns='{}'><destroy jid='city@rooms.localhost'><reason>moved</reason></destroy></query>",
        ns::MUC_OWNER
    );
    assert_eq!(
        condition(&bob.asks("set", TOWN, "d", &destroy).await),
        "forbidden"
    );
    ok(&alice.asks("set", TOWN, "d", &destroy).await);
    let out = bob.sees("bob").await;
    assert_eq!(
        (out.get("type"), rank(&out)),
        (Some("unavailable"), ("none", "none"))
    );
    let gone = out
        .find("x", ns::MUC_USER)
        .unwrap()
        .find("destroy", ns::MUC_USER)
        .unwrap();
    assert_eq!(gone.get("jid"), Some("city@rooms.localhost"));
    assert_eq!(
        gone.find_text("reason", ns::MUC_USER).as_deref(),
        Some("moved")
    );
    let info = bob
        .asks(
            "get",
            TOWN,
            "i",
            "<query xmlns='http://jabber.org/protocol/disco#info'/>",
        )
        .await;
    assert_eq!(condition(&info), "item-not-found");
}

#[tokio::test]
async fn a_room_gets_another_address_and_people_follow() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let conference = "<conference xmlns='urn:xmpp:bookmarks:1' name='Ours' autojoin='true'><nick>bo</nick></conference>";
    let bookmark = format!(
        "<pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='urn:xmpp:bookmarks:1'><item id='{TOWN}'>{conference}</item></publish></pubsub>"
    );
    ok(&bob.asks("set", "", "b", &bookmark).await);
    alice.tells("before").await;
    bob.hears("before").await;
    let from = sammen_core::Address::new("#town@localhost").unwrap();
    let to = sammen_core::Address::new("#city@localhost").unwrap();
    let owner = sammen_core::Principal::Of(sammen_core::Address::new("alice@localhost").unwrap());
    house
        .node
        .write(move |tx| {
            let id = tx.room(&from)?.id();
            let why = Some("it grew".to_owned());
            sammen_core::ops::rooms::rename(tx, &owner, id, &to, why, &Default::default())
        })
        .await
        .unwrap();
    // To those who are in, the old one ends and names the new one.
    let out = bob.sees("bob").await;
    assert_eq!(
        (out.get("type"), codes(&out)),
        (Some("unavailable"), vec![110])
    );
    let x = out.find("x", ns::MUC_USER).unwrap();
    let end = x.find("destroy", ns::MUC_USER).unwrap();
    assert_eq!(end.get("jid"), Some("city@rooms.localhost"));
    // Who asks for the old one is told where it went.
    bob.send(&format!("<presence to='{TOWN}/bob'>{MUC}</presence>"))
        .await;
    let refused = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&refused), "gone");
    let error = refused.find("error", ns::CLIENT).unwrap();
    assert_eq!(
        error.first().unwrap().content(),
        "xmpp:city@rooms.localhost?join"
    );
    let info = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    assert_eq!(condition(&bob.asks("get", TOWN, "i", info).await), "gone");
    // History is read under both, and so is the room's own word for it.
    assert_eq!(bob.reads_archive("").await.unwrap().len(), 1);
    let came = bob.enters("city@rooms.localhost", "bob", MUC).await;
    assert!(came.past.iter().any(|m| super::body(m) == "before"));
    // The bookmark follows.
    let items = "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='urn:xmpp:bookmarks:1'/></pubsub>";
    let mut phone = house.arrives("bob", "phone").await;
    let listed = written(&phone.asks("get", "", "l", items).await);
    assert!(
        listed.contains("id='city@rooms.localhost'") && listed.contains("<nick>bo</nick>"),
        "{listed}"
    );
    assert!(!listed.contains(TOWN), "{listed}");
}

#[tokio::test]
async fn a_room_bound_to_omemo_is_for_members_who_see_each_other() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let secret = "<message to='town@rooms.localhost' type='groupchat' id='e1'><encrypted xmlns='eu.siacs.conversations.axolotl'>\
        <header sid='1'/><payload>x</payload></encrypted><body>secret</body></message>";
    alice.send(secret).await;
    let error = alice.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(
        condition(&error),
        "not-acceptable",
        "an unbound room is for every app"
    );
    let (features, form) = alice.looks().await;
    assert!(features.iter().any(|f| f == "muc_semianonymous"));
    assert!(
        field(&form, "muc#roominfo_description")
            .unwrap()
            .contains("every app")
    );
    ok(&alice
        .ranks("<item jid='bob@localhost' affiliation='member'/>")
        .await);
    ok(&alice
        .configures(&[
            ("muc#roomconfig_membersonly", "1"),
            ("muc#roomconfig_whois", "anyone"),
        ])
        .await);
    let told = bob.expect(|el| codes(el).contains(&172)).await;
    assert_eq!(told.get("from"), Some(TOWN));
    let seen = bob
        .expect(|el| rank_of(el, "alice").is_some() && item(el).get("jid").is_some())
        .await;
    assert_eq!(item(&seen).get("jid"), Some("alice@localhost/desk"));
    let (features, _) = bob.looks().await;
    for feature in ["muc_nonanonymous", "muc_membersonly"] {
        assert!(features.iter().any(|f| f == feature), "{feature}");
    }
    // Apps learn for whom to encrypt.
    for affiliation in ["owner", "member"] {
        let query = format!(
            "<query xmlns='{}'><item affiliation='{affiliation}'/></query>",
            ns::MUC_ADMIN
        );
        let list = bob.asks("get", TOWN, "l", &query).await;
        assert_eq!(list.first().unwrap().all("item", ns::MUC_ADMIN).count(), 1);
    }
    alice.send(secret).await;
    let heard = bob.hears("secret").await;
    assert!(heard.has("encrypted", ns::OMEMO));
    alice.tells("plain").await;
    let error = alice.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "not-acceptable");
}

#[tokio::test]
async fn a_room_has_a_picture() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let vcard = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORwECAw==</BINVAL></PHOTO></vCard>";
    assert_eq!(
        condition(&bob.asks("set", TOWN, "vc", vcard).await),
        "forbidden"
    );
    ok(&alice.asks("set", TOWN, "vc", vcard).await);
    let told = bob
        .expect(|el| el.name() == "presence" && el.get("from") == Some(TOWN))
        .await;
    let hash = told.find("x", ns::VCARD_UPDATE).unwrap();
    let hash = hash
        .find_text("photo", ns::VCARD_UPDATE)
        .unwrap()
        .into_owned();
    assert_eq!(hash.len(), 40);
    let (_, form) = bob.looks().await;
    assert_eq!(field(&form, "muc#roominfo_avatarhash"), Some(hash));
    let card = bob
        .asks("get", TOWN, "vc", "<vCard xmlns='vcard-temp'/>")
        .await;
    assert!(written(&card).contains("iVBORwECAw=="));
    let mut carol = house.arrives("carol", "train").await;
    let came = carol.joins("carol").await;
    assert_eq!(came.people[0].get("from"), Some(TOWN));
}

#[tokio::test]
async fn the_room_sees_whose_picture_changed() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let vcard = "<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>iVBORwECAw==</BINVAL></PHOTO></vCard>";
    bob.settles().await;
    ok(&bob.asks("set", "", "vc", vcard).await);
    let hash = sammen_xmpp::avatar::sha1(&[0x89, b'P', b'N', b'G', 1, 2, 3]);
    alice
        .expect(|el| {
            let update = el.find("x", ns::VCARD_UPDATE);
            let photo = update.and_then(|x| x.find_text("photo", ns::VCARD_UPDATE));
            photo.as_deref() == Some(&hash)
        })
        .await;
}
