//! The shelf inside a write: documents, and what goes with a device or an address.

use bytes::Bytes;

use super::{Expect, Tx};
use crate::account::Device;
use crate::address::Address;
use crate::document::{Bulk, Document, Owner, Tombstone};
use crate::ids::Seq;
use crate::refusal::{Outcome, Refusal};
use crate::store::Write;

/// Longest name of a document with its namespace, in bytes: an address is at most 3071 (RFC 7622 §3.1).
const KEY_BYTES: usize = 4096;

impl Tx<'_> {
    /// A document; tombstones are returned too.
    pub fn document(
        &mut self,
        owner: &Owner,
        namespace: &str,
        key: &str,
    ) -> Outcome<Option<Document>> {
        let index = (owner.clone(), namespace.to_owned(), key.to_owned());
        if let Some(document) = self.documents.get(&index) {
            return Ok(Some(document.clone()));
        }
        Ok(self.store.document(owner, namespace, key)?)
    }

    /// Documents of a namespace without tombstones, in order of key, this batch's writes included; at most `limit`.
    pub fn documents(
        &mut self,
        owner: &Owner,
        namespace: &str,
        limit: usize,
    ) -> Outcome<Vec<Document>> {
        let mut found: std::collections::BTreeMap<String, Document> = self
            .store
            .documents(owner, namespace, "", None, limit)?
            .into_iter()
            .map(|d| (d.key.clone(), d))
            .collect();
        let here = self.documents.iter();
        for ((_, _, key), document) in here.filter(|((o, n, _), _)| o == owner && n == namespace) {
            found.insert(key.clone(), document.clone());
        }
        let there = found.into_values().filter(|d| d.value.is_some());
        Ok(there.take(limit).collect())
    }

    /// How much stands in a namespace, this batch's writes included.
    pub fn count_documents(&mut self, owner: &Owner, namespace: &str) -> Outcome<Bulk> {
        let mut bulk = self.store.count_documents(owner, namespace)?;
        let here = self.documents.iter();
        for ((_, _, key), now) in here.filter(|((o, n, _), _)| o == owner && n == namespace) {
            if let Some(before) = self.store.document(owner, namespace, key)? {
                bulk = bulk.without(&before);
            }
            bulk = bulk.with(now);
        }
        Ok(bulk)
    }

    /// Writes a document if `expect` holds; `None` deletes it. Returns its version.
    pub fn put_document(
        &mut self,
        owner: &Owner,
        namespace: &str,
        key: &str,
        expect: Expect,
        value: Option<Bytes>,
    ) -> Outcome<Seq> {
        if expect != Expect::Anything {
            let now = self.document(owner, namespace, key)?;
            let there = now
                .as_ref()
                .filter(|d| d.value.is_some())
                .map(|d| d.version);
            let fits = match expect {
                Expect::Anything => true,
                Expect::Absent => there.is_none(),
                Expect::Version(version) => there == Some(version),
            };
            if !fits {
                return Err(Refusal::Conflict);
            }
        }
        let long = value
            .as_ref()
            .is_some_and(|v| v.len() > self.limits().document_bytes);
        if long || key.len() + namespace.len() > KEY_BYTES {
            return Err(Refusal::TooLarge);
        }
        let version = self.next_seq();
        self.writes.push(Write::Document {
            owner: owner.clone(),
            namespace: namespace.into(),
            key: key.into(),
            version,
            value: value.clone(),
        });
        self.documents.insert(
            (owner.clone(), namespace.into(), key.into()),
            Document {
                key: key.into(),
                version,
                value,
            },
        );
        Ok(version)
    }

    /// Documents whose key starts with `prefix`, in order of key, this batch's writes included; at most `limit`.
    pub fn documents_with(
        &mut self,
        owner: &Owner,
        namespace: &str,
        prefix: &str,
        limit: usize,
    ) -> Outcome<Vec<Document>> {
        let here = self.documents.iter();
        let here: Vec<Document> = here
            .filter(|((o, n, key), _)| o == owner && n == namespace && key.starts_with(prefix))
            .map(|(_, document)| document.clone())
            .collect();
        // Some of those that are read may be gone in this batch.
        let most = limit.saturating_add(here.len());
        let there = self.store.documents(owner, namespace, prefix, None, most)?;
        let mut found: std::collections::BTreeMap<String, Document> =
            there.into_iter().map(|d| (d.key.clone(), d)).collect();
        found.extend(here.into_iter().map(|d| (d.key.clone(), d)));
        let there = found.into_values().filter(|d| d.value.is_some());
        Ok(there.take(limit).collect())
    }

    /// Deletes a document and leaves no tombstone: for namespaces that nobody reads by what changed in them
    /// ([`Store::documents_since`]).
    pub fn erase_document(&mut self, owner: &Owner, namespace: &str, key: &str) {
        let version = self.next_seq();
        self.writes.push(Write::Document {
            owner: owner.clone(),
            namespace: namespace.into(),
            key: key.into(),
            version,
            value: None,
        });
        self.writes.push(Write::ForgetTombstone(Tombstone {
            owner: owner.clone(),
            namespace: namespace.into(),
            key: key.into(),
            version,
        }));
        self.documents.insert(
            (owner.clone(), namespace.into(), key.into()),
            Document {
                key: key.into(),
                version,
                value: None,
            },
        );
    }

    /// Deletes a device, and with it what protocols keep for it ([`Node::when_devices_go`](crate::Node::when_devices_go)).
    pub fn remove_device(&mut self, device: &Device) {
        self.write(Write::RemoveDevice(device.id));
        let shared = self.shared;
        for parting in shared.partings.read().iter() {
            parting(self, device);
        }
    }

    /// What stood on one shelf stands on another, or with `None` nowhere any more: documents and references to blobs.
    pub(crate) fn move_shelf(&mut self, from: &Address, to: Option<&Address>) {
        let gone = Owner::from(to.unwrap_or(from));
        self.documents.retain(|(owner, _, _), _| *owner != gone);
        if let Some(to) = to {
            let (old, new) = (Owner::from(from), Owner::from(to));
            let documents = std::mem::take(&mut self.documents).into_iter();
            self.documents = documents
                .map(|((owner, namespace, key), document)| {
                    let owner = if owner == old { new.clone() } else { owner };
                    ((owner, namespace, key), document)
                })
                .collect();
        }
        self.write(Write::MoveShelf {
            from: from.clone(),
            to: to.cloned(),
        });
    }
}
