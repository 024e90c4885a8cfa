//! A connection while it is being set up: plain or TLS, read until something is there. The hot paths use `Tap` instead.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

/// More than any answer that is waited for.
const MOST: usize = 64 << 20;

enum Wire {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Gone,
}

/// A connection with what it has received and nobody has taken yet.
pub struct Conn {
    wire: Wire,
    buf: Vec<u8>,
}

impl Conn {
    /// Connects.
    pub async fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            wire: Wire::Plain(stream),
            buf: Vec::new(),
        })
    }

    /// Puts TLS around the connection, after STARTTLS.
    pub async fn secure(&mut self, connector: &TlsConnector, domain: &str) -> io::Result<()> {
        let Wire::Plain(stream) = std::mem::replace(&mut self.wire, Wire::Gone) else {
            return Err(io::Error::other("already secured"));
        };
        let name = ServerName::try_from(domain.to_owned()).map_err(io::Error::other)?;
        self.wire = Wire::Tls(Box::new(connector.connect(name, stream).await?));
        Ok(())
    }

    /// Sends.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.wire {
            Wire::Plain(stream) => stream.write_all(bytes).await,
            Wire::Tls(stream) => {
                stream.write_all(bytes).await?;
                stream.flush().await
            }
            Wire::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Waits for more bytes.
    pub async fn more(&mut self) -> io::Result<()> {
        self.buf.reserve(1024);
        let n = match &mut self.wire {
            Wire::Plain(stream) => stream.read_buf(&mut self.buf).await?,
            Wire::Tls(stream) => stream.read_buf(&mut self.buf).await?,
            Wire::Gone => 0,
        };
        if n == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("closed after: {}", self.shown()),
            ));
        }
        if self.buf.len() > MOST {
            return Err(io::Error::other("the answer is far too long"));
        }
        Ok(())
    }

    /// Reads until `whole` says how many bytes make up what is waited for, and takes them.
    pub async fn until(&mut self, whole: impl Fn(&[u8]) -> Option<usize>) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = whole(&self.buf) {
                return Ok(self.buf.drain(..end).collect());
            }
            self.more().await?;
        }
    }

    /// Everything received and not taken yet.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buf)
    }

    /// The end of what was received, for an error text.
    pub fn shown(&self) -> String {
        let from = self.buf.len().saturating_sub(400);
        String::from_utf8_lossy(&self.buf[from..]).into_owned()
    }

    /// The bare socket of a plain connection, for the hot path.
    pub fn into_plain(self) -> io::Result<Tap> {
        match self.wire {
            Wire::Plain(stream) => Ok(Tap {
                stream,
                tail: RefCell::new(self.buf),
            }),
            _ => Err(io::Error::other("this work needs a plain connection")),
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; 512 << 10]);
}

/// A socket on the hot path: all connections read into one buffer, each keeps only a cut-off end.
pub struct Tap {
    stream: TcpStream,
    tail: RefCell<Vec<u8>>,
}

impl Tap {
    /// Waits for bytes and shows them to `look`, which answers how many at the end it wants to see again.
    pub async fn read(&self, mut look: impl FnMut(&[u8]) -> usize) -> io::Result<()> {
        loop {
            self.stream.readable().await?;
            let done = SCRATCH.with_borrow_mut(|scratch| {
                let mut tail = self.tail.borrow_mut();
                let kept = tail.len();
                if scratch.len() < kept + (256 << 10) {
                    scratch.resize(kept + (256 << 10), 0);
                }
                scratch[..kept].copy_from_slice(&tail);
                match self.stream.try_read(&mut scratch[kept..]) {
                    Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(n) => {
                        let bytes = &scratch[..kept + n];
                        let keep = look(bytes).min(bytes.len());
                        tail.clear();
                        tail.extend_from_slice(&bytes[bytes.len() - keep..]);
                        Ok(true)
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                    Err(error) => Err(error),
                }
            })?;
            if done {
                return Ok(());
            }
        }
    }

    /// Sends all of it.
    pub async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What lies unread in the socket (for an error text), without waiting.
    pub fn leftovers(&self) -> String {
        let mut bytes = std::mem::take(&mut *self.tail.borrow_mut());
        let mut more = [0; 2048];
        if let Ok(n) = self.stream.try_read(&mut more) {
            bytes.extend_from_slice(&more[..n]);
        }
        bytes.truncate(2048);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Back to asking questions.
    pub fn into_conn(self) -> Conn {
        Conn {
            wire: Wire::Plain(self.stream),
            buf: self.tail.into_inner(),
        }
    }
}

/// TLS as a stranger's first visit: no resumption. The certificate is not checked: checking costs the generator, not the server.
pub fn tls() -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let algorithms = provider
        .signature_verification_algorithms
        .supported_schemes();
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap_or_else(|error| fail(&error.to_string()));
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(algorithms)))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

fn fail(why: &str) -> ! {
    eprintln!("load: {why}");
    std::process::exit(1)
}

#[derive(Debug)]
struct Anyone(Vec<SignatureScheme>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}
