//! No change to a valid token leaves it valid.

use proptest::prelude::*;
use proptest::sample::Index;

use super::support::*;

/// Valid tokens of three kinds of keys, at a fixture without a cache of what was verified before.
static FIXTURE: std::sync::LazyLock<(Fixture, [String; 3])> = std::sync::LazyLock::new(|| {
    let fixture = Fixture::with_keys(&key_set(&[&RSA, &EC, &ED]), |_| {});
    let tokens = [&RSA, &EC, &ED].map(|signer| signer.token(&claims()));
    // with the cache warm: the cache must not make a forgery good either
    for token in &tokens {
        fixture.bearer(token).unwrap();
    }
    (fixture, tokens)
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn mutated_tokens_are_refused(
        which in 0..3_usize,
        edits in prop::collection::vec((any::<Index>(), 0..4_u8, "[A-Za-z0-9_.=-]"), 1..4),
    ) {
        let (fixture, tokens) = &*FIXTURE;
        let mut token: Vec<char> = tokens[which].chars().collect();
        for (place, edit, with) in edits {
            let at = place.index(token.len());
            let with = with.chars().next().unwrap();
            match edit {
                0 => token[at] = with,
                1 => token.insert(at, with),
                2 => {
                    token.remove(at);
                }
                _ => {
                    let other = (at + 1) % token.len();
                    token.swap(at, other);
                }
            }
        }
        let token: String = token.into_iter().collect();
        prop_assume!(!tokens.contains(&token));
        prop_assert!(fixture.bearer(&token).is_err());
    }

    #[test]
    fn nothing_panics(value in prop::collection::vec(any::<u8>(), 0..200), header in ".{0,60}", claims in ".{0,120}") {
        use crate::identity::{Credential, Peer};
        let (fixture, _) = &*FIXTURE;
        let ask = |value: &[u8]| {
            fixture.identity.authenticate(&fixture.rule, Credential::One(value), Peer::Header(value), at(NOW)).is_err()
        };
        prop_assert!(ask(&value));
        let token = format!("Bearer {}.{}.{}", encode(header), encode(claims), encode(&value));
        prop_assert!(ask(token.as_bytes()));
    }
}

#[test]
fn parts_of_two_tokens_do_not_make_one() {
    let (fixture, tokens) = &*FIXTURE;
    let parts: Vec<Vec<&str>> = tokens.iter().map(|token| token.split('.').collect()).collect();
    for (a, b, c) in (0..27).map(|i| (i / 9, i / 3 % 3, i % 3)) {
        let token = [parts[a][0], parts[b][1], parts[c][2]].join(".");
        // the three say the same, so the second parts are equal
        assert_eq!(fixture.bearer(&token).is_ok(), a == c, "{a} {b} {c}");
    }
}
