//! An IRC channel: one person writes, everybody else reads.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde_json::{Map, Value, json};

use super::fan::{self, Drive};
use super::{Setting, Stretch, add_latencies, add_verdict, crowd};
use crate::conn::{Conn, Tap};
use crate::marker;

/// How many people, and what the sender does.
pub struct Plan {
    /// The server's plain listener.
    pub addr: SocketAddr,
    /// Readers, beside the sender.
    pub people: usize,
    /// The channel, with its `#`.
    pub channel: String,
    /// Everybody's password for SASL PLAIN, or empty for none.
    pub password: String,
    /// Further capabilities, with blanks, or empty: a client of the old school.
    pub caps: String,
    /// The sender's messages.
    pub drive: Drive,
}

/// Runs it.
pub async fn run(setting: &Setting, plan: &Rc<Plan>) -> io::Result<Map<String, Value>> {
    let taps = crowd(plan.people + 1, 100, |i| {
        let (plan, name) = (plan.clone(), format!("{}{i}", setting.prefix));
        async move { enter(&plan, &name).await.map(Rc::new) }
    })
    .await?;
    setting.meter.quiet(Duration::from_secs(10)).await;
    let head = format!("PRIVMSG {} :", plan.channel);
    let (sender, readers) = taps
        .split_first()
        .ok_or_else(|| io::Error::other("a channel needs people"))?;
    let stretch = Stretch::start(&setting.meter);
    let fanned = fan::run(sender.clone(), readers, true, plan.drive, |out, seq| {
        out.extend_from_slice(head.as_bytes());
        marker::push(out, seq);
        out.extend_from_slice(b" the tea is ready, come over when you like\r\n");
    })
    .await?;
    let work = if plan.drive.rate > 0.0 {
        "irc-paced"
    } else {
        "irc"
    };
    let mut result = stretch.stop(fanned.ended, work, fanned.deliveries).await;
    let mut latencies = fanned.latencies;
    add_verdict(&mut result, &fanned.verdict);
    add_latencies(&mut result, &mut latencies);
    result.insert("people".to_owned(), json!(plan.people));
    result.insert("messages".to_owned(), json!(plan.drive.count));
    Ok(result)
}

async fn enter(plan: &Plan, name: &str) -> io::Result<Tap> {
    let mut conn = Conn::open(plan.addr).await?;
    let mut caps = plan.caps.clone();
    if !plan.password.is_empty() {
        caps = format!("sasl {caps}");
    }
    if caps.trim().is_empty() {
        conn.send(format!("NICK {name}\r\nUSER {name} 0 * :{name}\r\n").as_bytes())
            .await?;
    } else {
        let hello = format!(
            "CAP REQ :{}\r\nNICK {name}\r\nUSER {name} 0 * :{name}\r\n",
            caps.trim()
        );
        conn.send(hello.as_bytes()).await?;
        line(&mut conn, &["CAP ACK"]).await?;
        if !plan.password.is_empty() {
            conn.send(b"AUTHENTICATE PLAIN\r\n").await?;
            line(&mut conn, &["AUTHENTICATE +"]).await?;
            let secret = BASE64.encode(format!("\0{name}\0{}", plan.password));
            conn.send(format!("AUTHENTICATE {secret}\r\n").as_bytes())
                .await?;
            line(&mut conn, &["903"]).await?;
        }
        conn.send(b"CAP END\r\n").await?;
    }
    // The end of the message of the day, or that there is none.
    line(&mut conn, &["376", "422"]).await?;
    conn.send(format!("JOIN {}\r\n", plan.channel).as_bytes())
        .await?;
    line(&mut conn, &["366"]).await?;
    conn.into_plain()
}

/// Waits for one of these commands or numerics, answering pings; a refusal is an error.
async fn line(conn: &mut Conn, awaited: &[&str]) -> io::Result<()> {
    loop {
        let line = conn
            .until(|buf| memchr::memchr(b'\n', buf).map(|end| end + 1))
            .await?;
        let text = String::from_utf8_lossy(&line);
        let said = command(&text);
        if awaited.contains(&said.as_str()) {
            return Ok(());
        }
        if let Some(token) = line.strip_prefix(b"PING ") {
            conn.send(&[b"PONG ", token].concat()).await?;
        }
        if ["CAP NAK", "904", "433", "403", "405", "471", "473", "ERROR"].contains(&said.as_str()) {
            return Err(io::Error::other(format!("the server said {text}")));
        }
    }
}

/// A line's command or numeric, without tags and source; of `CAP` and `AUTHENTICATE` with what they are about.
fn command(line: &str) -> String {
    let mut words = line
        .split_ascii_whitespace()
        .skip_while(|word| word.starts_with('@') || word.starts_with(':'));
    match words.next() {
        Some("CAP") => format!("CAP {}", words.nth(1).unwrap_or("")),
        Some("AUTHENTICATE") => format!("AUTHENTICATE {}", words.next().unwrap_or("")),
        Some(command) => command.to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_numeric_is_not_mistaken_for_a_count_in_the_text() {
        assert_eq!(
            command(":irc.localhost 251 c414 :There are 405 users\r\n"),
            "251"
        );
        assert_eq!(
            command("@time=2026-11-22T16:00:00.000Z :irc.localhost CAP * ACK :sasl\r\n"),
            "CAP ACK"
        );
        assert_eq!(command("AUTHENTICATE +\r\n"), "AUTHENTICATE +");
    }
}
