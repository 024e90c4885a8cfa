//! RFC 8305: addresses of both families in turn, a quarter of a second apart, and the first connection wins.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// §5: Connection Attempt Delay.
const DELAY: Duration = Duration::from_millis(250);

/// §4: IPv6 first, then in turn.
pub(crate) fn interleaved(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (six, four): (Vec<_>, Vec<_>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    let mut out = Vec::new();
    loop {
        let pair = [six.next(), four.next()];
        if pair.iter().all(Option::is_none) {
            return out;
        }
        out.extend(pair.into_iter().flatten());
    }
}

type Attempt<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// The first attempt that succeeds; the last error where none does. The others are given up.
pub(crate) async fn first<T, F>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut waiting = addresses.into_iter();
    let mut running: Vec<Attempt<T>> = Vec::new();
    let mut next = Instant::now();
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    loop {
        if waiting.len() > 0 && (running.is_empty() || next <= Instant::now()) {
            if let Some(address) = waiting.next() {
                running.push(Box::pin(connect(address)));
            }
            next = Instant::now() + DELAY;
        }
        if running.is_empty() {
            return Err(last);
        }
        let any = std::future::poll_fn(|cx| {
            for (at, attempt) in running.iter_mut().enumerate() {
                if let std::task::Poll::Ready(done) = attempt.as_mut().poll(cx) {
                    return std::task::Poll::Ready((at, done));
                }
            }
            std::task::Poll::Pending
        });
        tokio::select! {
            (at, done) = any => match done {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    drop(running.swap_remove(at));
                    last = error;
                    // §5: after a failure the next one starts at once.
                    next = Instant::now();
                }
            },
            () = sleep_until(next), if waiting.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let given = ["1.1.1.1", "2.2.2.2", "::1", "3.3.3.3"].map(ip).to_vec();
        let wanted = ["::1", "1.1.1.1", "2.2.2.2", "3.3.3.3"].map(ip);
        assert_eq!(interleaved(given), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_holds_nobody_up() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let start = Instant::now();
        let winner = first(vec![at(1), at(2), at(3)], |address| async move {
            match address.port() {
                1 => std::future::pending().await,
                2 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                port => Ok(port),
            }
        });
        assert_eq!(winner.await.unwrap(), 3);
        assert_eq!(
            start.elapsed(),
            DELAY,
            "after a refusal the next one at once"
        );
        let none = first(vec![at(2)], |_| async {
            Err::<(), _>(io::Error::from(io::ErrorKind::ConnectionRefused))
        });
        assert_eq!(
            none.await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
