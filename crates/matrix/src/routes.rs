//! The table of endpoints: the router, the list that docs/standards.md is compared with, and the test that tries each of
//! them are all made of it.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response};
use axum::response::IntoResponse as _;
use axum::routing::{MethodFilter, MethodRouter, on};
use bytes::BytesMut;
use ruma::api::path_builder::{PathBuilder, SinglePath, VersionHistory};
use ruma::api::{IncomingRequest, Metadata, OutgoingResponse, OutgoingResponseExt as _};

use crate::extract::{Ask, Door, read};
use crate::fault::{Answer, Fault};
use crate::server::Matrix;

/// One endpoint under one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for what varies.
    pub path: String,
    /// Whether requests are counted ("Rate limiting").
    pub limited: bool,
    /// Whether nobody is let in without an access token; not known of [`Table::raw`] ones.
    pub token: bool,
}

/// The table.
#[derive(Default)]
pub struct Table {
    /// All endpoints, under all their paths.
    pub endpoints: Vec<Endpoint>,
    router: Router<Arc<Matrix>>,
}

/// The paths of an endpoint.
pub trait Paths: PathBuilder {
    /// All of them, stable ones and the unstable ones that clients still ask for.
    fn paths(&self) -> Vec<&'static str>;
}

impl Paths for VersionHistory {
    fn paths(&self) -> Vec<&'static str> {
        let stable = self.stable_paths().map(|(_, path)| path);
        let mut all: Vec<_> = self
            .unstable_paths()
            .map(|(_, path)| path)
            .chain(stable)
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl Paths for SinglePath {
    fn paths(&self) -> Vec<&'static str> {
        vec![self.path()]
    }
}

impl Table {
    /// An endpoint of the specification, by the type of its request.
    pub fn on<T, H, F>(&mut self, handler: H)
    where
        T: IncomingRequest + Metadata + Send + 'static,
        T::Authentication: Door,
        T::PathBuilder: Paths,
        H: Fn(Arc<Matrix>, Ask<T>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer<T::OutgoingResponse>> + Send + 'static,
        T::OutgoingResponse: Send,
    {
        let paths = T::PATH_BUILDER.paths();
        self.under::<T, H, F>(&paths, handler);
    }

    /// An endpoint under paths that ruma does not name: those that leave the last variable out.
    pub fn under<T, H, F>(&mut self, paths: &[&str], handler: H)
    where
        T: IncomingRequest + Metadata + Send + 'static,
        T::Authentication: Door,
        T::PathBuilder: Paths,
        H: Fn(Arc<Matrix>, Ask<T>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer<T::OutgoingResponse>> + Send + 'static,
        T::OutgoingResponse: Send,
    {
        let answer = move |State(matrix): State<Arc<Matrix>>, request: Request| {
            let handler = handler.clone();
            async move {
                match answer(&matrix, request, handler).await {
                    Ok(answer) => answer,
                    Err(fault) => fault.into_response(),
                }
            }
        };
        for path in paths {
            self.raw(T::METHOD, path, T::RATE_LIMITED, {
                let filter = MethodFilter::try_from(T::METHOD).unwrap_or(MethodFilter::GET);
                on(filter, answer.clone())
            });
            if let Some(endpoint) = self.endpoints.last_mut() {
                endpoint.token = T::Authentication::NEEDED;
            }
        }
    }

    /// An endpoint that ruma has no type for, or whose body must not be read into memory.
    pub fn raw(
        &mut self,
        method: Method,
        path: &str,
        limited: bool,
        handler: MethodRouter<Arc<Matrix>>,
    ) {
        self.endpoints.push(Endpoint {
            method,
            path: path.to_owned(),
            limited,
            token: false,
        });
        let router = std::mem::take(&mut self.router);
        self.router = router.route(&numbered(path), handler);
    }

    /// The router, and nothing that is not in the table.
    pub fn router(self) -> Router<Arc<Matrix>> {
        self.router
    }
}

/// How many variables the path of an endpoint has.
fn variables<T: IncomingRequest>() -> usize
where
    T::PathBuilder: Paths,
{
    let paths = T::PATH_BUILDER.paths();
    let first = paths.first().copied().unwrap_or_default();
    first.matches('{').count()
}

/// The path with its variables numbered: the router wants one name for one place, and they are read in order.
fn numbered(path: &str) -> String {
    let mut number = 0;
    let parts = path.split('/').map(|part| {
        if part.starts_with('{') && !part.starts_with("{*") {
            number += 1;
            format!("{{p{number}}}")
        } else {
            part.to_owned()
        }
    });
    parts.collect::<Vec<_>>().join("/")
}

async fn answer<T, H, F>(
    matrix: &Arc<Matrix>,
    request: Request,
    handler: H,
) -> Answer<Response<Body>>
where
    T: IncomingRequest,
    T::Authentication: Door,
    T::PathBuilder: Paths,
    H: Fn(Arc<Matrix>, Ask<T>) -> F,
    F: Future<Output = Answer<T::OutgoingResponse>>,
{
    let ask = read::<T>(matrix, request, variables::<T>()).await?;
    let answer = handler(matrix.clone(), ask).await?;
    Ok(written(answer))
}

/// An answer as it goes out.
pub(crate) fn written(answer: impl OutgoingResponse) -> Response<Body> {
    match answer.try_into_http_response::<BytesMut>() {
        Ok(answer) => answer.map(|body| Body::from(body.freeze())),
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            Fault::unknown("the answer could not be written").into_response()
        }
    }
}
