//! What the log says of ordinary events.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::process::{Process, workspace};

/// Puts a version of the policies there as the kubelet does: a directory of its own, and `..data` exchanged for a link to it.
fn mount(policies: &Path, version: &str, user: &str) {
    fs::create_dir(policies.join(version)).unwrap();
    let text = format!("@id(\"{user}\")\npermit (principal == User::\"{user}\", action, resource);\n");
    fs::write(policies.join(version).join("p.cedar"), text).unwrap();
    symlink(version, policies.join("..data_tmp")).unwrap();
    fs::rename(policies.join("..data_tmp"), policies.join("..data")).unwrap();
}

#[test]
fn the_start_says_what_it_waits_for_and_an_exchanged_volume_logs_the_reload_alone() {
    let dir = workspace();
    let policies = dir.path().join("policies");
    fs::remove_file(policies.join("p.cedar")).unwrap();
    mount(&policies, "..1", "alice");
    symlink(Path::new("..data").join("p.cedar"), policies.join("p.cedar")).unwrap();

    let process = Process::start(dir, &[]);
    let log = process.log();
    assert!(log.contains("INFO waiting for policies and entities to be loaded"), "{log}");
    let loads = |process: &Process| process.log().matches("policies and entities loaded").count();
    process.until("loaded", |process| loads(process) == 1);
    let known = process.log().lines().count();

    mount(&policies, "..2", "bob");
    fs::remove_dir_all(policies.join("..1")).unwrap();
    process.until("loaded again", |process| loads(process) == 2);
    // what the watching library says comes with the next looks
    thread::sleep(Duration::from_millis(500));
    let log = process.log();
    let new: Vec<&str> = log.lines().skip(known).collect();
    assert!(matches!(&new[..], [one] if one.contains("INFO policies and entities loaded")), "{new:#?}");
}

#[test]
fn a_repair_is_a_line_for_information() {
    let process = Process::start(workspace(), &[]);
    let path = process.path("policies/p.cedar");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, "permit (").unwrap();
    process.until("refused", |process| process.log().contains("change rejected; still serving revision"));
    fs::write(&path, good).unwrap();
    process.until("repaired", |process| process.log().contains("INFO repaired: what is there now is what serves"));
}
