//! Push rules (client-server API, "Push Rules"): kept as account data, with the predefined ones as a ground.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ruma::UserId;
use ruma::api::client::push::{
    delete_pushrule, get_pushrule, get_pushrule_actions, get_pushrule_enabled, get_pushrules_all,
    get_pushrules_global_scope, set_pushrule, set_pushrule_actions, set_pushrule_enabled,
};
use ruma::push::{InsertPushRuleError, RemovePushRuleError, RuleKind, Ruleset};
use sammen_core::tx::Tx;
use sammen_core::{Address, Refusal, Seq};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::account_data::{GLOBAL, PUSH_RULES, put};
use crate::auth::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// Most rules of an account's own.
const MOST: usize = 2_000;
/// Most accounts whose rules are kept in memory.
const KEPT: usize = 4_096;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(all);
    table.on(global);
    table.on(one);
    table.on(set);
    table.on(delete);
    table.on(enabled);
    table.on(set_enabled);
    table.on(actions);
    table.on(set_actions);
}

/// The rules of accounts that were asked for lately.
#[derive(Default)]
pub struct Rules(Mutex<HashMap<Address, (Seq, Arc<Ruleset>)>>);

impl Rules {
    fn note(&self, account: &Address, version: Seq, rules: &Arc<Ruleset>) {
        let mut kept = self.0.lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        let newer = |(known, _): &(Seq, _)| *known > version;
        if !kept.get(account).is_some_and(newer) {
            kept.insert(account.clone(), (version, rules.clone()));
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Kept {
    global: Ruleset,
}

/// What stands in a document, with the predefined rules of today.
fn read(document: Option<&[u8]>, user: &UserId) -> Ruleset {
    let kept: Option<Kept> = document.and_then(crate::shelf::decode);
    let default = Ruleset::server_default(user);
    match kept {
        Some(Kept { mut global }) => {
            global.update_with_server_default(default);
            global
        }
        None => default,
    }
}

/// The rules of an account. Blocking, where they are not in memory.
///
/// # Errors
/// When the store can't be read.
pub fn read_of(matrix: &Matrix, account: &Address, user: &UserId) -> Answer<Arc<Ruleset>> {
    if let Some((_, rules)) = matrix.rules.0.lock().get(account) {
        return Ok(rules.clone());
    }
    let found = matrix
        .node
        .store()
        .document(&account.into(), GLOBAL, PUSH_RULES)?;
    let version = found.as_ref().map_or(Seq(0), |d| d.version);
    let value = found.and_then(|d| d.value);
    let rules = Arc::new(read(value.as_deref(), user));
    matrix.rules.note(account, version, &rules);
    Ok(rules)
}

/// The rules of who asks.
///
/// # Errors
/// When the store can't be read.
pub async fn of(matrix: &Arc<Matrix>, who: &Caller) -> Answer<Arc<Ruleset>> {
    let (account, user) = (who.address().clone(), who.user_id.clone());
    matrix
        .read(move |matrix| read_of(matrix, &account, &user))
        .await
}

/// The content of `m.push_rules`.
///
/// # Errors
/// Never for rules that were read.
pub fn content(rules: &Ruleset) -> Answer<Box<RawValue>> {
    serde_json::value::to_raw_value(&serde_json::json!({ "global": rules }))
        .map_err(|_| Fault::unknown("the rules could not be written"))
}

/// Why a change of rules was refused.
enum Wrong {
    Insert(InsertPushRuleError),
    Remove(RemovePushRuleError),
    Unknown,
}

impl From<Wrong> for Fault {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::Insert(InsertPushRuleError::UnknownRuleId)
            | Wrong::Remove(RemovePushRuleError::NotFound)
            | Wrong::Unknown => Fault::not_found("there is no such rule"),
            Wrong::Insert(error) => Fault::invalid(error.to_string()),
            Wrong::Remove(error) => Fault::invalid(error.to_string()),
        }
    }
}

/// Changes the rules of an account inside the writer, so that no change is lost to another.
async fn change(
    matrix: &Arc<Matrix>,
    who: &Caller,
    change: impl FnOnce(&mut Ruleset) -> Result<(), Wrong> + Send + 'static,
) -> Answer<()> {
    let (this, account, user) = (matrix.clone(), who.address().clone(), who.user_id.clone());
    let write = move |tx: &mut Tx<'_>| {
        let found = tx.document(&(&account).into(), GLOBAL, PUSH_RULES)?;
        let found = found.and_then(|d| d.value);
        let mut rules = read(found.as_deref(), &user);
        if let Err(wrong) = change(&mut rules) {
            return Ok(Err(wrong));
        }
        if rules.iter().count() > MOST {
            return Err(Refusal::TooMany);
        }
        let kept = crate::shelf::encode(&Kept {
            global: rules.clone(),
        })?;
        let version = put(tx, &account, GLOBAL, PUSH_RULES, kept.to_vec())?;
        let rules = Arc::new(rules);
        tx.after(move |_| {
            this.rules.note(&account, version, &rules);
            this.bells.ring(&account);
        });
        Ok(Ok(()))
    };
    matrix.node.write(write).await?.map_err(Fault::from)
}

/// Refuses kinds that there are none of.
fn known(kind: &RuleKind) -> Answer<()> {
    match kind {
        RuleKind::Override
        | RuleKind::Content
        | RuleKind::Room
        | RuleKind::Sender
        | RuleKind::Underride => Ok(()),
        _ => Err(Fault::invalid("there is no such kind of rule")),
    }
}

async fn all(
    matrix: Arc<Matrix>,
    ask: Ask<get_pushrules_all::v3::Request>,
) -> Answer<get_pushrules_all::v3::Response> {
    let rules = of(&matrix, &ask.who).await?;
    Ok(get_pushrules_all::v3::Response::new((*rules).clone()))
}

async fn global(
    matrix: Arc<Matrix>,
    ask: Ask<get_pushrules_global_scope::v3::Request>,
) -> Answer<get_pushrules_global_scope::v3::Response> {
    let rules = of(&matrix, &ask.who).await?;
    Ok(get_pushrules_global_scope::v3::Response::new(
        (*rules).clone(),
    ))
}

async fn one(
    matrix: Arc<Matrix>,
    ask: Ask<get_pushrule::v3::Request>,
) -> Answer<get_pushrule::v3::Response> {
    known(&ask.request.kind)?;
    let rules = of(&matrix, &ask.who).await?;
    let rule = rules.get(ask.request.kind, &ask.request.rule_id);
    let rule = rule.ok_or(Wrong::Unknown)?;
    Ok(get_pushrule::v3::Response::new(rule.into()))
}

async fn set(
    matrix: Arc<Matrix>,
    ask: Ask<set_pushrule::v3::Request>,
) -> Answer<set_pushrule::v3::Response> {
    let set_pushrule::v3::Request {
        rule,
        before,
        after,
        ..
    } = ask.request;
    let insert = move |rules: &mut Ruleset| {
        let inserted = rules.insert(rule, after.as_deref(), before.as_deref());
        inserted.map_err(Wrong::Insert)
    };
    change(&matrix, &ask.who, insert).await?;
    Ok(set_pushrule::v3::Response::new())
}

async fn delete(
    matrix: Arc<Matrix>,
    ask: Ask<delete_pushrule::v3::Request>,
) -> Answer<delete_pushrule::v3::Response> {
    let request = ask.request;
    known(&request.kind)?;
    let remove = move |rules: &mut Ruleset| {
        let removed = rules.remove(request.kind, &request.rule_id);
        removed.map_err(Wrong::Remove)
    };
    change(&matrix, &ask.who, remove).await?;
    Ok(delete_pushrule::v3::Response::new())
}

async fn enabled(
    matrix: Arc<Matrix>,
    ask: Ask<get_pushrule_enabled::v3::Request>,
) -> Answer<get_pushrule_enabled::v3::Response> {
    known(&ask.request.kind)?;
    let rules = of(&matrix, &ask.who).await?;
    let rule = rules.get(ask.request.kind, &ask.request.rule_id);
    let rule = rule.ok_or(Wrong::Unknown)?;
    Ok(get_pushrule_enabled::v3::Response::new(rule.enabled()))
}

async fn set_enabled(
    matrix: Arc<Matrix>,
    ask: Ask<set_pushrule_enabled::v3::Request>,
) -> Answer<set_pushrule_enabled::v3::Response> {
    let request = ask.request;
    known(&request.kind)?;
    let set = move |rules: &mut Ruleset| {
        let set = rules.set_enabled(request.kind, &request.rule_id, request.enabled);
        set.map_err(|_| Wrong::Unknown)
    };
    change(&matrix, &ask.who, set).await?;
    Ok(set_pushrule_enabled::v3::Response::new())
}

async fn actions(
    matrix: Arc<Matrix>,
    ask: Ask<get_pushrule_actions::v3::Request>,
) -> Answer<get_pushrule_actions::v3::Response> {
    known(&ask.request.kind)?;
    let rules = of(&matrix, &ask.who).await?;
    let rule = rules.get(ask.request.kind, &ask.request.rule_id);
    let rule = rule.ok_or(Wrong::Unknown)?;
    Ok(get_pushrule_actions::v3::Response::new(
        rule.actions().to_vec(),
    ))
}

async fn set_actions(
    matrix: Arc<Matrix>,
    ask: Ask<set_pushrule_actions::v3::Request>,
) -> Answer<set_pushrule_actions::v3::Response> {
    let request = ask.request;
    known(&request.kind)?;
    let set = move |rules: &mut Ruleset| {
        let set = rules.set_actions(request.kind, &request.rule_id, request.actions);
        set.map_err(|_| Wrong::Unknown)
    };
    change(&matrix, &ask.who, set).await?;
    Ok(set_pushrule_actions::v3::Response::new())
}
