//! API tokens: secrets that stand for an entity, known here by their SHA-256 alone.
//!
//! The file is one JSON object by hash, or an object a line with its `sha256`. It is read whole or
//! refused whole; an empty one is refused, since it may be one that is cut: `{}` is no tokens. What a token may do, and until when, is for the policies and its entity to say.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::identity::caller::{Caller, Written};
use palisade_engine::model::near::hint_of_reader;
use palisade_engine::model::{Uid, Value};

/// The largest file that is read.
pub(super) const MAX_FILE_BYTES: usize = 256 << 20;

/// How many problems of one file are reported.
const MAX_PROBLEMS: usize = 10;

type Hash = [u8; 32];

/// The tokens of one file.
#[derive(Default)]
pub(super) struct ApiTokens {
    callers: HashMap<Hash, Arc<Caller>>,
}

/// A token as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    sha256: Option<String>,
    /// The token's entity, `Fleet::ApiToken::"id"`.
    token: String,
    /// Whose it is.
    user: Option<String>,
    kind: Kind,
    method: Option<String>,
    mfa: Option<bool>,
}

/// As `ApiToken.kind` in the schema.
#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Speaks as its user.
    UserApi,
    /// Speaks for itself.
    CloudApi,
    /// A login that the token stands for; speaks for itself.
    Session,
}

impl ApiTokens {
    /// Reads a file.
    ///
    /// # Errors
    /// Every problem found, up to a few, if there is any.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Vec<String>> {
        let mut tokens = Self::default();
        let mut problems = Vec::new();
        let text = std::str::from_utf8(bytes).map_err(|_| vec!["it is not UTF-8".to_owned()])?;
        if text.trim().is_empty() {
            return Err(vec!["it is empty; write `{}` if there are no tokens".to_owned()]);
        }
        if let Ok(Value::Object(members)) = Value::parse(bytes)
            && !members.iter().any(|(key, _)| key == "sha256")
        {
            for (hash, entry) in members {
                // the place is the hash's beginning: enough to find it by, and useless to an attacker
                let place = format!("`{}…`", hash.chars().take(8).collect::<String>());
                tokens.add(&place, serde_json::from_value(entry.to_json()), Some(&hash), &mut problems);
            }
        } else {
            for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                // serde_json would take the last of two equal keys; the strict reader takes neither
                let entry = Value::parse(line.as_bytes()).and_then(|value| serde_json::from_value(value.to_json()));
                tokens.add(&format!("line {}", i + 1), entry, None, &mut problems);
                if problems.len() >= MAX_PROBLEMS {
                    break;
                }
            }
        }
        problems.truncate(MAX_PROBLEMS);
        if problems.is_empty() { Ok(tokens) } else { Err(problems) }
    }

    fn add(
        &mut self,
        place: &str,
        entry: Result<Entry, serde_json::Error>,
        hash: Option<&str>,
        problems: &mut Vec<String>,
    ) {
        let added = entry.map_err(|error| what_is_wrong(&error)).and_then(|entry| {
            let hash = match (hash, entry.sha256.as_deref()) {
                (Some(hash), None) | (None, Some(hash)) => hash,
                (None, None) => return Err("it lacks `sha256`".to_owned()),
                (Some(_), Some(_)) => return Err("it has its hash twice".to_owned()),
            };
            let hash = read_hash(hash).ok_or("its hash is not 64 hexadecimal digits")?;
            match self.callers.insert(hash, Arc::new(entry.caller()?)) {
                None => Ok(()),
                Some(_) => Err("its hash is listed twice".to_owned()),
            }
        });
        if let Err(problem) = added {
            problems.push(format!("{place}: {problem}"));
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.callers.len()
    }

    /// How many of `before` are not among them.
    pub(super) fn lost(&self, before: &Self) -> usize {
        before.callers.keys().filter(|hash| !self.callers.contains_key(*hash)).count()
    }

    /// Who calls with `token`.
    pub(super) fn find(&self, token: &str) -> Option<&Arc<Caller>> {
        let hash: Hash = Sha256::digest(token.as_bytes()).into();
        // the map is searched by a keyed hash of the SHA-256, whose bytes no client can choose without the
        // token; the last comparison takes the same time wherever two hashes differ
        let (known, caller) = self.callers.get_key_value(&hash)?;
        let difference = known.iter().zip(&hash).fold(0, |difference, (a, b)| difference | (a ^ b));
        (std::hint::black_box(difference) == 0).then_some(caller)
    }
}

impl Entry {
    fn caller(self) -> Result<Caller, String> {
        let uid = |text: &str, name: &str| {
            // not the reader's error, which would quote what may be the secret itself
            let wrong = |_| format!("its `{name}` is not an entity uid such as `Fleet::ApiToken::\"id\"`");
            Uid::parse(text).map(Uid::into_owned).map_err(wrong)
        };
        let token = uid(&self.token, "token")?;
        let user = self.user.as_deref().map(|text| uid(text, "user")).transpose()?;
        if self.kind != Kind::Session && (self.method.is_some() || self.mfa.is_some()) {
            // these are exempt from a second factor by their method, so it is not the file's to choose
            return Err("only a token of the kind `session` has a `method` and `mfa` of its own".to_owned());
        }
        let (principal, method) = match self.kind {
            Kind::UserApi => (user.ok_or("a token of the kind `user_api` needs its `user`")?, "api_token"),
            Kind::CloudApi => (token.clone(), "cloud_api"),
            Kind::Session => (token.clone(), self.method.as_deref().unwrap_or("password")),
        };
        Ok(Caller {
            principal,
            method: method.into(),
            mfa: self.mfa.unwrap_or(false),
            token: Some(token),
            issuer: None,
            claims: Value::empty_object(),
            expires: None,
            written: Written::default(),
        })
    }
}

/// The reader's words, without what the file holds: the token itself may have been written into it.
fn what_is_wrong(error: &serde_json::Error) -> String {
    let said = error.to_string();
    match said.split_once("missing field ") {
        Some((_, field)) => format!("it lacks {}", field.split(" at ").next().unwrap_or(field)),
        None => {
            const WHAT: &str =
                "`sha256`, `token`, `kind` (`user_api`, `cloud_api` or `session`), `user`, `method` and `mfa`";
            // of a name nothing is quoted but what it was meant to be: it may be the secret itself, put at a wrong place
            let meant = hint_of_reader(&said);
            let what = ["unknown field", "unknown variant", "duplicate"].into_iter().find(|what| said.contains(what));
            match what {
                Some("unknown field") => format!("it has a member that is not one of {WHAT}{meant}"),
                Some("unknown variant") => format!("its `kind` is not `user_api`, `cloud_api` or `session`{meant}"),
                Some(_) => "it has a member twice".to_owned(),
                None => format!("it is not an object of {WHAT}"),
            }
        }
    }
}

fn read_hash(text: &str) -> Option<Hash> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut hash = Hash::default();
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| char::from(c).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(token: &str) -> String {
        Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn shown(tokens: &ApiTokens, token: &str) -> Option<String> {
        let caller = tokens.find(token)?;
        let entity = caller.token.as_ref().map(ToString::to_string).unwrap_or_default();
        Some(format!("{} {} {} {entity}", caller.principal, caller.method, caller.mfa))
    }

    #[test]
    fn both_forms_and_all_kinds() {
        let user = r#""token":"Fleet::ApiToken::\"t1\"","kind":"user_api","user":"Fleet::User::\"alice\"""#;
        let cloud = r#""token":"Fleet::ApiToken::\"c1\"","kind":"cloud_api""#;
        let session = r#""token":"Fleet::ApiToken::\"s1\"","kind":"session","method":"sso","mfa":true"#;
        let [a, b, c] = ["a-secret", "b-secret", "c-secret"].map(hash);
        let lines = format!(
            "{{\"sha256\":\"{a}\",{user}}}\n\n{{\"sha256\":\"{}\",{cloud}}}\n{{\"sha256\":\"{c}\",{session}}}",
            b.to_uppercase()
        );
        let map = format!("{{\"{a}\":{{{user}}},\"{b}\":{{{cloud}}},\"{c}\":{{{session}}}}}");
        for text in [&lines, &map] {
            let tokens = ApiTokens::parse(text.as_bytes()).unwrap();
            for (token, expected) in [
                ("a-secret", Some(r#"Fleet::User::"alice" api_token false Fleet::ApiToken::"t1""#)),
                ("b-secret", Some(r#"Fleet::ApiToken::"c1" cloud_api false Fleet::ApiToken::"c1""#)),
                ("c-secret", Some(r#"Fleet::ApiToken::"s1" sso true Fleet::ApiToken::"s1""#)),
                ("d-secret", None),
                // the hash is no token
                (&a, None),
                ("", None),
            ] {
                assert_eq!(shown(&tokens, token).as_deref(), expected, "{token}");
            }
        }
        assert_eq!(ApiTokens::parse(b" {}\n").map(|tokens| tokens.len()).ok(), Some(0));
        for empty in ["", "\n"] {
            let problems = ApiTokens::parse(empty.as_bytes()).err().unwrap();
            assert!(problems[0].contains("it is empty"), "{problems:?}");
        }
    }

    #[test]
    fn a_bad_file_is_refused_whole_and_quoted_nowhere() {
        let good = format!(r#"{{"sha256":"{}","token":"T::\"a\"","kind":"cloud_api"}}"#, hash("x"));
        for (line, expected) in [
            ("canary", "line 2: it is not an object"),
            ("[1]", "line 2: it is not an object"),
            (&good, "line 2: its hash is listed twice"),
            (r#"{"sha256":"canary","token":"T::\"a\"","kind":"cloud_api"}"#, "not 64 hexadecimal digits"),
            (r#"{"token":"T::\"a\"","kind":"cloud_api"}"#, "it lacks `sha256`"),
            (r#"{"sha256":"canary","kind":"cloud_api"}"#, "it lacks `token`"),
            (&format!(r#"{{"sha256":"{}","token":"T::\"a\"","kind":"user_api"}}"#, hash("y")), "needs its `user`"),
            (&format!(r#"{{"sha256":"{}","token":"T","kind":"cloud_api"}}"#, hash("y")), "is not an entity uid"),
            (
                &format!(r#"{{"sha256":"{}","token":"T::\"a\"","kind":"canary"}}"#, hash("y")),
                "its `kind` is not `user_api`, `cloud_api` or `session`",
            ),
            (
                &format!(r#"{{"sha256":"{}","token":"T::\"a\"","kind":"cloudapi"}}"#, hash("y")),
                "did you mean `cloud_api`?",
            ),
            (r#"{"canary":"canary"}"#, "it has a member that is not one of `sha256`, `token`"),
            (&format!(r#"{{"sha256":"{}","tokn":"T::\"a\"","kind":"cloud_api"}}"#, hash("y")), "did you mean `token`?"),
            (
                &format!(r#"{{"sha256":"{}","token":"T::\"a\"","kind":"cloud_api","method":"password"}}"#, hash("y")),
                "only a token of the kind `session`",
            ),
            (
                &format!(r#"{{"sha256":"{}","token":"T::\"a\"","kind":"cloud_api","kind":"session"}}"#, hash("y")),
                "it has a member twice",
            ),
            (
                &format!(r#"{{"sha256":"{}","token":"T::\"a\"","kind":"cloud_api","secret":"canary"}}"#, hash("y")),
                "it has a member that is not one of",
            ),
        ] {
            let problems = ApiTokens::parse(format!("{good}\n{line}").as_bytes()).err().unwrap().join("\n");
            assert!(problems.contains(expected) && !problems.contains("canary"), "{line}: {problems}");
        }
        assert!(ApiTokens::parse(b"\xff").is_err());
    }
}
