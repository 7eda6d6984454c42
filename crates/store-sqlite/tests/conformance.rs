//! The suite that every store passes, against a file with threads and against memory inline.

use std::ops::Deref;
use std::sync::Arc;

use posthaste_store_sqlite::{Options, SqliteStore};
use store::Store;

/// A store with threads, and the folder that it lives in.
struct Threaded {
    store: SqliteStore,
    _folder: tempfile::TempDir,
}

impl Deref for Threaded {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &self.store
    }
}

mod threads {
    use super::{Arc, Options, SqliteStore, Threaded};

    async fn open() -> Threaded {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            durable: false, // Tested apart; a sync for every commit of every case takes long.
            ..Options::file(
                folder.path().join("store.db"),
                Arc::new(|cause| panic!("{cause}")),
            )
        };
        Threaded {
            store: SqliteStore::open(options).expect("a new store"),
            _folder: folder,
        }
    }

    store::store_conformance!(open);
}

mod inline {
    use super::{Options, SqliteStore, Store};

    async fn open() -> Box<dyn Store> {
        Box::new(SqliteStore::open(Options::memory()).expect("a new store"))
    }

    store::store_conformance!(open);
}
