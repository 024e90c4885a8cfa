//! Apps and their tokens on the shelf of an account: one document per app, by the hash of its id.

use bytes::Bytes;
use sammen_core::document::Owner;
use sammen_core::ops::sessions;
use sammen_core::tx::{Expect, Tx};
use sammen_core::{Address, DeviceId, Domain, Outcome};

use super::{Agent, Attempt, FreshToken, Held, Record, Source, TokenKey};
use crate::accounts::{Accounts, address, read};
use crate::credentials::Credentials;
use crate::hash::Hash;
use crate::sasl::{Channel, Failure, Login, TokenMechanism, TokenMessage};

/// The shelf.
const AGENTS: &str = "agent";
/// Most documents looked at when old ones are cleared away.
const MOST: usize = 256;

/// Somebody signed in with a token.
#[derive(Debug)]
pub struct TokenLogin {
    /// Who.
    pub account: Address,
    /// What the token stands for: the password or certificate that it was made from.
    pub login: Login,
    /// [`Credentials::stamp`] when the token was checked.
    pub stamp: u64,
    /// What goes to the client with success.
    pub answer: Vec<u8>,
    /// A new token, where one was due or asked for.
    pub fresh: Option<FreshToken>,
}

/// What a client shows to sign in with a token.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The app.
    pub agent: Agent,
    /// What it chose.
    pub mechanism: TokenMechanism,
    /// What it sent.
    pub message: TokenMessage,
    /// XEP-0484 §4.4: counts up with each use of the token.
    pub count: Option<u64>,
    /// XEP-0484 §4.6: the token ends with this login.
    pub invalidate: bool,
    /// XEP-0484 §4.2: it wants a new one.
    pub wants: Option<TokenMechanism>,
}

/// An app that signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownAgent {
    /// Its device.
    pub device: DeviceId,
    /// What it said of itself.
    pub agent: Agent,
    /// It has a token.
    pub token: bool,
}

/// One look at a token.
struct Look {
    key: TokenKey,
    account: Address,
    shown: Shown,
    binding: Vec<u8>,
    scope: String,
    now_ms: u64,
}

impl Look {
    /// Whether the token holds, which new one is wanted, and whether anything is to be written.
    fn at(
        &self,
        record: &mut Record,
        credentials: &Credentials,
    ) -> Result<(Held, Option<TokenMechanism>, bool), Failure> {
        let shown = &self.shown;
        let attempt = Attempt {
            account: self.account.as_str(),
            mechanism: shown.mechanism,
            message: &shown.message,
            binding: &self.binding,
            count: shown.count,
            invalidate: shown.invalidate,
        };
        let held = record.check(&self.key, &attempt, credentials, &self.scope, self.now_ms)?;
        // An app's name changes with its updates.
        let renamed = record.agent != shown.agent;
        record.agent.clone_from(&shown.agent);
        let wanted = shown.wants.or(held.due.then_some(shown.mechanism));
        let writes = held.changed || renamed || wanted.is_some();
        Ok((held, wanted, writes))
    }
}

impl Accounts {
    /// Signs somebody in with a token. The caller asks the throttle.
    ///
    /// # Errors
    /// Why not; [`Failure::TokenOver`] and [`Failure::Disabled`] only to who proved the token.
    pub async fn token_login(
        &self,
        domain: &Domain,
        scope: &str,
        channel: &Channel,
        shown: Shown,
    ) -> Result<TokenLogin, Failure> {
        let account = address(domain, &shown.message.name).ok_or(Failure::NoSuchAccount)?;
        let binding = shown.mechanism.binding(channel);
        let look = Look {
            key: self.tokens.clone(),
            account: account.clone(),
            binding: binding.ok_or(Failure::BindingType)?.to_vec(),
            scope: scope.to_owned(),
            now_ms: self.now_ms(),
            shown,
        };
        let looked = self.node.read(move |node| {
            let (account, shelf) = (&look.account, Owner::from(&look.account));
            let (Some(known), Some(bytes)) = (node.account(account)?, read(node, account)?) else {
                return Ok(Err(Failure::NoSuchAccount));
            };
            let Ok(credentials) = Credentials::decode(&bytes) else {
                return Ok(Err(Failure::Unavailable));
            };
            let key = document_key(&look.shown.agent.id);
            let document = node.store().document(&shelf, AGENTS, &key)?;
            let Some(mut record) = stored(document.and_then(|d| d.value)) else {
                return Ok(Err(Failure::WrongPassword));
            };
            let held = look.at(&mut record, &credentials);
            let device = node.store().device(record.device)?;
            let device = device.filter(|d| d.account == *account);
            Ok(held.and_then(|held| {
                // Signed out, here or everywhere.
                if device.is_none_or(|d| d.generation != known.generation) {
                    return Err(Failure::TokenOver);
                }
                if known.disabled {
                    return Err(Failure::Disabled);
                }
                Ok((held, credentials, look))
            }))
        });
        let ((held, _, writes), credentials, look) =
            looked.await.map_err(|_| Failure::Unavailable)??;
        let stamp = credentials.stamp();
        let (held, fresh) = if writes {
            self.token_used(look, credentials).await?
        } else {
            (held, None)
        };
        Ok(TokenLogin {
            account,
            login: held.login,
            stamp,
            answer: held.answer,
            fresh,
        })
    }

    /// The same look in the writer, one after the other: a count is good once, and a token that is over stays so.
    async fn token_used(
        &self,
        look: Look,
        credentials: Credentials,
    ) -> Result<(Held, Option<FreshToken>), Failure> {
        let number = self.node.clock().random();
        let written = self.node.write(move |tx| {
            let shelf = Owner::from(&look.account);
            let key = document_key(&look.shown.agent.id);
            let document = tx.document(&shelf, AGENTS, &key)?;
            let Some(mut record) = stored(document.and_then(|d| d.value)) else {
                return Ok(Err(Failure::TokenOver));
            };
            if sessions::device(tx, &look.account, record.device)?.is_none() {
                return Ok(Err(Failure::TokenOver));
            }
            let (held, wanted) = match look.at(&mut record, &credentials) {
                Ok((held, wanted, _)) => (held, wanted),
                Err(failure) => return Ok(Err(failure)),
            };
            let source = Source::new(&held.login, &credentials);
            let fresh = wanted.zip(source).map(|(mechanism, source)| {
                let account = look.account.as_str();
                record.issue(&look.key, account, mechanism, source, number, look.now_ms)
            });
            put(tx, &shelf, &key, &record)?;
            Ok(Ok((held, fresh)))
        });
        written.await.map_err(|_| Failure::Unavailable)?
    }

    /// Remembers an app that signed in otherwise than with a token, on this device; gives it a token where it wants
    /// one. Nothing is written where nothing is new.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub async fn know_agent(
        &self,
        account: &Address,
        device: DeviceId,
        agent: Agent,
        login: &Login,
        wants: Option<TokenMechanism>,
    ) -> Outcome<Option<FreshToken>> {
        let key = document_key(&agent.id);
        let (of, at) = (account.clone(), key.clone());
        let looked = self.node.read(move |node| {
            let document = node.store().document(&Owner::from(&of), AGENTS, &at)?;
            let credentials = read(node, &of)?.and_then(|b| Credentials::decode(&b).ok());
            Ok((stored(document.and_then(|d| d.value)), credentials))
        });
        let (known, credentials) = looked.await?;
        let same = known.is_some_and(|r| r.agent == agent && r.device == device);
        if same && wants.is_none() {
            return Ok(None);
        }
        let source = credentials.and_then(|c| Source::new(login, &c));
        let (number, now) = (self.node.clock().random(), self.now_ms());
        let (tokens, account) = (self.tokens.clone(), account.clone());
        let write = self.node.write(move |tx| {
            let shelf = Owner::from(&account);
            let document = tx.document(&shelf, AGENTS, &key)?;
            let known = stored(document.and_then(|d| d.value));
            let mut record = match known.filter(|r| r.device == device) {
                Some(known) => known,
                None => {
                    sweep(tx, &account)?;
                    Record::new(agent.clone(), device)
                }
            };
            record.agent = agent;
            let fresh = wants.zip(source).map(|(mechanism, source)| {
                record.issue(&tokens, account.as_str(), mechanism, source, number, now)
            });
            put(tx, &shelf, &key, &record)?;
            Ok(fresh)
        });
        write.await
    }

    /// The apps of an account that signed in with a user-agent id and were not signed out since.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn agents(&self, account: &Address) -> Outcome<Vec<KnownAgent>> {
        let (account, now) = (account.clone(), self.now_ms());
        let read = self.node.read(move |node| {
            let store = node.store();
            let shelf = Owner::from(&account);
            let documents = store.documents(&shelf, AGENTS, "", None, MOST)?;
            let records = documents.into_iter().filter_map(|d| stored(d.value));
            Ok(records
                .map(|record| KnownAgent {
                    device: record.device,
                    token: record.has_token(now),
                    agent: record.agent,
                })
                .collect())
        });
        read.await
    }

    /// A name that is the same for the same app of the same account, and from which nobody finds the app's id: for
    /// addresses that others see.
    pub fn agent_name(&self, account: &Address, agent: &Agent, what: &str) -> String {
        let text = format!("{} {what}", agent.id);
        self.tokens.name(account.as_str(), &text)
    }
}

/// Takes the documents away whose devices are gone.
fn sweep(tx: &mut Tx<'_>, account: &Address) -> Outcome<()> {
    let shelf = Owner::from(account);
    for document in tx.documents(&shelf, AGENTS, MOST)? {
        let device = stored(document.value).map(|r| r.device);
        let there = match device {
            Some(id) => sessions::device(tx, account, id)?.is_some(),
            None => false,
        };
        if !there {
            tx.put_document(&shelf, AGENTS, &document.key, Expect::Anything, None)?;
        }
    }
    Ok(())
}

fn stored(bytes: Option<Bytes>) -> Option<Record> {
    serde_json::from_slice(&bytes?).ok()
}

fn put(tx: &mut Tx<'_>, shelf: &Owner, key: &str, record: &Record) -> Outcome<()> {
    let Ok(bytes) = serde_json::to_vec(record) else {
        return Ok(());
    };
    tx.put_document(shelf, AGENTS, key, Expect::Anything, Some(bytes.into()))?;
    Ok(())
}

/// Ids are strangers' text; keys are not.
fn document_key(id: &str) -> String {
    let hash = Hash::Sha256.digest(id.as_bytes());
    hash.iter().take(16).map(|b| format!("{b:02x}")).collect()
}
