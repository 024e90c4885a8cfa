//! Headers of all answers: any web client may fetch, no browser runs what it fetched.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

/// XEP-0363 §7 and §10: CORS, no sniffing, nothing runs.
const ALWAYS: &[(HeaderName, &str)] = &[
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (
        header::ACCESS_CONTROL_ALLOW_METHODS,
        "GET, HEAD, PUT, OPTIONS",
    ),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Content-Type, Authorization, Range",
    ),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Content-Length, Content-Range, Accept-Ranges, ETag",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "7200"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        header::CONTENT_SECURITY_POLICY,
        "sandbox; default-src 'none'",
    ),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// An answer with these headers beside those that all have.
pub fn answer(status: StatusCode, own: HeaderMap, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name.clone(), HeaderValue::from_static(value));
    }
    headers.extend(own);
    answer
}

/// An answer that says only a status.
pub fn status(status: StatusCode) -> Response<Body> {
    answer(status, HeaderMap::new(), Body::empty())
}

/// What browsers ask before they upload.
pub async fn options() -> Response<Body> {
    status(StatusCode::NO_CONTENT)
}
