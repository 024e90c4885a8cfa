//! Wake-ups: who waits for what concerns an account is woken when something was committed.
//!
//! Listen first, then read, then wait: what is committed after the listening began wakes, so nothing is missed between
//! reading and waiting. Ring after the commit (`tx.after(move |_| bells.ring(&account))`).

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sammen_core::Address;
use tokio::sync::watch;

/// Who waits, by account. Holds accounts that are listened to, and no others.
#[derive(Default)]
pub struct Bells {
    waiting: Mutex<HashMap<Address, watch::Sender<()>>>,
}

/// Hears what concerns one account, from when it was made.
pub struct Ear {
    account: Address,
    bells: Arc<Bells>,
    heard: Option<watch::Receiver<()>>,
}

impl Bells {
    /// Begins to listen.
    pub fn listen(self: &Arc<Self>, account: &Address) -> Ear {
        let mut waiting = self.waiting.lock();
        let sender = waiting.entry(account.clone()).or_default();
        Ear {
            account: account.clone(),
            bells: self.clone(),
            heard: Some(sender.subscribe()),
        }
    }

    /// Something of this account was committed.
    pub fn ring(&self, account: &Address) {
        if let Some(sender) = self.waiting.lock().get(account) {
            sender.send_replace(());
        }
    }

    /// Something was committed that concerns everyone of whom `concerns` says yes: the people of a room.
    pub fn ring_where(&self, concerns: impl Fn(&Address) -> bool) {
        for (account, sender) in self.waiting.lock().iter() {
            if concerns(account) {
                sender.send_replace(());
            }
        }
    }

    /// How many accounts are listened to.
    pub fn len(&self) -> usize {
        self.waiting.lock().len()
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Ear {
    /// Waits for the next ring since it was made, or since this was called last.
    pub async fn rung(&mut self) {
        match &mut self.heard {
            // The sender stays for as long as somebody listens.
            Some(heard) => drop(heard.changed().await),
            None => std::future::pending().await,
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut waiting = self.bells.waiting.lock();
        self.heard = None;
        let idle = |sender: &watch::Sender<()>| sender.receiver_count() == 0;
        if waiting.get(&self.account).is_some_and(idle) {
            waiting.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_between_reading_and_waiting_is_heard_and_nothing_stays_behind() {
        let bells = Arc::new(Bells::default());
        let alice = Address::new("alice@example.org").unwrap();
        let bob = Address::new("bob@example.org").unwrap();
        bells.ring(&alice);
        let (mut one, mut two) = (bells.listen(&alice), bells.listen(&alice));
        let mut other = bells.listen(&bob);
        bells.ring(&alice);
        one.rung().await;
        two.rung().await;
        let silent = tokio::time::timeout(std::time::Duration::ZERO, other.rung());
        assert!(silent.await.is_err());
        bells.ring_where(|account| *account == bob);
        other.rung().await;
        drop((one, other));
        assert_eq!(bells.len(), 1);
        drop(two);
        assert!(bells.is_empty());
    }
}
