//! User-interactive authentication: what is asked of somebody before something that can't be undone.
//!
//! A handler says what it is about to do ([`Demand`]) and hands over the `auth` of the request; it goes on once the
//! stages of one flow are done. A session belongs to one demand of one account, holds a quarter of an hour, and is used up.

use std::sync::Arc;
use std::time::Duration;

use ruma::api::client::uiaa::{AuthData, AuthFlow, AuthType, UiaaInfo};
use ruma::api::error::{ErrorKind, StandardErrorBody};
use sammen_core::{Address, Timestamp};
use sammen_net::invitations::{self, Token};
use sammen_net::{Peer, Secret};
use serde_json::value::RawValue;

use super::vault::{Vault, later};
use super::{Caller, login};
use crate::fault::{Answer, Fault};
use crate::server::Matrix;

/// How long somebody may take.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Sessions at a time.
const MOST: usize = 4096;

/// Sessions that are under way.
pub struct Sessions(Vault<Session>);

impl Default for Sessions {
    fn default() -> Self {
        Self(Vault::new(MOST))
    }
}

/// What was shown so far.
#[derive(Clone)]
struct Session {
    demand: Demand,
    done: Vec<AuthType>,
    token: Option<String>,
}

/// What is to be done, and what has to be shown for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The operation with what it is done to: another one needs a session of its own.
    pub what: String,
    /// Whose password counts; `None` while there is no account.
    pub account: Option<Address>,
    /// Ways to do it, each all its stages.
    pub flows: Vec<Vec<AuthType>>,
    /// App passwords don't count.
    pub passphrase: bool,
}

/// What was shown in the end.
#[derive(Debug, Default)]
pub struct Passed {
    /// The registration token.
    pub token: Option<String>,
}

/// Asks an account that is signed in for its password once more before `what` (the operation and its object, such as
/// `delete device PHONE`). App passwords of this protocol count.
///
/// # Errors
/// 401 with the stages that are left.
pub async fn confirm(
    matrix: &Arc<Matrix>,
    who: &Caller,
    peer: Option<&Peer>,
    what: &str,
    auth: Option<AuthData>,
) -> Answer<()> {
    let demand = Demand {
        what: what.to_owned(),
        account: Some(who.address().clone()),
        flows: vec![vec![AuthType::Password]],
        passphrase: false,
    };
    pass(matrix, peer, demand, auth).await.map(|_| ())
}

/// Goes on once all is shown that a demand asks for.
///
/// # Errors
/// 401 with the stages that are left, and what was wrong with what was shown.
pub async fn pass(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    demand: Demand,
    auth: Option<AuthData>,
) -> Answer<Passed> {
    let now = matrix.node.now();
    let vault = &matrix.auth.sessions.0;
    let known = auth.as_ref().and_then(AuthData::session).map(Secret::new);
    // Taken out while it is looked at: one session is never used up twice.
    let held = known.as_ref().and_then(|id| vault.take(id, now));
    let held = held.filter(|(_, session)| session.demand == demand);
    let (id, until, mut session) = match (known, held) {
        (Some(id), Some((until, session))) => (id, until, session),
        _ => {
            let session = Session {
                demand,
                done: Vec::new(),
                token: None,
            };
            let id = vault.put(matrix.node.clock(), LIFETIME, session.clone());
            (id, later(now, LIFETIME), session)
        }
    };
    let wrong = match auth {
        Some(auth) => show(matrix, peer, &mut session, &auth).await,
        None => Ok(None),
    };
    let wrong = match wrong {
        Ok(wrong) => wrong,
        Err(fault) => {
            vault.keep(&id, until, session);
            return Err(fault);
        }
    };
    if session.is_complete() {
        // It was put there when it was made just now.
        vault.take(&id, now);
        return Ok(Passed {
            token: session.token,
        });
    }
    let info = session.left(&id, wrong);
    vault.keep(&id, until, session);
    Err(Fault::stages(info))
}

impl Session {
    fn is_complete(&self) -> bool {
        let flows = &self.demand.flows;
        flows
            .iter()
            .any(|f| f.iter().all(|s| self.done.contains(s)))
    }

    fn asks(&self, stage: &AuthType) -> bool {
        self.demand.flows.iter().any(|f| f.contains(stage))
    }

    fn left(&self, id: &Secret, wrong: Option<StandardErrorBody>) -> UiaaInfo {
        let flows = self.demand.flows.iter();
        let mut info = UiaaInfo::new(flows.cloned().map(AuthFlow::new).collect());
        info.completed = self.done.clone();
        info.session = Some(id.expose().to_owned());
        // Some clients insist on the field.
        info.params = RawValue::from_string("{}".to_owned()).ok();
        info.auth_error = wrong.map(Box::new);
        info
    }
}

/// Looks at what was shown; what is wrong with it, if something is.
async fn show(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    session: &mut Session,
    auth: &AuthData,
) -> Answer<Option<StandardErrorBody>> {
    let Some(stage) = auth.auth_type() else {
        // The page of ours was used; what came of it stands in the session.
        return Ok(None);
    };
    let wrong = |text: &str| {
        Some(StandardErrorBody::new(
            ErrorKind::Forbidden,
            text.to_owned(),
        ))
    };
    if !session.asks(&stage) {
        return Ok(wrong("this is not asked for"));
    }
    let shown = match auth {
        AuthData::Password(given) => {
            let name = login::named(&given.identifier);
            let password = Secret::new(given.password.clone());
            password_fits(matrix, peer, &session.demand, name, &password).await?
        }
        AuthData::RegistrationToken(given) => {
            let valid = invitation(matrix, &given.token).await?;
            session.token = valid.then(|| given.token.clone());
            valid
        }
        AuthData::Dummy(_) => true,
        _ => false,
    };
    if !shown {
        return Ok(wrong(match stage {
            AuthType::Password => "wrong name or password",
            _ => "this is not valid",
        }));
    }
    session.done.push(stage);
    Ok(None)
}

async fn password_fits(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    demand: &Demand,
    name: Option<&str>,
    password: &Secret,
) -> Answer<bool> {
    use sammen_net::login::LoginRefused;
    let Some(account) = &demand.account else {
        return Ok(false);
    };
    match login::check(matrix, peer, name, password).await {
        Ok(proven) => {
            let fits = proven.account == *account;
            Ok(fits && !(demand.passphrase && proven.credential.is_some()))
        }
        Err(LoginRefused::Wrong) => Ok(false),
        Err(other) => Err(other.into()),
    }
}

/// Whether a registration token is an invitation that makes an account.
pub(super) async fn invitation(matrix: &Matrix, token: &str) -> Answer<bool> {
    let Some(token) = Token::read(token) else {
        return Ok(false);
    };
    let found = invitations::look_up(&matrix.node, &token).await?;
    Ok(found.is_some_and(|i| i.offer.account))
}

/// What the page of a stage needs to know of a session; `None` where there is none that asks for it.
pub(super) fn asked(matrix: &Matrix, id: &Secret, stage: &AuthType) -> Option<()> {
    let now = matrix.node.now();
    let asks = |s: &mut Session| s.asks(stage) && !s.done.contains(stage);
    matrix.auth.sessions.0.look(id, now, asks)?.then_some(())
}

/// Shows a stage by the page of ours; the same word for everything that is wrong.
pub(super) async fn show_by_page(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    id: &Secret,
    stage: &AuthType,
    text: &str,
) -> Answer<bool> {
    let now = matrix.node.now();
    let vault = &matrix.auth.sessions.0;
    let taken: Option<(Timestamp, Session)> = vault.take(id, now);
    let (until, mut session) = taken.ok_or_else(|| Fault::not_found("this took too long"))?;
    let shown = match stage {
        _ if !session.asks(stage) => Ok(false),
        AuthType::Password => {
            let name = session.demand.account.as_ref().map(Address::as_str);
            let secret = Secret::new(text);
            password_fits(matrix, peer, &session.demand, name, &secret).await
        }
        AuthType::RegistrationToken => {
            let valid = invitation(matrix, text).await;
            session.token = matches!(valid, Ok(true)).then(|| text.to_owned());
            valid
        }
        AuthType::Dummy => Ok(true),
        _ => Ok(false),
    };
    if matches!(shown, Ok(true)) {
        session.done.push(stage.clone());
    }
    vault.keep(id, until, session);
    shown
}
