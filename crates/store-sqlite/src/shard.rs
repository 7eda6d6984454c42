//! Who owns the shards: on this store, the one process that opened it last.

use domain::{Epoch, ShardId};

use crate::fault::Fault;
use crate::writer::Tx;

pub(crate) fn take(tx: &mut Tx<'_>) -> Result<Vec<(ShardId, Epoch)>, Fault> {
    let epoch = tx.memory.epochs.iter().max().map_or(1, |last| last + 1);
    tx.connection
        .prepare_cached("UPDATE shard SET epoch = ?1")?
        .execute([epoch])?;
    tx.memory.epochs.fill(epoch);
    Ok(ShardId::all().map(|shard| (shard, Epoch(epoch))).collect())
}
