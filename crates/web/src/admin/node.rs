//! The node itself: at a glance, disk, health, lockdown, audit log.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::Refusal;
use sammen_core::ops::reports;

use super::most;
use crate::audit::{self, note};
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Asked, Json};
use crate::lockdown;
use crate::problem::Answer;
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

/// Accounts that are named with the most files.
const LARGEST: usize = 20;
/// Accounts and reports that are counted; beyond, numbers stop.
const COUNTED: usize = 100_000;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/admin/overview",
            Need::Admin,
            "The node at a glance",
        )
        .answer::<t::Overview>(200)
        .by(overview);
    table
        .on(
            Method::GET,
            "/admin/storage",
            Need::Admin,
            "How the disk is used",
        )
        .answer::<t::Storage>(200)
        .by(storage);
    table
        .on(
            Method::GET,
            "/admin/health",
            Need::Admin,
            "What is well and what is not",
        )
        .answer::<t::Health>(200)
        .by(health);
    table
        .on(
            Method::GET,
            "/admin/lockdown",
            Need::Admin,
            "Whether nobody new comes in",
        )
        .answer::<t::Lockdown>(200)
        .by(lockdown_now);
    table
        .on(
            Method::PUT,
            "/admin/lockdown",
            Need::Admin,
            "Lets nobody new in, or ends that",
        )
        .ask::<t::Lockdown>()
        .answer::<t::Lockdown>(200)
        .by(set_lockdown);
    table
        .on(
            Method::GET,
            "/admin/audit",
            Need::Admin,
            "Administrative acts, the latest first",
        )
        .query::<t::PageQuery>()
        .answer::<t::AuditPage>(200)
        .by(acts);
}

async fn overview(State(web): State<Arc<Web>>, _: Caller) -> Answer<Json<t::Overview>> {
    web.read(|web| {
        let (mut accounts, mut disabled, mut after) = (0, 0, None);
        while accounts < COUNTED as u64 {
            let page = web.node.store().accounts(after.as_ref(), 1_000);
            let page = page.map_err(Refusal::from)?;
            let Some(last) = page.last() else { break };
            after = Some(last.address.clone());
            let there = page.iter().filter(|a| !a.removed);
            accounts += there.clone().count() as u64;
            disabled += there.filter(|a| a.disabled).count() as u64;
        }
        let mut sessions: BTreeMap<String, u64> = BTreeMap::new();
        web.node.live(|live| {
            for session in live.all() {
                *sessions
                    .entry(session.protocol.name().to_owned())
                    .or_default() += 1;
            }
        });
        let open = reports::list(&web.node, None, 5_000)?;
        let open = open.iter().filter(|(_, r)| r.state == reports::State::Open);
        let (right, wrong) = web.accounts.throttle.logins();
        Ok(t::Overview {
            accounts,
            disabled,
            rooms: web.node.rooms(None, COUNTED)?.len() as u64,
            sessions,
            reports: open.count() as u64,
            logins: [right, wrong],
            pending_writes: web.node.pending_writes() as u64,
            lockdown: lockdown::is_on(web)?,
            version: web.config.get().version.clone(),
        })
    })
    .await
    .map(Json)
}

async fn storage(State(web): State<Arc<Web>>, _: Caller) -> Answer<Json<t::Storage>> {
    web.read(|web| {
        let mut storage = web.host.storage();
        let (mut after, mut largest) = (None, Vec::new());
        loop {
            let page = web.node.store().accounts(after.as_ref(), 1_000);
            let page = page.map_err(Refusal::from)?;
            let Some(last) = page.last() else { break };
            after = Some(last.address.clone());
            for account in page.iter().filter(|a| !a.removed) {
                let used = web.node.store().blob_usage(&account.address);
                let bytes = used.map_err(Refusal::from)?;
                if bytes > 0 {
                    largest.push(t::AccountFiles {
                        account: account.address.to_string(),
                        bytes,
                    });
                }
            }
        }
        largest.sort_by_key(|a| std::cmp::Reverse(a.bytes));
        largest.truncate(LARGEST);
        storage.largest = largest;
        Ok(storage)
    })
    .await
    .map(Json)
}

async fn health(State(web): State<Arc<Web>>, _: Caller) -> Answer<Json<t::Health>> {
    web.read(|web| {
        let mut checks = web.host.health();
        let pending = web.node.pending_writes();
        checks.push(t::Check {
            name: "writer".into(),
            well: pending < web.node.limits().pending_writes / 2,
            text: format!("{pending} writes wait"),
        });
        Ok(t::Health {
            well: checks.iter().all(|c| c.well),
            checks,
        })
    })
    .await
    .map(Json)
}

async fn lockdown_now(State(web): State<Arc<Web>>, _: Caller) -> Answer<Json<t::Lockdown>> {
    web.read(|web| {
        Ok(t::Lockdown {
            on: lockdown::is_on(web)?,
        })
    })
    .await
    .map(Json)
}

async fn set_lockdown(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Ask(ask): Ask<t::Lockdown>,
) -> Answer<Json<t::Lockdown>> {
    let by = caller.address().clone();
    web.node
        .write(move |tx| {
            lockdown::set(tx, ask.on)?;
            let act = if ask.on {
                "lockdown begun"
            } else {
                "lockdown ended"
            };
            note(tx, Some(&by), act, "node", None)
        })
        .await?;
    Ok(Json(ask))
}

async fn acts(
    State(web): State<Arc<Web>>,
    _: Caller,
    Asked(asked): Asked<t::PageQuery>,
) -> Answer<Json<t::AuditPage>> {
    web.read(move |web| {
        let most = most(asked.limit);
        let mut page = audit::list(web, asked.after.as_deref(), most + 1)?;
        let more = page.len() > most;
        page.truncate(most);
        let next = more
            .then(|| page.last().map(|(id, _)| id.clone()))
            .flatten();
        let entries = page.into_iter().map(|(id, act)| t::AuditEntry {
            id,
            at: act.at.0,
            by: act
                .by
                .map_or_else(|| "command line".into(), |a| a.to_string()),
            act: act.act,
            subject: act.subject,
            detail: act.detail,
        });
        Ok(t::AuditPage {
            entries: entries.collect(),
            next,
        })
    })
    .await
    .map(Json)
}
