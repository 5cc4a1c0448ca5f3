//! The records of a large transaction go to the store ahead of its commit, piece by piece, so that no change waits for them.
//!
//! Only the writer's thread writes, and a piece takes it a millisecond. They are flushed where the transaction was made, so
//! that the flush of a small change finds little to do. Without the commit that names them they are nothing.

use std::fs::File;
use std::sync::mpsc;

use crate::state::Rejected;
use crate::state::beside::Builder;
use crate::state::store::Store;
use crate::state::writer::{Order, Writer};
use palisade_journal::{AheadId, Commit};

/// Commits with fewer bytes are written as one.
const LARGE: usize = 2 << 20;

/// So many bytes are not on the disk at a time, at most: a flush waits for them.
const UNFLUSHED: usize = 4 << 20;

/// What the writer is asked to do with records that go ahead.
pub(super) enum Ahead {
    /// Begin.
    Begin(mpsc::SyncSender<Result<AheadId, String>>),
    /// Write a piece; gives a handle to flush it with, where that is worth it.
    Piece(AheadId, Vec<u8>, mpsc::SyncSender<Result<Option<File>, String>>),
    /// Give them up.
    Drop(AheadId),
}

impl Builder {
    /// Asks the writer for something, and waits for it.
    fn ask<T>(&self, order: impl FnOnce(mpsc::SyncSender<Result<T, String>>) -> Ahead) -> Result<T, Rejected> {
        let (done, answer) = mpsc::sync_channel(1);
        self.hand_over(Order::Ahead(order(done)));
        answer.recv().map_err(|_| Rejected::Stopped)?.map_err(Rejected::Store)
    }

    /// Writes the records of a commit ahead, if they are many.
    pub(super) fn write_ahead(
        &self,
        commit: &mut Commit,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<AheadId>, Rejected> {
        if commit.bytes() < LARGE {
            return Ok(None);
        }
        let id = self.ask(Ahead::Begin)?;
        let written = self.write_pieces(id, commit, unwanted);
        if written.is_err() {
            self.give_up_ahead(id);
        }
        written.map(|()| Some(id))
    }

    fn write_pieces(
        &self,
        id: AheadId,
        commit: &mut Commit,
        unwanted: &(dyn Fn() -> bool + Sync),
    ) -> Result<(), Rejected> {
        let mut records = commit.take_records();
        let (mut unflushed, mut handle) = (0, None);
        // what fails here fails again for the writer, whose commit is refused then
        let flush = |handle: Option<File>| match handle.map(|file| file.sync_data()) {
            Some(Err(error)) => Err(Rejected::Store(error.to_string())),
            _ => Ok(()),
        };
        while let Some(piece) = records.piece() {
            if unwanted() {
                return Err(Rejected::Abandoned);
            }
            handle = self.ask(|done| Ahead::Piece(id, piece.to_vec(), done))?;
            unflushed += piece.len();
            if unflushed >= UNFLUSHED {
                unflushed = 0;
                flush(handle.take())?;
            }
        }
        flush(handle)?;
        commit.behind(id);
        Ok(())
    }

    /// Has records given up that were written ahead.
    pub(super) fn give_up_ahead(&self, id: AheadId) {
        self.hand_over(Order::Ahead(Ahead::Drop(id)));
    }
}

impl Writer {
    pub(super) fn ahead(&mut self, order: Ahead) {
        let closed = || "the store is closed".to_owned();
        let store = self.store.as_mut().ok_or_else(closed);
        // the thread that asked may be gone
        match order {
            Ahead::Begin(done) => drop(done.send(store.and_then(Store::begin_ahead))),
            Ahead::Piece(id, piece, done) => {
                drop(done.send(store.and_then(|store| store.append_ahead(id, &piece))));
            }
            Ahead::Drop(id) => {
                if let Ok(store) = store {
                    store.drop_ahead(id);
                }
            }
        }
    }
}
