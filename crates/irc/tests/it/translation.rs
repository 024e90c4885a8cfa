//! What people on other protocols do, as IRC clients see it.

use sammen_core::conversation::Settings;
use sammen_core::event::{Attachment, MessageKind, Protocol, Relation, RelationKind};
use sammen_core::ops::send::{self, Outgoing, Target};
use sammen_core::{Address, Content, Message, Native, Principal, Sent, ops};

use crate::world::{MODERN, World, address, bare, none, one, tag};

/// Bob writes from an XMPP app.
async fn from_xmpp(
    world: &World,
    to: Target,
    content: Content,
    about: Option<(RelationKind, &Sent)>,
) -> Sent {
    let native = matches!(content, Content::Encrypted { .. }).then(|| Native {
        protocol: Protocol::Xmpp,
        bytes: "<encrypted/>".into(),
        id: None,
        kind: None,
    });
    let out = Outgoing {
        native,
        relation: about.map(|(kind, sent)| Relation {
            kind,
            target: Some(sent.id),
            foreign: None,
        }),
        ..Outgoing::new(to, content, Protocol::Xmpp)
    };
    let who = Principal::Of(address("bob"));
    world
        .node
        .write(move |tx| send::send(tx, &who, out))
        .await
        .unwrap()
}

async fn town(world: &World) -> Target {
    let room = Address::new("#town@example.org").unwrap();
    let id = world.node.room(&room).unwrap().unwrap().id();
    world
        .node
        .write(move |tx| {
            let fits = |_: &_| false;
            ops::rooms::join(
                tx,
                &address("bob"),
                id,
                None,
                None,
                &fits,
                &Default::default(),
            )
        })
        .await
        .unwrap();
    Target::Conversation(id)
}

#[tokio::test]
async fn words_of_other_apps_are_irc_lines() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let mut carol = world.enters("carol", "").await;
    alice.does("JOIN #town").await;
    carol.does("JOIN #town").await;
    let to = town(&world).await;
    one(
        &alice.syncs().await,
        ":bob!bob@example.org JOIN #town bob :bob",
    );
    let first = from_xmpp(
        &world,
        to.clone(),
        Content::Message(Message::text("helo")),
        None,
    )
    .await;
    let edit = Content::Edit(Message::text("hello"));
    from_xmpp(&world, to.clone(), edit, Some((RelationKind::Edit, &first))).await;
    let lines = alice.syncs().await;
    let edited = one(&lines, "PRIVMSG #town :* hello");
    assert_eq!(tag(edited, "+reply"), Some(&*first.id.to_string()));
    one(&carol.syncs().await, "PRIVMSG #town :* hello");
    let styled = Message {
        text: "so *bold*".into(),
        html: Some("so <b>bold</b>".into()),
        ..Message::default()
    };
    from_xmpp(&world, to.clone(), Content::Message(styled), None).await;
    one(&carol.syncs().await, "PRIVMSG #town :so \x02bold\x02");
    let emote = Message {
        kind: MessageKind::Emote,
        ..Message::text("waves")
    };
    from_xmpp(&world, to.clone(), Content::Message(emote), None).await;
    one(&carol.syncs().await, "PRIVMSG #town :\x01ACTION waves\x01");
    let file = Message {
        attachments: vec![Attachment {
            url: "https://x.y/cat.jpg".into(),
            name: Some("cat.jpg".into()),
            media_type: None,
            size: None,
        }],
        ..Message::text("look")
    };
    from_xmpp(&world, to.clone(), Content::Message(file), None).await;
    let lines = carol.syncs().await;
    one(&lines, "PRIVMSG #town :look");
    one(&lines, "PRIVMSG #town :https://x.y/cat.jpg");
    from_xmpp(
        &world,
        to.clone(),
        Content::Message(Message::text("one\n\ntwo")),
        None,
    )
    .await;
    let lines = carol.syncs().await;
    one(&lines, "PRIVMSG #town :one");
    one(&lines, "PRIVMSG #town :two");
    alice.syncs().await;
    let thumb = Content::Reaction {
        keys: vec!["👍".into()],
    };
    from_xmpp(
        &world,
        to.clone(),
        thumb,
        Some((RelationKind::Reaction, &first)),
    )
    .await;
    let none_left = Content::Reaction { keys: vec![] };
    from_xmpp(
        &world,
        to.clone(),
        none_left,
        Some((RelationKind::Reaction, &first)),
    )
    .await;
    let lines = alice.syncs().await;
    assert_eq!(tag(one(&lines, "+draft/react"), "+draft/react"), Some("👍"));
    assert_eq!(
        tag(one(&lines, "+draft/unreact"), "+draft/unreact"),
        Some("👍")
    );
    let back = Content::Retraction { reason: None };
    from_xmpp(&world, to, back, Some((RelationKind::Retraction, &first))).await;
    one(&alice.syncs().await, &format!("REDACT #town {}", first.id));
}

#[tokio::test]
async fn encrypted_messages_name_the_app_and_plain_text_into_them_is_refused() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    let secret = || Content::Encrypted {
        scheme: "OMEMO".into(),
        fallback: Some("I sent you an OMEMO message".into()),
    };
    let to = Target::Direct(address("alice"));
    for _ in 0..3 {
        from_xmpp(&world, to.clone(), secret(), None).await;
    }
    let lines = alice.syncs().await;
    let notice = one(&lines, "NOTICE alice");
    assert!(bare(notice).contains("encrypted with OMEMO: open it in an XMPP app"));
    let refused = alice.does("PRIVMSG bob :in the clear").await;
    one(
        &refused,
        " 531 alice bob :This conversation is encrypted with OMEMO.",
    );
    let answer = alice.does("PRIVMSG *sammen :plain allow bob").await;
    one(&answer, "Plain text is allowed");
    none(&alice.does("PRIVMSG bob :in the clear").await, " 531 ");
}

#[tokio::test]
async fn changes_of_a_room_by_other_apps_are_modes_and_topics() {
    let world = World::new().await;
    let mut alice = world.enters("alice", MODERN).await;
    alice.does("JOIN #town").await;
    let Target::Conversation(id) = town(&world).await else {
        unreachable!()
    };
    let owner = Principal::Of(address("alice"));
    let by = owner.clone();
    world
        .node
        .write(move |tx| {
            let change = |s: &mut Settings| {
                s.moderated = true;
                s.listed = true;
                s.password = Some("sesame".into());
                Ok(())
            };
            ops::rooms::configure(tx, &by, id, change, &Default::default()).map(drop)
        })
        .await
        .unwrap();
    one(
        &alice.syncs().await,
        ":alice!alice@example.org MODE #town -s+mk sesame",
    );
    let by = owner.clone();
    world
        .node
        .write(move |tx| {
            let origin = Default::default();
            ops::rooms::set_topic(tx, &by, id, "two\nlines", None, &origin)?;
            let role = sammen_core::Role::Moderator;
            ops::rooms::set_role(tx, &by, id, &address("bob"), role, None, &origin)?;
            let change = |s: &mut Settings| {
                s.name = Some("Our town".into());
                Ok(())
            };
            ops::rooms::configure(tx, &by, id, change, &origin)?;
            ops::rooms::destroy(tx, &by, id, Some("moved".into()), None, &origin)
        })
        .await
        .unwrap();
    let lines = alice.syncs().await;
    one(&lines, "TOPIC #town :two | lines");
    one(&lines, "MODE #town +o bob");
    one(&lines, "This room is called “Our town” now.");
    one(&lines, "KICK #town alice :This room is gone: moved");
    one(&alice.does("PRIVMSG #town :hello?").await, " 403 ");
}
