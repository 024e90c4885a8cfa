//! Administrators lock people out and let them in again (client-server API, "Account locking").

use std::sync::Arc;

use ruma::UserId;
use ruma::api::client::admin::{is_user_locked, lock_user};
use sammen_core::{Address, Refusal, ops};

use super::Caller;
use crate::extract::Ask;
use crate::fault::{Answer, Fault};
use crate::routes::Table;
use crate::server::Matrix;

/// The endpoints.
pub fn routes(table: &mut Table) {
    table.on(is_locked);
    table.on(lock);
}

/// Who may is looked at first: nobody else learns who has an account.
fn whom(matrix: &Matrix, who: &Caller, id: &UserId) -> Answer<Address> {
    if !who.is_admin() {
        return Err(Fault::forbidden("only administrators do that"));
    }
    let address = crate::names::address(id, matrix.node.domains());
    let ours = address.filter(|a| a.domain().is_some());
    ours.ok_or_else(|| Fault::not_found("there is no such account here"))
}

async fn is_locked(
    matrix: Arc<Matrix>,
    ask: Ask<is_user_locked::v1::Request>,
) -> Answer<is_user_locked::v1::Response> {
    let address = whom(&matrix, &ask.who, &ask.request.user_id)?;
    let account = matrix.read(move |matrix| Ok(matrix.node.account(&address)?));
    let account = account.await?.filter(|a| !a.removed);
    let account = account.ok_or_else(|| Fault::not_found("there is no such account here"))?;
    Ok(is_user_locked::v1::Response::new(account.disabled))
}

async fn lock(
    matrix: Arc<Matrix>,
    ask: Ask<lock_user::v1::Request>,
) -> Answer<lock_user::v1::Response> {
    let address = whom(&matrix, &ask.who, &ask.request.user_id)?;
    let locked = ask.request.locked;
    let of = address.clone();
    let changed = matrix.node.write(move |tx| {
        let known = tx.account(&of)?.filter(|a| !a.removed);
        if known.ok_or(Refusal::NotFound)?.admin {
            return Err(Refusal::Forbidden(
                "administrators are not locked out this way",
            ));
        }
        ops::accounts::change(tx, &of, |account| account.disabled = locked)?;
        Ok(())
    });
    changed.await?;
    matrix.bells.ring(&address);
    tracing::info!(protocol = "matrix", account = %address, by = %ask.who.address(), locked, "an account was locked or let in again");
    Ok(lock_user::v1::Response::new(locked))
}
