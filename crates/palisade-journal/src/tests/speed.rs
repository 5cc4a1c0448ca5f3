//! How fast it is. Measured in a release build:
//! `cargo test --release -p palisade-journal speed -- --ignored --nocapture --test-threads=1`.

use std::io::{self, Read};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::tests::settings;
use crate::{Base, Commit, Durability, Entry, Journal, Kind, Origin};

/// The processor's time that this process used.
fn used() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// The most memory that this process had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn key(n: u64) -> Vec<u8> {
    format!("Site::Device::\"device-{n:012}\"").into_bytes()
}

const VALUE: [u8; 205] = [b'x'; 205];

#[test]
#[ignore = "a measurement"]
fn many_callers_share_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = Journal::open(&dir.path().join("store"), settings(Durability::Fsync, 7)).unwrap();
    let (send, wait) = mpsc::channel::<(u64, mpsc::Sender<()>)>();
    let start = Instant::now();
    let callers: Vec<_> = (0..64_u64)
        .map(|caller| {
            let send = send.clone();
            std::thread::spawn(move || {
                let mut slowest = Duration::ZERO;
                for n in 0..200 {
                    let (done, wait) = mpsc::channel();
                    let sent = Instant::now();
                    send.send((caller * 1000 + n, done)).unwrap();
                    wait.recv().unwrap();
                    slowest = slowest.max(sent.elapsed());
                }
                slowest
            })
        })
        .collect();
    drop(send);
    let mut counter = 0;
    while let Ok(first) = wait.recv() {
        let waiting: Vec<_> = std::iter::once(first).chain(wait.try_iter()).collect();
        let commits: Vec<_> = waiting
            .iter()
            .map(|(n, _)| {
                counter += 1;
                let mut commit = Commit::new(counter);
                commit.put(Kind::Entity, &key(*n), &VALUE);
                commit
            })
            .collect();
        journal.append(&commits).unwrap();
        waiting.iter().for_each(|(_, done)| done.send(()).unwrap());
    }
    let seconds = start.elapsed().as_secs_f64();
    let slowest = callers.into_iter().map(|caller| caller.join().unwrap()).max().unwrap();
    let counts = journal.counts();
    let rate = counts.commits as f64 / seconds;
    println!("64 callers: {rate:.0} durable commits/s, {} flushes, slowest {slowest:?}", counts.flushes);
    assert!(rate > 1000.0);
}

#[test]
#[ignore = "a measurement"]
fn a_million_records_in_bulk_and_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut journal, _) = Journal::open(&path, settings(Durability::Fsync, 7)).unwrap();
    let start = Instant::now();
    for counter in 1..=100 {
        let mut commit = Commit::new(counter);
        for n in 0..10_000 {
            commit.put(Kind::Entity, &key(counter * 10_000 + n), &VALUE);
        }
        journal.append(&[commit]).unwrap();
    }
    let rate = 1e6 / start.elapsed().as_secs_f64();
    println!("bulk: {rate:.0} changes/s, {} MB", journal.counts().bytes >> 20);
    assert!(rate > 50_000.0);
    drop(journal);
    for how in ["as written", "compacted"] {
        let before = used();
        let (mut journal, recovered) = Journal::open(&path, settings(Durability::Fsync, 7)).unwrap();
        let opened = used();
        let mut bytes = 0;
        let each = |entry: Entry<'_>| {
            if let Entry::Overlay { key, .. } = entry {
                bytes += key.len();
            }
            io::Result::Ok(())
        };
        recovered.overlay.each(each).unwrap();
        println!(
            "{how}: opened in {:?} of CPU, read in {:?} more; peak {} MB",
            opened - before,
            used() - opened,
            peak() >> 20
        );
        assert_eq!((recovered.overlay.len(), bytes), (1_000_000, 1_000_000 * key(0).len()));
        // half of it once more, and compacted
        let mut commit = Commit::new(journal.counter() + 1);
        for n in 0..500_000 {
            commit.put(Kind::Entity, &key(10_000 + n), &VALUE);
        }
        journal.append(&[commit]).unwrap();
        let (start, before) = (Instant::now(), used());
        let mut compaction = journal.compaction().unwrap().unwrap();
        compaction.copy().unwrap();
        let (copied, cpu) = (start.elapsed(), used() - before);
        journal.finish_compaction(compaction).unwrap();
        println!("compacted: copied in {copied:?}, {cpu:?} of CPU, put in place in {:?}", start.elapsed() - copied);
    }
}

#[test]
#[ignore = "a measurement"]
fn an_image_is_streamed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let (mut journal, _) = Journal::open(&path, settings(Durability::Fsync, 7)).unwrap();
    let before = peak();
    let start = Instant::now();
    let image = journal.begin_image().unwrap();
    for n in 0..200 {
        journal.append_image(image, &vec![n as u8; 1 << 20]).unwrap();
    }
    let mut commit = Commit::new(1);
    commit.base(Base { origin: Origin::Put, image: Some(image) });
    journal.append(&[commit]).unwrap();
    println!("an image of 200 MB written in {:?}", start.elapsed());
    let mut compaction = journal.compaction().unwrap().unwrap();
    compaction.copy().unwrap();
    journal.finish_compaction(compaction).unwrap();
    drop(journal);
    let before_cpu = used();
    let (_journal, recovered) = Journal::open(&path, settings(Durability::Fsync, 7)).unwrap();
    let mut image = recovered.image.unwrap();
    let (mut piece, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        let n = image.read(&mut piece).unwrap();
        if n == 0 {
            break;
        }
        bytes += n;
    }
    println!("opened and read in {:?} of CPU; peak {} MB more", used() - before_cpu, (peak() - before) >> 20);
    assert_eq!(bytes, 200 << 20);
    assert!(peak() - before < 32 << 20);
}
