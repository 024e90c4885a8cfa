//! As much of an XMPP client as a load needs: sign in, bind, ask the archive. Byte templates and searching, no parser.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use memchr::memmem;
use tokio_rustls::TlsConnector;

use crate::conn::{Conn, tls};
use crate::marker::Markers;
use crate::scram::{self, Salted};
use crate::seen::Seen;

/// Where the server is and how to sign in.
pub struct Server {
    /// Its address.
    pub addr: SocketAddr,
    /// The accounts' domain.
    pub domain: String,
    /// The domain of rooms.
    pub rooms: String,
    /// Everybody's password.
    pub password: String,
    /// STARTTLS before signing in.
    pub starttls: bool,
    /// `scram` (SCRAM-SHA-1) or `plain`.
    pub mechanism: String,
    connector: TlsConnector,
    salted: Salted,
    nonces: Cell<u64>,
}

impl Server {
    /// Describes a server.
    pub fn new(addr: SocketAddr, domain: String, password: String) -> Self {
        Self {
            addr,
            rooms: format!("rooms.{domain}"),
            domain,
            password,
            starttls: false,
            mechanism: "scram".to_owned(),
            connector: tls(),
            salted: Salted::default(),
            nonces: Cell::new(u64::from(std::process::id()) << 32),
        }
    }

    /// Connects, signs in and binds a resource. The address is then `name@domain/load`.
    pub async fn sign_in(&self, name: &str) -> io::Result<Conn> {
        let mut conn = Conn::open(self.addr).await?;
        self.stream(&mut conn).await?;
        if self.starttls {
            conn.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
                .await?;
            conn.until(|buf| tag_end(buf, b"<proceed")).await?;
            conn.take();
            conn.secure(&self.connector, &self.domain).await?;
            self.stream(&mut conn).await?;
        }
        match self.mechanism.as_str() {
            "plain" => self.plain(&mut conn, name).await?,
            _ => self.scram(&mut conn, name).await?,
        }
        self.stream(&mut conn).await?;
        let bound = iq(
            &mut conn,
            "set",
            "bind",
            "",
            "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>load</resource></bind>",
        )
        .await?;
        if memmem::find(&bound, b"<jid>").is_none() {
            return Err(refused("bind", &bound));
        }
        Ok(conn)
    }

    /// Says "I am here" and waits until the server has taken notice; answers what it said.
    pub async fn present(&self, conn: &mut Conn) -> io::Result<Vec<u8>> {
        conn.send(b"<presence/>").await?;
        iq(
            conn,
            "get",
            "here",
            &self.domain,
            "<ping xmlns='urn:xmpp:ping'/>",
        )
        .await
    }

    async fn stream(&self, conn: &mut Conn) -> io::Result<()> {
        let open = format!(
            "<?xml version='1.0'?><stream:stream to='{}' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
            self.domain
        );
        conn.send(open.as_bytes()).await?;
        conn.until(|buf| {
            let end = b"</stream:features>";
            memmem::find(buf, end)
                .map(|at| at + end.len())
                .or_else(|| tag_end(buf, b"<stream:features/"))
        })
        .await?;
        Ok(())
    }

    async fn plain(&self, conn: &mut Conn, name: &str) -> io::Result<()> {
        let secret = BASE64.encode(format!("\0{name}\0{}", self.password));
        conn.send(
            format!(
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"
            )
            .as_bytes(),
        )
        .await?;
        let answer = sasl_answer(conn).await?;
        if answer.starts_with(b"<success") {
            Ok(())
        } else {
            Err(refused("PLAIN", &answer))
        }
    }

    async fn scram(&self, conn: &mut Conn, name: &str) -> io::Result<()> {
        self.nonces.set(self.nonces.get() + 1);
        let first = scram::first(name, self.nonces.get());
        let sent = BASE64.encode(format!("n,,{first}"));
        conn.send(
            format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{sent}</auth>").as_bytes(),
        )
        .await?;
        let answer = sasl_answer(conn).await?;
        let challenge = sasl_data(&answer).filter(|_| answer.starts_with(b"<challenge"));
        let (last, proof) = challenge
            .and_then(|challenge| scram::last(&self.salted, &self.password, &first, &challenge))
            .ok_or_else(|| refused("SCRAM-SHA-1", &answer))?;
        let sent = BASE64.encode(last);
        conn.send(
            format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{sent}</response>")
                .as_bytes(),
        )
        .await?;
        let answer = sasl_answer(conn).await?;
        match sasl_data(&answer) {
            Some(given) if answer.starts_with(b"<success") && given == proof => Ok(()),
            _ => Err(refused("SCRAM-SHA-1", &answer)),
        }
    }
}

/// Sends an iq and waits for its answer, which it gives back with everything that came before.
pub async fn iq(
    conn: &mut Conn,
    kind: &str,
    id: &str,
    to: &str,
    payload: &str,
) -> io::Result<Vec<u8>> {
    let to = if to.is_empty() {
        String::new()
    } else {
        format!(" to='{to}'")
    };
    conn.send(format!("<iq type='{kind}' id='{id}'{to}>{payload}</iq>").as_bytes())
        .await?;
    let (single, double) = (format!("id='{id}'"), format!("id=\"{id}\""));
    conn.until(|buf| {
        let at = memmem::find(buf, single.as_bytes())
            .or_else(|| memmem::find(buf, double.as_bytes()))?;
        let close = at + memchr::memchr(b'>', &buf[at..])?;
        if buf[close - 1] == b'/' {
            return Some(close + 1);
        }
        memmem::find(&buf[close..], b"</iq>").map(|end| close + end + 5)
    })
    .await
}

/// Counts the archive of `of` (empty for one's own), only what was exchanged with `with` where given (XEP-0313 §4.1, RSM
/// with `<max>0</max>`, XEP-0059 §2.7). `None` where the server does not tell counts.
pub async fn archive_count(conn: &mut Conn, of: &str, with: &str) -> io::Result<Option<u64>> {
    let answer = iq(
        conn,
        "set",
        "count",
        of,
        &query("count", with, "<max>0</max>"),
    )
    .await?;
    if memmem::find(&answer, b"<fin").is_none() {
        return Err(refused("the archive", &answer));
    }
    Ok(between(&answer, b"<count>", b"</count>").and_then(|text| text.parse().ok()))
}

/// Pages through an archive and notes every marker; answers the number of results.
pub async fn archive_pages(
    conn: &mut Conn,
    of: &str,
    with: &str,
    seen: &mut Seen,
) -> io::Result<u64> {
    let markers = Markers::new();
    let (mut after, mut results) = (String::new(), 0);
    for page in 0.. {
        let id = format!("page{page}");
        let set = format!("<max>100</max>{after}");
        let answer = iq(conn, "set", &id, of, &query(&id, with, &set)).await?;
        if memmem::find(&answer, b"<fin").is_none() {
            return Err(refused("the archive", &answer));
        }
        results += memmem::find_iter(&answer, b"<forwarded").count() as u64;
        markers.scan(&answer, |seq| {
            seen.mark(seq);
        });
        let complete = memmem::find(&answer, b"complete='true'").is_some()
            || memmem::find(&answer, b"complete=\"true\"").is_some();
        match between(&answer, b"<last>", b"</last>") {
            Some(last) if !complete => after = format!("<after>{last}</after>"),
            _ => break,
        }
    }
    Ok(results)
}

fn query(id: &str, with: &str, set: &str) -> String {
    let with = if with.is_empty() {
        String::new()
    } else {
        format!("<field var='with'><value>{with}</value></field>")
    };
    format!(
        "<query xmlns='urn:xmpp:mam:2' queryid='{id}'><x xmlns='jabber:x:data' type='submit'>\
         <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field>{with}</x>\
         <set xmlns='http://jabber.org/protocol/rsm'>{set}</set></query>"
    )
}

/// An error that shows what the server said instead.
pub fn refused(what: &str, answer: &[u8]) -> io::Error {
    let from = answer.len().saturating_sub(600);
    io::Error::other(format!(
        "{what}: the server answered {}",
        String::from_utf8_lossy(&answer[from..])
    ))
}

/// Where the tag that begins with `name` ends.
fn tag_end(buf: &[u8], name: &[u8]) -> Option<usize> {
    let at = memmem::find(buf, name)?;
    memchr::memchr(b'>', &buf[at..]).map(|end| at + end + 1)
}

fn between(buf: &[u8], open: &[u8], close: &[u8]) -> Option<String> {
    let from = memmem::find(buf, open)? + open.len();
    let to = from + memmem::find(&buf[from..], close)?;
    Some(String::from_utf8_lossy(&buf[from..to]).into_owned())
}

async fn sasl_answer(conn: &mut Conn) -> io::Result<Vec<u8>> {
    conn.until(|buf| {
        for (open, close) in [
            (&b"<challenge"[..], &b"</challenge>"[..]),
            (b"<success", b"</success>"),
            (b"<failure", b"</failure>"),
        ] {
            if buf.starts_with(open) {
                let end = tag_end(buf, open)?;
                if buf[end - 2] == b'/' {
                    return Some(end);
                }
                return memmem::find(buf, close).map(|at| at + close.len());
            }
        }
        None
    })
    .await
}

fn sasl_data(answer: &[u8]) -> Option<String> {
    let text = between(answer, b">", b"<")?;
    String::from_utf8(BASE64.decode(text.trim()).ok()?).ok()
}
