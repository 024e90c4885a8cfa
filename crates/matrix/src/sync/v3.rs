//! `/sync`: answers at once where there is something to tell, else when there is, or when the client has waited enough.

use std::sync::Arc;
use std::time::Duration;

use ruma::api::client::sync::sync_events::v3;
use ruma::events::room::member::MembershipState;
use sammen_core::Outcome;
use sammen_core::token::Token;
use tokio::time::Instant;

use super::gather::{Asked, gather};
use super::{devices, filters, places, token};
use crate::account_data::{direct, ignored};
use crate::auth::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;
use crate::to_device;

/// Longest wait.
pub(super) const LONGEST: Duration = Duration::from_secs(120);

pub(super) fn routes(table: &mut Table) {
    table.on(sync);
}

async fn sync(matrix: Arc<Matrix>, ask: Ask<v3::Request>) -> Answer<v3::Response> {
    let (request, who) = (ask.request, ask.who);
    let filter = match request.filter {
        None => Arc::default(),
        Some(v3::Filter::FilterDefinition(filter)) => Arc::new(filter),
        Some(v3::Filter::FilterId(id)) => {
            let found = filters::find(&matrix, who.address().clone(), id).await?;
            found.ok_or_else(|| Fault::invalid("there is no such filter"))?
        }
        _ => return Err(Fault::invalid("that is no filter")),
    };
    // A token of before a restore is worth nothing: the client is told all anew.
    let since = request
        .since
        .as_deref()
        .and_then(|t| token::known(&matrix, t));
    let guard = devices::touch(&matrix, &who, &request.set_presence).await;
    if let Some(since) = since {
        to_device::received(&matrix, &who.device, since.seq).await?;
    }
    let asked = Arc::new(Asked {
        since,
        full_state: request.full_state,
        after: request.use_state_after,
        filter,
        syncing: guard.as_ref().map(|guard| guard.syncing().clone()),
    });
    let mut ear = matrix.bells.listen(who.address());
    let until = Instant::now() + request.timeout.unwrap_or_default().min(LONGEST);
    loop {
        let (answer, news) = answer(&matrix, &who, &asked).await?;
        let patient = asked.since.is_some() && !asked.full_state;
        if !patient || news {
            return Ok(answer);
        }
        if tokio::time::timeout_at(until, ear.rung()).await.is_err() {
            return Ok(answer);
        }
        if let Some(guard) = &guard {
            guard.holds()?;
        }
    }
}

async fn answer(
    matrix: &Arc<Matrix>,
    who: &Caller,
    asked: &Arc<Asked>,
) -> Answer<(v3::Response, bool)> {
    let (now, places) = moment(matrix, who).await?;
    let (who, asked) = (who.clone(), asked.clone());
    let read = move |m: &Matrix| gather(m, &who, &asked, now, &places);
    matrix.read(read).await
}

/// A moment up to which everything can be told, and where the account stands then or a little later.
pub(super) async fn moment(
    matrix: &Arc<Matrix>,
    who: &Caller,
) -> Answer<(Token, Arc<Vec<crate::chain::Place>>)> {
    let account = who.address();
    // On a full disk reading goes on, and the lists are written later.
    if let Err(why) = ignored::keep_in_step(matrix, account).await {
        tracing::debug!(%why, "the list of ignored people stays behind");
    }
    // Rooms that only begin by being asked for are there at the moment.
    let known = places::of(matrix, account).await?;
    if let Err(why) = name_direct(matrix, who, &known).await {
        tracing::debug!(%why, "direct conversations are not named yet");
    }
    let now = token::now(matrix);
    let places = places::of(matrix, account).await?;
    Ok((now, places))
}

/// Direct conversations are named as such.
async fn name_direct(
    matrix: &Arc<Matrix>,
    who: &Caller,
    places: &[crate::chain::Place],
) -> Outcome<()> {
    let account = who.address();
    let joined = places
        .iter()
        .filter(|p| p.membership == MembershipState::Join);
    let mut rooms = Vec::new();
    {
        let named = matrix.sync.named.lock();
        let named = named.get(account);
        for place in joined {
            let id = place.room.conversation;
            if !named.is_some_and(|named| named.contains(&id)) {
                rooms.push((id, place.room.id.clone()));
            }
        }
    }
    if rooms.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = rooms.iter().map(|(id, _)| *id).collect();
    let mut direct = Vec::new();
    for (id, room) in rooms {
        let convo = matrix.node.convo(id)?;
        let peer = convo.and_then(|c| c.conversation.peer_of(account).cloned());
        if let Some(peer) = peer {
            direct.push((matrix.rooms.user(&peer), room));
        }
    }
    if !direct.is_empty() {
        direct::keep_in_step(matrix, account, direct).await?;
    }
    // Only now: what could not be written is tried again.
    let mut named = matrix.sync.named.lock();
    if named.len() > NAMED {
        named.clear();
    }
    named.entry(account.clone()).or_default().extend(ids);
    Ok(())
}

/// Accounts of which it is remembered which direct conversations are named.
const NAMED: usize = 4_096;
