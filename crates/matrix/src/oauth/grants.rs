//! Codes and refresh tokens become access tokens (RFC 6749 §4.1.3, §6), and tokens are given back (RFC 7009).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, State};
use axum::http::{Method, Response, StatusCode};
use axum::response::IntoResponse as _;
use axum::routing::post;
use sammen_core::ops::sessions;
use sammen_net::{Peer, Secret};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::metadata::{DEVICE_CODE, REVOKE, TOKEN};
use super::{Granted, Refused, Wrong, answer, clients, link};
use crate::auth::token::{self, Wish};
use crate::auth::vault::hashed;
use crate::routes::Table;
use crate::server::Matrix;

/// RFC 6749 §4.1.3, §6; RFC 7636 §4.5; RFC 8628 §3.4; RFC 7009 §2.1.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    client_id: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    redirect_uri: String,
    #[serde(default)]
    code_verifier: String,
    #[serde(default)]
    refresh_token: String,
    #[serde(default)]
    device_code: String,
    #[serde(default)]
    token: String,
}

/// No such code or token, or not this client's.
const INVALID: Wrong = Wrong::new("invalid_grant", "it is over, or it is not yours");
const MALFORMED: Wrong = Wrong::new("invalid_request", "something is missing");

/// The endpoints.
pub fn routes(table: &mut Table) {
    let limit = || axum::extract::DefaultBodyLimit::max(16 * 1024);
    table.raw(Method::POST, TOKEN, true, post(grant).layer(limit()));
    table.raw(Method::POST, REVOKE, true, post(revoke).layer(limit()));
}

async fn grant(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<Extension<Arc<Peer>>>,
    asked: Result<Form<Asked>, FormRejection>,
) -> Response<Body> {
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    match give(&matrix, peer, asked).await {
        Ok(answer) => answer,
        Err(refused) => refused.into_response(),
    }
}

async fn give(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    asked: Result<Form<Asked>, FormRejection>,
) -> Result<Response<Body>, Refused> {
    matrix.auth.rates.stranger(peer)?;
    let Form(asked) = asked.map_err(|_| MALFORMED)?;
    match asked.grant_type.as_str() {
        "authorization_code" => {
            let granted = code(matrix, &asked)?;
            sign_in(matrix, granted).await
        }
        DEVICE_CODE => {
            let granted = link::granted(matrix, &asked.client_id, &asked.device_code)?;
            sign_in(matrix, granted).await
        }
        "refresh_token" => refresh(matrix, &asked).await,
        _ => Err(Wrong::new("unsupported_grant_type", "nobody comes in that way").into()),
    }
}

/// Uses a code up.
fn code(matrix: &Matrix, asked: &Asked) -> Result<Granted, Wrong> {
    let code = Secret::new(asked.code.as_str());
    let found = matrix.oauth.codes.take(&code, matrix.node.now());
    let (_, code) = found.ok_or(INVALID)?;
    // RFC 7636 §4.1: 43 to 128 characters.
    let verifier = &asked.code_verifier;
    let shown = hashed(verifier.as_bytes());
    let proven: bool = shown.as_bytes().ct_eq(code.challenge.as_bytes()).into();
    let same = code.granted.client == asked.client_id && code.redirect == asked.redirect_uri;
    if !(43..=128).contains(&verifier.len()) || !proven || !same {
        return Err(INVALID);
    }
    Ok(code.granted)
}

/// RFC 6749 §5.1.
fn tokens(fresh: &token::Fresh, scope: Option<&str>) -> Response<Body> {
    let mut body = json!({
        "access_token": fresh.access.expose(),
        "token_type": "Bearer",
        "expires_in": token::LIFETIME.as_secs(),
        "refresh_token": fresh.refresh.as_ref().map(Secret::expose),
    });
    // Left out where it is what it was.
    if let (Some(scope), Some(fields)) = (scope, body.as_object_mut()) {
        fields.insert("scope".to_owned(), scope.into());
    }
    answer(StatusCode::OK, &body)
}

async fn sign_in(matrix: &Arc<Matrix>, granted: Granted) -> Result<Response<Body>, Refused> {
    let client = clients::find(matrix, &granted.client).await?;
    let client = client.ok_or(INVALID)?;
    let wish = Wish {
        device_id: Some(granted.scope.device),
        label: Some(
            client
                .client_name
                .as_deref()
                .unwrap_or(client.host())
                .to_owned(),
        ),
        refreshes: true,
        client: Some(granted.client),
    };
    let (fresh, _) = token::mint(matrix, granted.proven, wish).await?;
    Ok(tokens(&fresh, Some(&granted.scope.words)))
}

async fn refresh(matrix: &Arc<Matrix>, asked: &Asked) -> Result<Response<Body>, Refused> {
    let shown = Secret::new(asked.refresh_token.as_str());
    match token::refresh(matrix, &shown, Some(&asked.client_id)).await {
        Ok((fresh, _)) => Ok(tokens(&fresh, None)),
        Err(fault) if fault.status() == StatusCode::UNAUTHORIZED => Err(INVALID.into()),
        Err(fault) => Err(fault.into()),
    }
}

async fn revoke(
    State(matrix): State<Arc<Matrix>>,
    peer: Option<Extension<Arc<Peer>>>,
    asked: Result<Form<Asked>, FormRejection>,
) -> Response<Body> {
    let peer = peer.as_ref().map(|Extension(peer)| peer.as_ref());
    match give_back(&matrix, peer, asked).await {
        Ok(()) => answer(StatusCode::OK, &json!({})),
        Err(refused) => refused.into_response(),
    }
}

/// The device goes with any of its tokens ("Token revocation"); a token that is nobody's is gone already.
async fn give_back(
    matrix: &Arc<Matrix>,
    peer: Option<&Peer>,
    asked: Result<Form<Asked>, FormRejection>,
) -> Result<(), Refused> {
    matrix.auth.rates.stranger(peer)?;
    let Form(asked) = asked.map_err(|_| MALFORMED)?;
    let shown = Secret::new(asked.token);
    let client = Some(asked.client_id).filter(|id| !id.is_empty());
    let found = matrix.read(move |matrix| token::device(matrix, &shown, client.as_deref()));
    if let Some(device) = found.await? {
        let (account, id) = (device.account.clone(), device.id);
        let rung = account.clone();
        let gone = matrix
            .node
            .write(move |tx| sessions::forget_device(tx, &account, id));
        match gone.await {
            Ok(()) | Err(sammen_core::Refusal::NotFound) => matrix.bells.ring(&rung),
            Err(other) => return Err(Refused::Matrix(other.into())),
        }
    }
    Ok(())
}
