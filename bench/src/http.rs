//! HTTP/1.1 as an app speaks it: one connection that is kept, one question at a time.

use std::io;
use std::net::SocketAddr;

use memchr::memmem;
use serde_json::Value;

use crate::conn::Conn;

/// A connection to a server's plain HTTP listener.
pub struct Http {
    conn: Conn,
    at: SocketAddr,
}

impl Http {
    /// Connects.
    pub async fn open(at: SocketAddr) -> io::Result<Self> {
        Ok(Self {
            conn: Conn::open(at).await?,
            at,
        })
    }

    /// Asks, and reads the whole answer's body. A status other than 200 is an error that shows it.
    pub async fn ask(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &str,
    ) -> io::Result<Vec<u8>> {
        let mut question = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.at);
        if !token.is_empty() {
            question.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        if method != "GET" {
            let length = body.len();
            question.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {length}\r\n"
            ));
        }
        question.push_str("\r\n");
        question.push_str(body);
        self.conn.send(question.as_bytes()).await?;
        let head = self.conn.until(|buf| end(buf, b"\r\n\r\n")).await?;
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let body = match field(&head, "content-length") {
            Some(length) => {
                let length: usize = length.parse().map_err(io::Error::other)?;
                let whole = |buf: &[u8]| (buf.len() >= length).then_some(length);
                self.conn.until(whole).await?
            }
            None => self.chunks().await?,
        };
        if head.split(' ').nth(1) != Some("200") {
            let (status, body) = (
                head.lines().next().unwrap_or(""),
                String::from_utf8_lossy(&body),
            );
            return Err(io::Error::other(format!(
                "{method} {path}: {status}: {body}"
            )));
        }
        Ok(body)
    }

    /// [`ask`](Self::ask) for an answer to be looked into.
    pub async fn json(
        &mut self,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
    ) -> io::Result<Value> {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.ask(method, path, token, &body).await?;
        Ok(serde_json::from_slice(&answer)?)
    }

    /// RFC 9112 §7.1.
    async fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.conn.until(|buf| end(buf, b"\r\n")).await?;
            let size = String::from_utf8_lossy(&line);
            let size = size.trim().split(';').next().unwrap_or("");
            let size = usize::from_str_radix(size, 16).map_err(io::Error::other)?;
            let whole = |buf: &[u8]| (buf.len() >= size + 2).then_some(size + 2);
            let chunk = self.conn.until(whole).await?;
            if size == 0 {
                return Ok(body);
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}

fn end(buf: &[u8], of: &[u8]) -> Option<usize> {
    memmem::find(buf, of).map(|at| at + of.len())
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}
