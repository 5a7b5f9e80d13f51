//! One MAC key per purpose.

use crate::mac::MacKey;

/// Keys for what names the store itself, and so cannot depend on its id.
#[derive(Debug)]
pub(super) struct RootKeys {
    pub(super) meta: MacKey,
    pub(super) mark: MacKey,
}

impl RootKeys {
    pub(super) fn derive(root: &[u8; 32]) -> Self {
        Self { meta: MacKey::derive(root, "meta", &[]), mark: MacKey::derive(root, "mark", &[]) }
    }
}

/// Keys for the rows. They are bound to the store's id, so that a row of another store under the same root key
/// fails here.
#[derive(Debug)]
pub(super) struct RowKeys {
    pub(super) journal: MacKey,
    pub(super) leaf: MacKey,
    pub(super) record: MacKey,
    pub(super) audit: MacKey,
    pub(super) references: MacKey,
    pub(super) removed: MacKey,
}

impl RowKeys {
    pub(super) fn derive(root: &[u8; 32], store_id: &[u8; 16]) -> Self {
        let key = |label| MacKey::derive(root, label, store_id);
        Self {
            journal: key("journal"),
            leaf: key("leaf"),
            record: key("record"),
            audit: key("audit"),
            references: key("references"),
            removed: key("removed"),
        }
    }
}
