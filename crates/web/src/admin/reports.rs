//! The queue of reports.

use std::sync::Arc;

use axum::extract::State;
use axum::http::Method;
use sammen_core::ops::reports::{self, Report};

use super::most;
use crate::audit::note;
use crate::auth::{Caller, Need};
use crate::extract::{Ask, Asked, Json, Place};
use crate::person::{View, person};
use crate::problem::{Answer, Problem};
use crate::routes::Table;
use crate::server::Web;
use crate::types as t;

pub fn routes(table: &mut Table) {
    table
        .on(
            Method::GET,
            "/admin/reports",
            Need::Admin,
            "What people reported",
        )
        .query::<t::PageQuery>()
        .answer::<t::ReportPage>(200)
        .by(list);
    table
        .on(
            Method::POST,
            "/admin/reports/{id}",
            Need::Admin,
            "Says what became of a report",
        )
        .ask::<t::ReportChange>()
        .answer::<t::ReportInfo>(200)
        .by(change);
}

fn shown(view: View<'_>, id: String, report: Report) -> t::ReportInfo {
    t::ReportInfo {
        id,
        at: report.at.0,
        by: person(view, &report.by),
        about: person(view, &report.about),
        reason: report.reason.into(),
        text: report.text,
        event: report.event.map(|e| e.to_string()),
        room: report.room.map(|r| r.to_string()),
        encrypted: report.encrypted,
        state: report.state.into(),
        note: report.note,
    }
}

async fn list(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Asked(asked): Asked<t::PageQuery>,
) -> Answer<Json<t::ReportPage>> {
    let reader = caller.address().clone();
    web.read(move |web| {
        let most = most(asked.limit);
        let mut page = reports::list(&web.node, asked.after.as_deref(), most + 1)?;
        let more = page.len() > most;
        page.truncate(most);
        let next = more
            .then(|| page.last().map(|(id, _)| id.clone()))
            .flatten();
        let view = View::of(web, &reader);
        let reports = page
            .into_iter()
            .map(|(id, report)| shown(view, id, report))
            .collect();
        Ok(t::ReportPage { reports, next })
    })
    .await
    .map(Json)
}

async fn change(
    State(web): State<Arc<Web>>,
    caller: Caller,
    Place(id): Place<String>,
    Ask(ask): Ask<t::ReportChange>,
) -> Answer<Json<t::ReportInfo>> {
    if ask.note.as_ref().is_some_and(|n| n.len() > 4096) {
        return Err(Problem::invalid("note", "at most 4096 bytes"));
    }
    let (by, key) = (caller.address().clone(), id.clone());
    let report = web
        .node
        .write(move |tx| {
            let report = reports::change(tx, &key, |r| {
                r.state = ask.state.into();
                r.note = ask.note.filter(|n| !n.trim().is_empty()).or(r.note.take());
            })?;
            let state = match ask.state {
                t::ReportState::Open => "open",
                t::ReportState::Done => "done",
                t::ReportState::Dismissed => "dismissed",
            };
            let about = report.about.clone();
            note(
                tx,
                Some(&by),
                "report handled",
                about.as_str(),
                Some(state.to_owned()),
            )?;
            Ok(report)
        })
        .await?;
    let reader = caller.address().clone();
    web.read(move |web| Ok(shown(View::of(web, &reader), id, report)))
        .await
        .map(Json)
}
