//! Gathering: what is said in rooms waits for a moment, so that a busy room costs a write for several messages.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use sammen_core::{Delivery, Mailbox};
use tokio::time::{Instant, Sleep, sleep_until};

/// What is said in rooms right after something was shown gathers for a moment: one write instead of several. Nothing
/// else waits, and it goes out with anything else that does.
pub(crate) struct Gathering {
    /// How long; zero is not at all.
    most: Duration,
    /// When something was shown last.
    begun: Option<Instant>,
    until: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Where more comes than one message in the time of gathering, more than anybody reads, it takes so much longer.
const FLOODED: u32 = 4;

impl Gathering {
    /// For so many milliseconds.
    pub(crate) fn new(ms: u64) -> Self {
        Self {
            most: Duration::from_millis(ms),
            begun: None,
            until: None,
            timer: None,
        }
    }

    /// These are shown now.
    pub(crate) fn begin(&mut self, shown: &[Delivery]) {
        if self.most.is_zero() {
            return;
        }
        let shown = shown.iter().filter(|d| d.is_said()).count();
        let now = Instant::now();
        let since = self.begun.replace(now).map(|begun| now - begun);
        let times = if since.is_some_and(|since| floods(since, shown, self.most)) {
            FLOODED
        } else {
            1
        };
        self.until = Some(now + self.most.saturating_mul(times));
    }

    /// Takes at most so many deliveries; what may gather waits for its time.
    pub(crate) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        mailbox: &Mailbox,
        inbox: &mut Vec<Delivery>,
        most: usize,
    ) -> Poll<()> {
        if self.poll(cx) {
            mailbox.poll_patiently(cx, inbox, most)
        } else {
            mailbox.poll_receive(cx, inbox, most)
        }
    }

    /// Whether it goes on; the task is woken when it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(until) = self.until else {
            return false;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        let over = timer.as_mut().poll(cx).is_ready();
        if over {
            self.until = None;
        }
        !over
    }
}

/// Whether so many in such a time are more than one in each `most`.
fn floods(since: Duration, shown: usize, most: Duration) -> bool {
    let shown = u32::try_from(shown).unwrap_or(u32::MAX);
    since < most.saturating_mul(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_more_than_one_message_in_the_time_of_gathering() {
        let ms = Duration::from_millis;
        for (since, shown, flood) in [
            (25, 1, false),
            (20, 1, false),
            (20, 2, true),
            (80, 4, false),
            (80, 8, true),
            (0, 1, true),
        ] {
            assert_eq!(
                floods(ms(since), shown, ms(20)),
                flood,
                "{shown} in {since} ms"
            );
        }
    }
}
