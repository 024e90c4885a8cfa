//! What is said in a room: messages, subjects, private messages, corrections, moderation.

use sammen_xmpp::wire::ns;

use super::{TOWN, body, condition, ok, town};
use crate::people::{House, written};

#[tokio::test]
async fn a_message_is_reflected_to_everyone_as_it_was() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.send(
        "<message to='town@rooms.localhost' type='groupchat' id='m1' xml:lang='de'><body>hallo</body>\
         <origin-id xmlns='urn:xmpp:sid:0' id='o1'/><thing xmlns='urn:example:unknown'>t</thing>\
         <stanza-id xmlns='urn:xmpp:sid:0' id='forged' by='town@rooms.localhost'/>\
         <occupant-id xmlns='urn:xmpp:occupant-id:0' id='forged'/>\
         <x xmlns='http://jabber.org/protocol/muc#user'><item affiliation='owner'/></x></message>",
    )
    .await;
    let mut ids = Vec::new();
    for person in [&mut alice, &mut bob] {
        let heard = person.hears("hallo").await;
        assert_eq!(heard.get("from"), Some("town@rooms.localhost/bob"));
        assert_eq!(
            (heard.get("id"), heard.get("type"), heard.lang()),
            (Some("m1"), Some("groupchat"), Some("de"))
        );
        let text = written(&heard);
        assert!(
            text.contains("<thing xmlns='urn:example:unknown'>t</thing>"),
            "{text}"
        );
        assert!(
            text.contains("<origin-id xmlns='urn:xmpp:sid:0' id='o1'/>"),
            "{text}"
        );
        assert!(
            !text.contains("forged") && !heard.has("x", ns::MUC_USER),
            "{text}"
        );
        let id = heard.find("stanza-id", ns::SID).unwrap();
        assert_eq!(id.get("by"), Some(TOWN));
        let occupant = heard.find("occupant-id", ns::OCCUPANT_ID).unwrap();
        ids.push((
            id.get("id").unwrap().to_owned(),
            occupant.get("id").unwrap().to_owned(),
        ));
    }
    assert_eq!(ids[0], ids[1]);
    let past = alice.reads_archive("").await.unwrap();
    assert_eq!(past.len(), 1);
    assert_eq!(past[0].get("archive"), Some(ids[0].0.as_str()));
}

#[tokio::test]
async fn who_is_not_in_says_nothing() {
    let house = House::new().await;
    let (mut alice, _bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    carol.tells("hello").await;
    let error = carol.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "not-acceptable");
    carol
        .send("<message to='nowhere@rooms.localhost' type='groupchat'><body>x</body></message>")
        .await;
    let error = carol.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "item-not-found");
    alice.has_nothing(|el| el.name() == "message").await;
}

#[tokio::test]
async fn the_subject_is_for_moderators_unless_the_room_says_otherwise() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let subject = "<message to='town@rooms.localhost' type='groupchat' id='s1'><subject>fish</subject></message>";
    bob.send(subject).await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(
        (condition(&error).as_str(), error.get("id")),
        ("forbidden", Some("s1"))
    );
    ok(&alice
        .configures(&[("muc#roomconfig_changesubject", "1")])
        .await);
    bob.send(subject).await;
    let seen = alice.expect(|el| el.has("subject", ns::CLIENT)).await;
    assert_eq!(
        (seen.get("from"), seen.get("id")),
        (Some("town@rooms.localhost/bob"), Some("s1"))
    );
    // A subject beside a body is a message.
    bob.send("<message to='town@rooms.localhost' type='groupchat'><subject>x</subject><body>both</body></message>")
        .await;
    alice.hears("both").await;
    let mut carol = house.arrives("carol", "train").await;
    let came = carol.joins("carol").await;
    assert_eq!(
        came.subject.find_text("subject", ns::CLIENT).as_deref(),
        Some("fish")
    );
}

#[tokio::test]
async fn private_messages_are_for_one_occupant() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut carol = house.arrives("carol", "train").await;
    carol.joins("carol").await;
    bob.send(
        "<message to='town@rooms.localhost/alice' type='chat' id='p1'><body>psst</body></message>",
    )
    .await;
    let heard = alice.hears("psst").await;
    assert_eq!(
        (heard.get("from"), heard.get("type"), heard.get("id")),
        (Some("town@rooms.localhost/bob"), Some("chat"), Some("p1"))
    );
    assert!(heard.has("x", ns::MUC_USER));
    // Typing too.
    bob.send("<message to='town@rooms.localhost/alice' type='chat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        .await;
    let typing = alice.expect(|el| el.has("composing", ns::CHATSTATES)).await;
    assert_eq!(typing.get("from"), Some("town@rooms.localhost/bob"));
    carol.has_nothing(|el| el.name() == "message").await;
    assert!(carol.reads_archive("").await.unwrap().is_empty());
    assert_eq!(alice.reads_archive("").await.unwrap().len(), 1);
    for (kind, to, expected) in [
        ("groupchat", "alice", "bad-request"),
        ("chat", "nobody", "item-not-found"),
    ] {
        bob.send(&format!(
            "<message to='{TOWN}/{to}' type='{kind}'><body>x</body></message>"
        ))
        .await;
        let error = bob.expect(|el| el.get("type") == Some("error")).await;
        assert_eq!(condition(&error), expected);
    }
    ok(&alice
        .configures(&[("muc#roomconfig_allowpm", "none")])
        .await);
    bob.send("<message to='town@rooms.localhost/alice' type='chat'><body>x</body></message>")
        .await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
}

#[tokio::test]
async fn the_senders_other_client_has_a_copy_of_a_private_message() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    let mut phone = house.arrives("bob", "phone").await;
    phone
        .asks("set", "", "c", "<enable xmlns='urn:xmpp:carbons:2'/>")
        .await;
    phone.joins("bob").await;
    bob.send(
        "<message to='town@rooms.localhost/alice' type='chat' id='p1'><body>psst</body></message>",
    )
    .await;
    alice.hears("psst").await;
    let copy = phone.expect(|el| el.has("sent", ns::CARBONS)).await;
    let sent = copy.find("sent", ns::CARBONS).unwrap();
    let inner = sent.find("forwarded", ns::FORWARD).unwrap();
    let inner = inner.find("message", ns::CLIENT).unwrap();
    assert_eq!(inner.get("to"), Some("town@rooms.localhost/alice"));
    assert_eq!(body(inner), "psst");
    assert!(inner.has("x", ns::MUC_USER));
}

#[tokio::test]
async fn corrections_reactions_replies_and_own_retractions() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.tells("helo").await;
    let heard = alice.hears("helo").await;
    let id = heard
        .find("stanza-id", ns::SID)
        .unwrap()
        .get("id")
        .unwrap()
        .to_owned();
    bob.send(
        "<message to='town@rooms.localhost' type='groupchat' id='c1'><body>hello</body>\
         <replace xmlns='urn:xmpp:message-correct:0' id='g-helo'/></message>",
    )
    .await;
    assert!(alice.hears("hello").await.has("replace", ns::CORRECT));
    alice
        .send(&format!(
            "<message to='{TOWN}' type='groupchat' id='r1'><reactions xmlns='{}' id='{id}'><reaction>🐟</reaction></reactions></message>",
            ns::REACTIONS
        ))
        .await;
    let reaction = bob.expect(|el| el.has("reactions", ns::REACTIONS)).await;
    assert_eq!(
        reaction.find("reactions", ns::REACTIONS).unwrap().get("id"),
        Some(id.as_str())
    );
    alice
        .send(&format!(
            "<message to='{TOWN}' type='groupchat' id='r2'><body>yes</body><reply xmlns='{}' to='{TOWN}/bob' id='{id}'/></message>",
            ns::REPLY
        ))
        .await;
    assert!(bob.hears("yes").await.has("reply", ns::REPLY));
    alice
        .send(&format!(
            "<message to='{TOWN}' type='groupchat' id='d1'><displayed xmlns='{}' id='{id}'/></message>",
            ns::MARKERS
        ))
        .await;
    bob.expect(|el| el.has("displayed", ns::MARKERS)).await;
    bob.send("<message to='town@rooms.localhost' type='groupchat'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>")
        .await;
    let typing = alice.expect(|el| el.has("composing", ns::CHATSTATES)).await;
    assert_eq!(typing.get("from"), Some("town@rooms.localhost/bob"));
    // Another's message is not alice's to retract as her own would be; bob's is his.
    bob.send(&format!(
        "<message to='{TOWN}' type='groupchat' id='x1'><retract xmlns='{}' id='{id}'/></message>",
        ns::RETRACT
    ))
    .await;
    let gone = alice.expect(|el| el.has("retract", ns::RETRACT)).await;
    assert_eq!(gone.get("from"), Some("town@rooms.localhost/bob"));
    alice.tells("mine").await;
    let mine = bob.hears("mine").await;
    let mine = mine.find("stanza-id", ns::SID).unwrap().get("id").unwrap();
    bob.send(&format!(
        "<message to='{TOWN}' type='groupchat' id='x2'><retract xmlns='{}' id='{mine}'/></message>",
        ns::RETRACT
    ))
    .await;
    let error = bob.expect(|el| el.get("type") == Some("error")).await;
    assert_eq!(condition(&error), "forbidden");
}

#[tokio::test]
async fn a_message_that_is_sent_again_is_reflected_to_its_sender_alone() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    bob.tells("once").await;
    let first = bob.hears("once").await;
    alice.hears("once").await;
    bob.tells("once").await;
    assert_eq!(bob.hears("once").await, first);
    alice.has_nothing(|el| el.name() == "message").await;
    assert_eq!(alice.reads_archive("").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_moderator_takes_back_what_bob_wrote() {
    let house = House::new().await;
    let (mut alice, mut bob) = town(&house).await;
    for (n, child) in [
        (
            "1",
            "<moderate xmlns='urn:xmpp:message-moderate:1' id='ID'><retract xmlns='urn:xmpp:message-retract:1'/><reason>rude</reason></moderate>",
        ),
        (
            "0",
            "<apply-to xmlns='urn:xmpp:fasten:0' id='ID'><moderate xmlns='urn:xmpp:message-moderate:0'><retract xmlns='urn:xmpp:message-retract:0'/><reason>rude</reason></moderate></apply-to>",
        ),
    ] {
        let text = format!("rude{n}");
        bob.tells(&text).await;
        let heard = alice.hears(&text).await;
        let id = heard
            .find("stanza-id", ns::SID)
            .unwrap()
            .get("id")
            .unwrap()
            .to_owned();
        let child = child.replace("ID", &id);
        bob.hears(&text).await;
        assert_eq!(
            condition(&bob.asks("set", TOWN, "m", &child).await),
            "forbidden"
        );
        ok(&alice.asks("set", TOWN, "m", &child).await);
        let told = bob.expect(|el| el.has("retract", ns::RETRACT)).await;
        assert_eq!(told.get("from"), Some(TOWN));
        let retract = told.find("retract", ns::RETRACT).unwrap();
        assert_eq!(retract.get("id"), Some(id.as_str()));
        let by = retract.find("moderated", ns::MODERATE).unwrap();
        assert_eq!(by.get("by"), Some("town@rooms.localhost/alice"));
        assert_eq!(
            retract.find_text("reason", ns::RETRACT).as_deref(),
            Some("rude")
        );
        assert!(
            told.find("apply-to", ns::FASTEN)
                .is_some_and(|a| a.get("id") == Some(&id))
        );
        // The archive keeps a tombstone that names the moderator, and nothing of the text.
        let past = bob.reads_archive("").await.unwrap();
        let stone = past.iter().find(|m| m.get("archive") == Some(&id)).unwrap();
        assert!(
            stone.has("retracted", ns::RETRACT) && !stone.has("body", ns::CLIENT),
            "{stone:?}"
        );
        let moderated = stone.find("retracted", ns::RETRACT).unwrap();
        assert!(moderated.has("moderated", ns::MODERATE), "{stone:?}");
    }
    let nothing = "<moderate xmlns='urn:xmpp:message-moderate:1' id='0000000000000000000000000a'><retract xmlns='urn:xmpp:message-retract:1'/></moderate>";
    assert_eq!(
        condition(&alice.asks("set", TOWN, "m", nothing).await),
        "item-not-found"
    );
}
