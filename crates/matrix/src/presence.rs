//! Presence (client-server API, "Presence"): core's. Who may see it is who may on every other protocol: contacts that
//! were allowed to, and the account itself.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use ruma::api::client::presence::{get_presence, set_presence};
use ruma::api::error::ErrorKind;
use ruma::presence::PresenceState;
use sammen_core::live::Show;
use sammen_core::{Address, Timestamp};

use crate::account_data::own;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::names;
use crate::routes::Table;
use crate::server::Matrix;
use crate::sync::{devices, lively};

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(set);
    table.on(get);
}

/// A presence as Matrix shows it.
pub struct Shown {
    /// How available.
    pub state: PresenceState,
    /// In words.
    pub status: Option<String>,
    /// Here just now.
    pub active: bool,
    /// When last here, where that may be known.
    pub last: Option<Timestamp>,
}

/// How somebody is, as far as the account lets others know.
pub fn of(matrix: &Matrix, who: &Address) -> Shown {
    let shown = lively::presence(&matrix.node, who);
    let state = match shown.show {
        Show::Offline => PresenceState::Offline,
        Show::Away | Show::ExtendedAway => PresenceState::Unavailable,
        Show::Busy | Show::Online | Show::Chatty => PresenceState::Online,
    };
    // Of people of other networks only what they say themselves is known.
    let account = matrix.node.account(who).ok().flatten();
    let tells = account.is_some_and(|a| a.switches.last_seen);
    let changed = matrix.sync.lively.shown(who).map(|(_, at)| at);
    let active = state == PresenceState::Online && shown.idle_since.is_none();
    let last = match (active, shown.idle_since) {
        (true, _) => Some(matrix.node.now()),
        (false, Some(since)) => Some(since),
        (false, None) => changed.filter(|_| tells),
    };
    Shown {
        active,
        last,
        status: shown.status,
        state,
    }
}

async fn set(
    matrix: Arc<Matrix>,
    ask: Ask<set_presence::v3::Request>,
) -> Answer<set_presence::v3::Response> {
    own(&ask.who, &ask.request.user_id)?;
    let state = ask.request.presence;
    let guard = devices::touch(&matrix, &ask.who, &PresenceState::Offline).await;
    let guard = guard.ok_or_else(|| {
        Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorKind::Unknown,
            "too many of your devices are here at once",
        )
    })?;
    devices::set(&matrix, &guard, &state, ask.request.status_msg).await?;
    Ok(set_presence::v3::Response::new())
}

async fn get(
    matrix: Arc<Matrix>,
    ask: Ask<get_presence::v3::Request>,
) -> Answer<get_presence::v3::Response> {
    let hidden = || Fault::forbidden("you may not see this person's presence");
    let who = names::address(&ask.request.user_id, matrix.node.domains()).ok_or_else(hidden)?;
    let me = ask.who.address().clone();
    matrix
        .read(move |matrix| {
            if who != me && !may_see(matrix, &me, &who)? {
                return Err(hidden());
            }
            let shown = of(matrix, &who);
            let now = matrix.node.now();
            let mut answer = get_presence::v3::Response::new(shown.state);
            answer.status_msg = shown.status;
            answer.currently_active = Some(shown.active);
            answer.last_active_ago = shown.last.map(|at| ago(now, at));
            Ok(answer)
        })
        .await
}

/// Whether an account sees somebody's presence.
pub fn may_see(matrix: &Matrix, me: &Address, who: &Address) -> Answer<bool> {
    let contacts = matrix.node.contacts(me)?;
    Ok(contacts.get(who).is_some_and(|c| c.sees && !c.blocked))
}

/// How long ago that was.
pub fn ago(now: Timestamp, at: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(now.0.saturating_sub(at.0)).unwrap_or(0))
}
