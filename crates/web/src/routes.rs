//! The table of routes: what each asks of its caller and speaks. The router and the OpenAPI document are both made of
//! it, so they can't tell different things.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::IntoResponse;
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

use crate::auth::{Need, guard};
use crate::problem::Problem;
use crate::server::Web;

/// Where version 1 stands.
pub const BASE: &str = "/api/v1";
/// Most bytes of a JSON body.
const BODY: usize = 256 * 1024;

/// What a body is.
#[derive(Clone, Debug)]
pub enum Spoken {
    /// Nothing.
    Nothing,
    /// JSON of this schema.
    Json(Schema),
    /// Something else, by media type.
    Raw(&'static str),
}

/// One route.
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path below [`BASE`], with `{name}` for what varies.
    pub path: &'static str,
    /// What it does, in a line.
    pub about: &'static str,
    /// What it asks of its caller.
    pub need: Need,
    /// What the query may say.
    pub query: Option<Schema>,
    /// What is sent.
    pub ask: Spoken,
    /// The status of a good answer.
    pub status: u16,
    /// What is answered.
    pub answer: Spoken,
    handler: Option<MethodRouter<Arc<Web>>>,
    unbounded: bool,
}

/// The table.
pub struct Table {
    /// All routes.
    pub routes: Vec<Route>,
    /// What all schemas refer to.
    pub schemas: SchemaGenerator,
}

/// A route that is being described.
pub struct Entry<'a> {
    table: &'a mut Table,
    route: Route,
}

impl Default for Table {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12()
            .with(|s| s.definitions_path = "/components/schemas".into());
        Self {
            routes: Vec::new(),
            schemas: settings.into_generator(),
        }
    }
}

impl Table {
    /// Begins a route.
    pub fn on(
        &mut self,
        method: Method,
        path: &'static str,
        need: Need,
        about: &'static str,
    ) -> Entry<'_> {
        Entry {
            route: Route {
                method,
                path,
                about,
                need,
                query: None,
                ask: Spoken::Nothing,
                status: 200,
                answer: Spoken::Nothing,
                handler: None,
                unbounded: false,
            },
            table: self,
        }
    }

    /// The router, and nothing that is not in the table.
    pub fn router(self, web: &Arc<Web>) -> Router {
        let mut router: Router<Arc<Web>> = Router::new();
        for route in self.routes {
            let Some(handler) = route.handler else {
                continue;
            };
            let mut handler =
                handler.route_layer(from_fn_with_state((web.clone(), route.need), guard));
            if route.unbounded {
                handler = handler.layer(DefaultBodyLimit::disable());
            }
            router = router.route(&format!("{BASE}{}", route.path), handler);
        }
        router
            .method_not_allowed_fallback(not_allowed)
            .route(BASE, axum::routing::any(nothing))
            .route(&format!("{BASE}/"), axum::routing::any(nothing))
            .route(&format!("{BASE}/{{*rest}}"), axum::routing::any(nothing))
            .layer(DefaultBodyLimit::max(BODY))
            .with_state(web.clone())
    }
}

async fn nothing() -> Problem {
    Problem::not_found()
}

async fn not_allowed() -> impl IntoResponse {
    Problem::new(
        axum::http::StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This can't be done here",
    )
}

impl Entry<'_> {
    /// What the query may say.
    #[must_use]
    pub fn query<T: JsonSchema>(mut self) -> Self {
        // Inline: each field becomes a parameter.
        let schema = <T as JsonSchema>::json_schema(&mut self.table.schemas);
        self.route.query = Some(schema);
        self
    }

    /// What is sent, as JSON.
    #[must_use]
    pub fn ask<T: JsonSchema>(mut self) -> Self {
        self.route.ask = Spoken::Json(self.table.schemas.subschema_for::<T>());
        self
    }

    /// What is sent is a file.
    #[must_use]
    pub fn takes(mut self, media_type: &'static str) -> Self {
        self.route.ask = Spoken::Raw(media_type);
        self.route.unbounded = true;
        self
    }

    /// What is answered, as JSON.
    #[must_use]
    pub fn answer<T: JsonSchema>(mut self, status: u16) -> Self {
        self.route.status = status;
        self.route.answer = Spoken::Json(self.table.schemas.subschema_for::<T>());
        self
    }

    /// What is answered is something else.
    #[must_use]
    pub fn gives(mut self, status: u16, media_type: &'static str) -> Self {
        self.route.status = status;
        self.route.answer = Spoken::Raw(media_type);
        self
    }

    /// Nothing is answered but that it was done.
    #[must_use]
    pub fn done(mut self) -> Self {
        self.route.status = 204;
        self
    }

    /// Who handles it: ends the description.
    pub fn by<H, T>(mut self, handler: H)
    where
        H: axum::handler::Handler<T, Arc<Web>>,
        T: 'static,
    {
        let filter = axum::routing::MethodFilter::try_from(self.route.method.clone())
            .unwrap_or(axum::routing::MethodFilter::GET);
        self.route.handler = Some(axum::routing::on(filter, handler));
        self.table.routes.push(self.route);
    }
}
