//! Finds what lies in memory by a name that lies in it: an entry is one pointer, with no copy of the name.
//!
//! Hashes are keyed, so nobody outside can make names meet. A reader holds its shard for the length of
//! one look and one clone of the pointer.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::Arc;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::{Token, User, UserId};

/// Locks of one index: more than logins at once on any machine, so that a change rarely meets a reader. Each takes 128
/// bytes.
const SHARDS: usize = 1024;

/// Pointers by the name that lies in what they point to.
///
/// * `B`: hashes names; by SipHash under a key drawn for the index, unless they are keyed hashes already.
pub struct Index<H: Eq + Hash, B = RandomState>(DashMap<H, (), B>);

impl<H: Eq + Hash, B: BuildHasher + Clone + Default> Default for Index<H, B> {
    fn default() -> Self {
        Self(DashMap::with_hasher_and_shard_amount(B::default(), SHARDS))
    }
}

impl<H: Eq + Hash + Clone, B: BuildHasher + Clone> Index<H, B> {
    /// What has this name.
    pub fn get<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> Option<H>
    where
        H: Borrow<Q>,
    {
        self.0.get(name).map(|found| found.key().clone())
    }

    /// Adds a thing; one that had its name gives place to it, and no reader finds neither.
    pub fn put(&self, new: H) {
        match self.0.entry(new) {
            Entry::Occupied(known) => drop(known.replace_entry(())),
            Entry::Vacant(vacant) => drop(vacant.insert(())),
        }
    }

    /// Takes away what has this name.
    pub fn remove<Q: Eq + Hash + ?Sized>(&self, name: &Q) -> Option<H>
    where
        H: Borrow<Q>,
    {
        self.0.remove(name).map(|(held, ())| held)
    }

    /// How many things there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, in no order.
    pub fn all(&self) -> Vec<H> {
        self.0.iter().map(|entry| entry.key().clone()).collect()
    }

    /// Whether one of them is so.
    pub fn any(&self, is_so: impl Fn(&H) -> bool) -> bool {
        self.0.iter().any(|entry| is_so(entry.key()))
    }
}

impl<H: Eq + Hash, B: BuildHasher + Clone> fmt::Debug for Index<H, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Index({})", self.0.len())
    }
}

/// Pointers that are equal when the names are, and hash like them, as `Borrow` demands.
macro_rules! held_by {
    ($(#[$doc:meta] $held:ident($thing:ty) as $name:ty, $of:expr;)*) => {$(
        #[$doc]
        #[derive(Clone)]
        pub struct $held(pub Arc<$thing>);

        impl Borrow<$name> for $held {
            fn borrow(&self) -> &$name {
                let of: fn(&$thing) -> &$name = $of;
                of(&self.0)
            }
        }

        impl Hash for $held {
            fn hash<S: Hasher>(&self, state: &mut S) {
                Borrow::<$name>::borrow(self).hash(state);
            }
        }

        impl PartialEq for $held {
            fn eq(&self, other: &Self) -> bool {
                Borrow::<$name>::borrow(self) == Borrow::<$name>::borrow(other)
            }
        }

        impl Eq for $held {}
    )*};
}

held_by! {
    /// A user, found by the keyed hash of his account's name.
    ByName(User) as [u8; 16], |user| &user.key;
    /// A user, found by what names him for ever.
    ById(User) as UserId, |user| &user.id;
    /// A token, found by its serial number.
    BySerial(Token) as str, |token| &token.record.serial;
    /// A token, found by the fingerprint of its secret.
    BySecret(Token) as [u8; 16], |token| &token.fingerprint;
}
