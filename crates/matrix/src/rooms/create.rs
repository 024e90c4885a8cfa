//! Making rooms (client-server API, "Creation").

use std::sync::Arc;

use ruma::api::client::room::Visibility as Listed;
use ruma::api::client::room::create_room::v3::{Request, Response, RoomPreset};
use ruma::events::TimelineEventType as Type;
use ruma::{OwnedUserId, RoomId, RoomVersionId};
use sammen_core::conversation::{Binding, ConversationKey, Home, JoinRule, Settings, Visibility};
use sammen_core::ops::rooms;
use sammen_core::{Address, EventId, Native, Protocol, Refusal, RoomName, Standing};
use serde_json::{Map, Value, json};

use super::state;
use crate::auth::Caller;
use crate::chain::{Draft, Frame, RoomRecord, Sheet, levels, write_new};
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::fields::Fields as _;
use crate::routes::Table;
use crate::server::Matrix;

/// Most people whom one request invites, and most state events that it brings.
const MOST: usize = 100;

pub fn routes(table: &mut Table) {
    table.on(create);
}

async fn create(matrix: Arc<Matrix>, ask: Ask<Request>) -> Answer<Response> {
    let Ask { request, who, .. } = ask;
    if request.invite.len() > MOST || request.initial_state.len() > MOST {
        return Err(Fault::too_large());
    }
    if !request.invite_3pid.is_empty() {
        return Err(Fault::invalid("people are invited by their Matrix id here"));
    }
    let plan = Plan::of(&matrix, &who, request)?;
    if plan.direct {
        return direct(&matrix, &who, plan).await;
    }
    make(&matrix, &who, plan).await
}

/// What is asked for.
struct Plan {
    version: RoomVersionId,
    creation: Map<String, Value>,
    state: Vec<(Type, String, Value)>,
    levels: Option<Value>,
    invite: Vec<OwnedUserId>,
    is_direct: bool,
    /// One other person, and nothing that only a room has.
    direct: bool,
    trusted: bool,
    alias: Option<String>,
    settings: Settings,
}

impl Plan {
    fn of(matrix: &Matrix, who: &Caller, request: Request) -> Answer<Self> {
        let version = request.room_version.unwrap_or(RoomVersionId::V11);
        if !matches!(version, RoomVersionId::V11 | RoomVersionId::V12) {
            return Err(Fault::new(
                axum::http::StatusCode::BAD_REQUEST,
                ruma::api::error::ErrorKind::UnsupportedRoomVersion,
                "rooms are made in version 11 or 12 here",
            ));
        }
        let object = |raw: &str| -> Answer<Value> {
            serde_json::from_str(raw).map_err(|e| Fault::bad_json(e.to_string()))
        };
        let creation = match &request.creation_content {
            Some(content) => object(content.json().get())?,
            None => json!({}),
        };
        let levels = request.power_level_content_override.as_ref();
        let levels = levels
            .map(|levels| object(levels.json().get()))
            .transpose()?;
        let listed = request.visibility == Listed::Public;
        let preset = request.preset.unwrap_or(if listed {
            RoomPreset::PublicChat
        } else {
            RoomPreset::PrivateChat
        });
        let (rule, guests) = match preset {
            RoomPreset::PublicChat => ("public", "forbidden"),
            _ => ("invite", "can_join"),
        };
        let mut state: Vec<(Type, String, Value)> = Vec::new();
        let mut put = |kind: Type, key: String, content: Value| {
            let known = state.iter_mut().find(|(k, s, _)| *k == kind && *s == key);
            match known {
                Some(known) => known.2 = content,
                None => state.push((kind, key, content)),
            }
        };
        let empty = String::new;
        put(Type::RoomJoinRules, empty(), json!({ "join_rule": rule }));
        let shared = json!({ "history_visibility": "shared" });
        put(Type::RoomHistoryVisibility, empty(), shared);
        put(
            Type::RoomGuestAccess,
            empty(),
            json!({ "guest_access": guests }),
        );
        for raw in &request.initial_state {
            let event = object(raw.json().get())?;
            let kind = event
                .word("type")
                .ok_or_else(|| Fault::bad_json("a type is needed"))?;
            let key = event.word("state_key").unwrap_or_default().to_owned();
            if matches!(kind, "m.room.create" | "m.room.member") {
                return Err(Fault::invalid("that state comes with the room itself"));
            }
            put(Type::from(kind), key, event.field("content").clone());
        }
        if let Some(name) = request.name.filter(|name| !name.is_empty()) {
            put(Type::RoomName, empty(), json!({ "name": name }));
        }
        if let Some(topic) = request.topic.filter(|topic| !topic.is_empty()) {
            put(Type::RoomTopic, empty(), json!({ "topic": topic }));
        }
        let mut settings = Settings {
            join_rule: JoinRule::Members,
            visibility: Visibility::Shared,
            listed,
            persistent: true,
            addresses_open: true,
            invites_open: true,
            ..Settings::default()
        };
        for (kind, key, content) in &state {
            if *kind == Type::RoomTopic {
                settings.topic = content.word("topic").map(str::to_owned);
                settings.topic_by = Some((who.address().clone(), matrix.node.now()));
            } else if key.is_empty()
                && let Some(change) = state::settings(kind, content)
            {
                change(&mut settings);
            }
        }
        let space = creation.word("type").is_some();
        let named = request.room_alias_name.is_some() || space || listed;
        let direct = request.is_direct && request.invite.len() == 1 && !named;
        Ok(Self {
            version,
            creation: creation.as_object().cloned().unwrap_or_default(),
            state,
            levels,
            invite: request.invite,
            is_direct: request.is_direct,
            direct,
            trusted: preset == RoomPreset::TrustedPrivateChat,
            alias: request.room_alias_name,
            settings,
        })
    }
}

/// A conversation of two: the one that they have on every protocol, or an encrypted one beside it.
async fn direct(matrix: &Arc<Matrix>, who: &Caller, plan: Plan) -> Answer<Response> {
    let peer = plan
        .invite
        .first()
        .ok_or_else(|| Fault::invalid("nobody is invited"))?;
    let peer = super::person(matrix, peer)?;
    let me = who.address().clone();
    let bound = plan.settings.binding != Binding::Unbound;
    let settings = Settings {
        binding: plan.settings.binding,
        ..Settings::default()
    };
    let conversation = matrix
        .node
        .write(move |tx| {
            if peer.is_account() {
                tx.account(&peer)?.ok_or(Refusal::NotFound)?;
                if tx.is_blocked(&peer, &me)? || tx.is_blocked(&me, &peer)? {
                    return Err(Refusal::Blocked);
                }
            } else if !peer.network().is_some_and(|network| tx.speaks(network)) {
                return Err(Refusal::NotFound);
            }
            if !bound {
                return Ok(tx.direct(&me, &peer)?.id());
            }
            let name = format!("matrix/{}", EventId::new(tx.now, tx.random()));
            let (a, b) = if me <= peer { (me, peer) } else { (peer, me) };
            let key = ConversationKey::Further(a, b, name);
            Ok(tx.create_convo(key, settings, Home::Node).id())
        })
        .await?;
    let room = matrix.rooms.open(conversation).await?;
    // Whoever left it comes back by asking for it.
    matrix.rooms.let_back(&room, &who.user_id).await?;
    Ok(Response::new(room.id.clone()))
}

/// The room's address: as asked for, or one that nobody has.
fn address(matrix: &Matrix, plan: &Plan) -> Answer<Address> {
    let domain = matrix.domain();
    let name = match &plan.alias {
        Some(alias) => RoomName::new(alias).map_err(|e| Fault::invalid(e.to_string()))?,
        None => {
            let words = plan
                .settings
                .name
                .as_deref()
                .unwrap_or("room")
                .to_lowercase();
            let mut slug: String = words
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .take(24)
                .collect();
            while slug.contains("--") {
                slug = slug.replace("--", "-");
            }
            let slug = slug.trim_matches('-');
            let slug = if slug.is_empty() { "room" } else { slug };
            let random = EventId::new(matrix.node.now(), matrix.node.clock().random()).to_string();
            let tail = random.get(18..).unwrap_or_default();
            RoomName::new(&format!("{slug}-{tail}")).map_err(|e| Fault::invalid(e.to_string()))?
        }
    };
    Ok(Address::room(domain, &name))
}

async fn make(matrix: &Arc<Matrix>, who: &Caller, mut plan: Plan) -> Answer<Response> {
    let address = address(matrix, &plan)?;
    let others = plan.invite.clone();
    let people: Vec<(OwnedUserId, Address)> = others
        .iter()
        .filter(|user| **user != who.user_id)
        .map(|user| Ok((user.clone(), super::person(matrix, user)?)))
        .collect::<Answer<_>>()?;
    let alias = matrix.rooms.alias(&address);
    if plan.alias.is_some()
        && let Some(alias) = &alias
    {
        let content = json!({ "alias": alias });
        plan.state
            .insert(0, (Type::RoomCanonicalAlias, String::new(), content));
    }
    let key = matrix.rooms.key().await?;
    // Nobody else begins the chain of the new conversation meanwhile.
    let _one = matrix.rooms.beginning.lock().await;
    let (principal, origin) = (who.principal(), who.origin());
    let settings = plan.settings.clone();
    let room_address = address.clone();
    // A draft of the room shows first whether its own rules let it be as asked for.
    let trial = sheet(matrix, who, &plan, "trial".into(), key.clone())?;
    drop(trial);
    let conversation = matrix
        .node
        .write(move |tx| rooms::create(tx, &principal, &room_address, settings, None, &origin))
        .await?
        .id();
    let sheet = sheet(matrix, who, &plan, conversation.to_string(), key)?;
    let record = RoomRecord {
        id: sheet.frame.id.clone(),
        version: plan.version.clone(),
        conversation,
        start: matrix.node.last_seq(),
        native: true,
    };
    let (room, ()) = write_new(&matrix.rooms, sheet, record, |_| Ok(())).await?;
    drop(_one);
    for (_, person) in people {
        let mut content = json!({ "membership": "invite" });
        if plan.is_direct {
            content.put("is_direct", true);
        }
        let native = Native {
            protocol: Protocol::Matrix,
            bytes: content.to_string().into(),
            id: None,
            kind: Some("m.room.member".into()),
        };
        let (principal, origin, trusted) = (who.principal(), who.origin(), plan.trusted);
        let invited = matrix.node.write(move |tx| {
            let native = Some(native);
            rooms::invite_with(tx, &principal, conversation, &person, None, native, &origin)?;
            if trusted {
                let owner = Standing::Owner;
                rooms::set_standing(tx, &principal, conversation, &person, owner, None, &origin)?;
            }
            Ok(())
        });
        if let Err(why) = invited.await {
            tracing::info!(%why, "somebody could not be invited into a new room");
        }
    }
    let upto = matrix.node.last_seq();
    matrix.rooms.catch_up(&room, upto, Vec::new()).await?;
    Ok(Response::new(room.id.clone()))
}

/// The first events of the room.
fn sheet(
    matrix: &Matrix,
    who: &Caller,
    plan: &Plan,
    name: String,
    key: Arc<ruma::signatures::Ed25519KeyPair>,
) -> Answer<Sheet> {
    let now = matrix.node.now();
    let creator = &who.user_id;
    let unknown = || Fault::unknown("try later");
    let rules = plan.version.rules().ok_or_else(unknown)?;
    let random = EventId::new(now, matrix.node.clock().random());
    let privileged = rules.authorization.explicitly_privilege_room_creators;
    let frame = Frame {
        name,
        id: RoomId::parse(format!("!{random}:{}", matrix.name)).map_err(|_| unknown())?,
        version: plan.version.clone(),
        rules,
        server: matrix.name.clone(),
    };
    let mut creation = plan.creation.clone();
    creation.remove("creator");
    creation.insert("room_version".into(), plan.version.as_str().into());
    let trusted: &[OwnedUserId] = if plan.trusted { &plan.invite } else { &[] };
    if privileged {
        let mut more: Vec<Value> = match creation.get("additional_creators") {
            Some(Value::Array(more)) => more.clone(),
            _ => Vec::new(),
        };
        more.extend(trusted.iter().map(|user| user.as_str().into()));
        more.sort_by_key(ToString::to_string);
        more.dedup();
        if !more.is_empty() {
            creation.insert("additional_creators".into(), more.into());
        }
    } else {
        creation.remove("additional_creators");
    }
    let refused = |why: crate::chain::Unfit| -> Fault { Refusal::from(why).into() };
    let state = |kind: Type, key: &str, content| Draft::state(kind, key, creator, now, content);
    let create = state(Type::RoomCreate, "", Value::Object(creation));
    let mut sheet = Sheet::begin(frame, create, key).map_err(refused)?;
    let mut own = json!({ "membership": "join" });
    let convo = matrix.rooms.profile(who.address());
    own.put("displayname", convo);
    sheet
        .add(state(Type::RoomMember, creator.as_str(), own))
        .map_err(refused)?;
    let mut users = Map::new();
    if !privileged {
        users.insert(creator.to_string(), 100.into());
        for user in trusted {
            users.insert(user.to_string(), 100.into());
        }
    }
    let mut levels = levels::table(users, privileged);
    if let Some(Value::Object(over)) = &plan.levels {
        for (name, value) in over {
            match (levels.field(name).clone(), value) {
                (Value::Object(mut known), Value::Object(more)) if name == "events" => {
                    known.extend(more.clone());
                    levels.put(name, known);
                }
                _ => levels.put(name, value.clone()),
            }
        }
    }
    sheet
        .add(state(Type::RoomPowerLevels, "", levels))
        .map_err(refused)?;
    for (kind, key, content) in &plan.state {
        if *kind == Type::RoomPowerLevels && key.is_empty() {
            continue;
        }
        sheet
            .add(state(kind.clone(), key, content.clone()))
            .map_err(refused)?;
    }
    Ok(sheet)
}
