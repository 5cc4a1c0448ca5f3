//! Opening a store: what it holds, and whether this run may go on with the incarnation of the run before.

use std::fs::File;
use std::path::Path;

use crate::commit::Origin;
use crate::error::OpenError;
use crate::files::{self, Taken};
use crate::format::{FIRST_CHAIN, FRAMES_AT, HEAD_LEN, Head, Mark, VERSION, read_head};
use crate::image::Image;
use crate::journal::{Durability, Journal, Settings};
use crate::saved::Saved;
use crate::scan::{Contents, scan};

/// Why a run has an incarnation of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    /// There was no store.
    Created,
    /// The run before did not flush each commit and did not end cleanly: what it acknowledged last may be gone.
    Unclean,
    /// The store is a restored backup, or a copy of the file: another may have gone on from there.
    Copied,
}

/// What a store holds.
#[derive(Debug)]
pub struct Recovered {
    /// The incarnation of this run.
    pub incarnation: u64,
    /// Why it is not that of the run before.
    pub fresh: Option<Fresh>,
    /// Whether the run before ended cleanly.
    pub clean: bool,
    /// The counter of the last commit, 0 where there was no commit.
    pub counter: u64,
    /// Where the base comes from, if one was committed.
    pub base: Option<Origin>,
    /// Its image, if it was stored.
    pub image: Option<Image>,
    /// The digest of the files that were last loaded, also where a later base was put.
    pub files: Option<Vec<u8>>,
    /// How the files were when the base was put, if that is known.
    pub seen: Option<Vec<u8>>,
    /// The overlay: one record a key.
    pub overlay: Saved,
    /// The answers of requests: one record a key.
    pub answers: Saved,
    /// The bytes of a commit that was never acknowledged, which were cut off.
    pub dropped: u64,
}

/// A store that was read whole.
pub(crate) struct Found {
    /// Of the format.
    pub(crate) version: u32,
    pub(crate) mark: Mark,
    pub(crate) contents: Contents,
    pub(crate) file_len: u64,
    /// The system was not started again since the mark was written, so that nothing can be lost but by damage.
    pub(crate) same_boot: bool,
}

/// Reads and checks a whole store.
pub(crate) fn read(file: &File, path: &Path) -> Result<Found, OpenError> {
    let io = |error| OpenError::io(path, "read", error);
    let mut head = [0; HEAD_LEN];
    let read = files::read_at_most(file, &mut head, 0).map_err(io)?;
    if read == 0 {
        return Err(OpenError::Empty(path.to_owned()));
    }
    let version = match read_head(&head[..read]) {
        Head::Ours(version) => version,
        Head::Version(found) => return Err(OpenError::Version { path: path.to_owned(), found }),
        Head::Damaged => return Err(OpenError::damaged(path, 0, "its head is not whole")),
        Head::Foreign => return Err(OpenError::Foreign(path.to_owned())),
    };
    // before the length: where another process has the store open, both grow meanwhile
    let mark = files::read_mark(file).map_err(io)?;
    let file_len = file.metadata().map_err(io)?.len();
    if file_len < FRAMES_AT {
        return Err(OpenError::damaged(path, file_len, "it is cut short"));
    }
    let mark = mark.ok_or_else(|| OpenError::damaged(path, crate::format::MARKS[0], "neither mark is whole"))?;
    // the mark may be of a commit that a power cut took: only what was flushed must be there then
    let same_boot = mark.boot != 0 && mark.boot == files::boot();
    let trusted = if same_boot { mark.acknowledged } else { mark.flushed };
    let (contents, stop) = scan(file, file_len, (mark.acknowledged, mark.chain)).map_err(io)?;
    if contents.end < trusted {
        let (at, what) = stop.unwrap_or((contents.end, "it is cut short"));
        return Err(OpenError::damaged(path, at, what));
    }
    if !contents.met && contents.end >= mark.acknowledged {
        return Err(OpenError::damaged(path, mark.acknowledged, "the log is not that of its mark"));
    }
    Ok(Found { version, mark, contents, file_len, same_boot })
}

/// Makes an empty store, unless another process made one meanwhile.
fn create(path: &Path, settings: Settings) -> Result<Taken, OpenError> {
    let io = |error| OpenError::io(path, "create", error);
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir).map_err(|error| OpenError::io(dir, "create the directory", error))?;
    }
    let (file, beside) = files::make_beside(path)?;
    if path.exists() {
        return Err(OpenError::InUse(path.to_owned()));
    }
    let mark = Mark {
        turn: 1,
        incarnation: settings.incarnation,
        boot: files::boot(),
        file: files::number(&file).map_err(io)?,
        acknowledged: FRAMES_AT,
        flushed: FRAMES_AT,
        chain: FIRST_CHAIN,
        clean: true,
        each_flushed: settings.durability == Durability::Fsync,
    };
    let made = files::seal(&file, mark).and_then(|()| std::fs::rename(&beside, path));
    if let Err(error) = made.and_then(|()| files::sync_dir(path)) {
        // it may be there already, and is of no use to anyone
        let _ = std::fs::remove_file(&beside);
        return Err(io(error));
    }
    Ok(file)
}

impl Journal {
    /// Takes the store at `path` for this process, makes it where there is no file, and gives back what it holds.
    ///
    /// The directory is made if it is missing. A commit that was never acknowledged and is not whole is cut off.
    ///
    /// # Errors
    /// If it is in use, damaged, of another format or no store, and if the system refuses. Nothing was changed then.
    pub fn open(path: &Path, settings: Settings) -> Result<(Self, Recovered), OpenError> {
        let asked = path;
        let path = &*files::behind_links(asked)?;
        let io = |error| OpenError::io(path, "open", error);
        let (file, created) = match files::take(path)? {
            Some(file) => (file, false),
            None => (create(path, settings)?, true),
        };
        if !created {
            // of a compaction that a crash ended
            let _ = std::fs::remove_file(files::beside(path));
        }
        let Found { version, mark, contents, file_len, .. } = read(&file, path)?;
        let number = files::number(&file).map_err(io)?;
        let clean = mark.clean && file_len == mark.acknowledged;
        let fresh = if created {
            Some(Fresh::Created)
        } else if mark.file != number {
            Some(Fresh::Copied)
        } else if !clean && !mark.each_flushed {
            Some(Fresh::Unclean)
        } else {
            None
        };
        let incarnation = if fresh.is_some() { settings.incarnation } else { mark.incarnation };
        if version < VERSION {
            // before anything is written that a program of that version would take for damage
            files::write_head(&file).and_then(|()| file.sync_data()).map_err(io)?;
        }
        if contents.end < file_len {
            file.set_len(contents.end).map_err(io)?;
        }
        if contents.end != mark.flushed || contents.end < file_len {
            file.sync_data().map_err(io)?;
        }
        let next = Mark {
            turn: mark.turn + 1,
            incarnation,
            boot: files::boot(),
            file: number,
            acknowledged: contents.end,
            flushed: contents.end,
            chain: contents.chain,
            clean: false,
            each_flushed: settings.durability == Durability::Fsync,
        };
        files::write_marks(&file, next).map_err(io)?;
        file.sync_data().map_err(io)?;
        let mark = Mark { turn: next.turn + 1, ..next };
        let dropped = file_len - contents.end;
        let (recovered, mut journal) = Self::from_parts(path, file, settings, mark, contents).map_err(io)?;
        asked.clone_into(&mut journal.asked);
        Ok((journal, Recovered { fresh, clean, dropped, ..recovered }))
    }
}

/// What the contents of `file` give back.
pub(crate) fn recovered(file: &File, mark: Mark, contents: Contents) -> std::io::Result<Recovered> {
    let (base, image) = match contents.base {
        None => (None, None),
        Some((base, image)) => (Some(base.origin), base.image.zip(image)),
    };
    let image = match image {
        None => None,
        Some((id, at)) => Some(Image::new(file.try_clone()?, id.0, at)),
    };
    Ok(Recovered {
        incarnation: mark.incarnation,
        fresh: None,
        clean: mark.clean,
        counter: contents.counter,
        base,
        image,
        files: contents.files,
        seen: contents.seen,
        overlay: Saved::new(file.try_clone()?, contents.overlay.live(file)?),
        answers: Saved::new(file.try_clone()?, contents.answers.live(file)?),
        dropped: 0,
    })
}
