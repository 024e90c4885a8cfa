//! One exchange: names to addresses that may be reached, a connection to one of them, TLS, a request and its answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use super::places::may_reach;
use super::{Answer, FetchError, Ready, Request};
use crate::dial::{self, Trust, race};
use crate::tls::TlsError;

/// Bytes and lines of an answer's head.
const HEAD: usize = 32 << 10;
const LINES: usize = 100;

/// How names are looked up.
pub(super) enum Names {
    None,
    Dns(Box<dial::Names>),
    #[cfg(test)]
    Table(Vec<(&'static str, IpAddr)>),
}

impl Names {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        match self {
            Self::None => Err(io::Error::other("there is no DNS")),
            Self::Dns(names) => names.addresses(host).await,
            #[cfg(test)]
            Self::Table(table) => Ok(table
                .iter()
                .filter(|(name, _)| *name == host)
                .map(|(_, ip)| *ip)
                .collect()),
        }
    }
}

/// TLS that believes who `trust` believes; `None` where that is nobody.
pub(super) fn tls(trust: &Trust) -> Result<Option<Arc<rustls::ClientConfig>>, TlsError> {
    let Some(verifier) = trust.verifier() else {
        return Ok(None);
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Generate(e.to_string()))?
        .dangerous() // It is rustls's own verifier, on our roots.
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Some(Arc::new(config)))
}

/// Asks once, and reads the answer.
pub(super) async fn exchange(ready: &Ready, request: &Request) -> Result<Answer, FetchError> {
    let host = request.url.host_str().unwrap_or_default().to_owned();
    let unreachable = |source| FetchError::Unreachable {
        host: host.clone(),
        source,
    };
    let stream = connect(ready, request, &host).await?;
    if request.url.scheme() == "http" {
        return speak(ready, request, stream).await;
    }
    let name = match request.url.host() {
        Some(Host::Ipv4(ip)) => ServerName::from(IpAddr::V4(ip)),
        Some(Host::Ipv6(ip)) => ServerName::from(IpAddr::V6(ip)),
        _ => ServerName::try_from(host.trim_end_matches('.').to_owned())
            .map_err(|e| unreachable(io::Error::other(e)))?,
    };
    let nobody = || unreachable(io::Error::other("no authority is trusted"));
    let config = ready.tls.clone().ok_or_else(nobody)?;
    let stream = TlsConnector::from(config).connect(name, stream).await;
    speak(ready, request, stream.map_err(unreachable)?).await
}

/// A connection to an address that may be reached: what was looked at is what is connected to.
async fn connect(ready: &Ready, request: &Request, host: &str) -> Result<TcpStream, FetchError> {
    let found = match request.url.host() {
        Some(Host::Ipv4(ip)) => vec![IpAddr::V4(ip)],
        Some(Host::Ipv6(ip)) => vec![IpAddr::V6(ip)],
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            let found = ready.names.addresses(name).await;
            found.map_err(|error| FetchError::Name {
                host: host.to_owned(),
                why: error.to_string(),
            })?
        }
        None => return Err(FetchError::Url("it has no host")),
    };
    let port = request.url.port_or_known_default().unwrap_or_default();
    let may = race::interleaved(found)
        .into_iter()
        .filter(|ip| may_reach(*ip, &ready.allow))
        .map(|ip| SocketAddr::new(ip, port));
    let may: Vec<_> = may.collect();
    if may.is_empty() {
        return Err(FetchError::Refused(host.to_owned()));
    }
    let stream = race::first(may, |address| async move {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    });
    stream.await.map_err(|source| FetchError::Unreachable {
        host: host.to_owned(),
        source,
    })
}

/// RFC 9112, one request and its answer; the connection is of no use afterwards.
async fn speak(
    ready: &Ready,
    request: &Request,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<Answer, FetchError> {
    let broken = |error: hyper::Error| FetchError::Broken(error.to_string());
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(LINES)
        .max_header_size(HEAD)
        .max_buf_size(2 * HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let asked = sender.send_request(asked(ready, request)?);
    let mut read = std::pin::pin!(async {
        let response = asked.await.map_err(broken)?;
        let (head, mut body) = response.into_parts();
        let mut bytes = BytesMut::new();
        let mut cut = false;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(broken)?.into_data() else {
                continue; // Trailers are nobody's.
            };
            let room = request.most - bytes.len();
            if data.len() > room {
                if !request.cut {
                    return Err(FetchError::TooLarge);
                }
                bytes.extend_from_slice(data.get(..room).unwrap_or_default());
                cut = true;
                break;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: bytes.freeze(),
            cut,
            url: request.url.clone(),
        })
    });
    // The connection moves only while the answer is read, and ends with it: whatever this is dropped by, nothing stays.
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        answer = &mut read => answer,
        ended = &mut connection => match ended {
            Ok(()) => read.await,
            Err(error) => Err(broken(error)),
        },
    }
}

fn asked(
    ready: &Ready,
    request: &Request,
) -> Result<hyper::Request<Full<bytes::Bytes>>, FetchError> {
    let url = &request.url;
    let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
    let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let host =
        HeaderValue::try_from(host).map_err(|_| FetchError::Url("its host can't be said"))?;
    let mut out = hyper::Request::builder()
        .method(request.method.clone())
        .uri(path)
        .body(Full::new(request.body.clone()))
        .map_err(|e| FetchError::Broken(e.to_string()))?;
    *out.headers_mut() = request.headers.clone();
    let headers = out.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, ready.agent.clone());
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    // A compressed body may be a thousand times what it seems.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    Ok(out)
}
