//! The heads of the parts of a form, as any known reader might find them.
//!
//! Readers differ in where a head begins and ends, in which header names a part, and in how a name is written. So no
//! part is read here: a head is the widest stretch that any reader takes for one, and every word in it may be the name.

use std::cell::RefCell;

use memchr::memmem;

use crate::asked::{Asked, Hits};
use crate::query::lenient;

/// What ends a head to every reader.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Whether a word in the head of a part is, to some reader, a name that `is_one` knows, or cannot be read.
pub(super) fn names_one(content_type: &[u8], body: &[u8], is_one: &dyn Fn(&str) -> bool) -> bool {
    words(content_type, body, &|word, _| is_one(word))
}

/// The names that some reader finds as those of parts; `None` if one cannot be read, which may be any.
pub(super) fn named(content_type: &[u8], body: &[u8], asked: &Asked) -> Option<Hits> {
    let found = RefCell::new(Hits::default());
    // the head says `name=` of every part
    let note = |word: &str, Key(key): Key| {
        if !key {
            found.borrow_mut().note(asked, word, 0);
        }
        false
    };
    (!words(content_type, body, &note)).then(|| found.into_inner())
}

/// Whether a word is what stands before a `=` or a `:`, and is no value.
#[derive(Debug, Clone, Copy)]
struct Key(bool);

fn words(content_type: &[u8], body: &[u8], is_one: &dyn Fn(&str, Key) -> bool) -> bool {
    let mark = mark(content_type);
    let found = heads(&mark, body);
    // parts within a part have a boundary of their own
    let nested = found.iter().any(|head| contains_word(head, b"boundary"));
    let found = if nested { heads(b"--", body) } else { found };
    found.into_iter().any(|head| word_is(head, is_one))
}

/// How each line begins, to every reader, that stands between two parts: the dashes, and of the boundary as much as all
/// readers take. Quotes, blanks and escapes are taken differently, and so is a second boundary.
fn mark(content_type: &[u8]) -> Vec<u8> {
    let lower = content_type.to_ascii_lowercase();
    let mut found = memmem::find_iter(&lower, b"boundary");
    let (at, other) = (found.next(), found.next());
    let mut mark = b"--".to_vec();
    let (Some(at), None) = (at, other) else { return mark };
    let Some(value) = content_type[at + b"boundary".len()..].trim_ascii_start().strip_prefix(b"=") else { return mark };
    let value = value.trim_ascii_start();
    let value = value.strip_prefix(b"\"").unwrap_or(value);
    mark.extend(value.iter().take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    mark
}

/// The stretches that may be heads: from each line with the mark to the end that every reader sees.
///
/// Empty lines before a head do not end it: some readers skip them.
fn heads<'a>(mark: &[u8], body: &'a [u8]) -> Vec<&'a [u8]> {
    let finder = memmem::Finder::new(mark);
    let mut heads = Vec::new();
    // what stands first may be a head without a line before it
    let mut begun = true;
    let mut rest = Some(body);
    while let Some(text) = rest {
        let end = memmem::find(text, HEAD_END);
        let piece = &text[..end.unwrap_or(text.len())];
        rest = end.map(|end| &text[end + HEAD_END.len()..]);
        let first = if begun { Some(0) } else { finder.find(piece).map(|at| at + mark.len()) };
        if let Some(first) = first {
            heads.push(&piece[first..]);
        }
        // behind the last such line, is there anything but empty lines?
        begun = match memmem::rfind(piece, mark) {
            Some(last) => {
                let behind = &piece[last..];
                let line = behind.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(behind.len());
                behind[line..].trim_ascii().is_empty()
            }
            None => begun && piece.trim_ascii().is_empty(),
        };
    }
    heads
}

/// Whether a word of the head is one, however it is written.
fn word_is(head: &[u8], is_one: &dyn Fn(&str, Key) -> bool) -> bool {
    let text = String::from_utf8_lossy(head);
    // mail's encoded words, a parameter in pieces, an encoding that hides ASCII: who decodes these finds anything
    if text.contains("=?") || is_in_pieces(&text) {
        return true;
    }
    let decoded = lenient(&text);
    if decoded.contains('\0') {
        return true;
    }
    let bare = decoded.replace('\\', "");
    // a line that goes on is joined with a blank or without
    let joined: String = bare.chars().filter(|c| !c.is_whitespace()).collect();
    let apart = |c: char| matches!(c, '=' | ';' | '"' | '\'' | ',' | ':' | '<' | '>' | '(' | ')' | '\r' | '\n');
    [&text, decoded.as_str(), bare.as_str(), joined.as_str()].into_iter().any(|text| {
        let mut before = ';';
        text.split_inclusive(apart).any(|piece| {
            let word = piece.trim_end_matches(apart);
            let after = piece[word.len()..].chars().next();
            let key = Key(before != '=' && matches!(after, Some('=' | ':')));
            before = after.unwrap_or(before);
            is_one(word, key) || word.split_whitespace().any(|word| is_one(word, key))
        })
    })
}

/// Whether a name is in pieces (`name*0=`), or in an encoding (`name*=utf-16''`) in which ASCII is not itself.
fn is_in_pieces(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.match_indices('*').any(|(at, _)| {
        let before = lower[..at].trim_end();
        let after = lower[at + 1..].trim_start();
        let named = before.ends_with("name") && !before.ends_with("filename");
        let encoding = after.strip_prefix('=').map(|value| value.trim_start().trim_start_matches('"'));
        let plain =
            encoding.is_some_and(|value| ["utf-8'", "iso-8859-1'", "us-ascii'"].iter().any(|it| value.starts_with(it)));
        named && !plain
    })
}

fn contains_word(text: &[u8], word: &[u8]) -> bool {
    memmem::find(&text.to_ascii_lowercase(), word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content_type: &str, body: &str) -> bool {
        names_one(content_type.as_bytes(), body.as_bytes(), &|word| word.trim() == "_method")
    }

    #[test]
    fn the_names_of_parts_are_distinguished_from_the_words_around() {
        let names = ["name", "filename", "id", "content_type"];
        for (head, expected) in [
            ("Content-Disposition: form-data; name=\"x\"", &[][..]),
            ("Content-Disposition: form-data;\r\n name=\"x\"; filename=\"y\"\r\nContent-Type: a/b", &[]),
            ("Content-Disposition: form-data; name=\"id\"", &["id"]),
            ("Content-Disposition: form-data; name=id; filename=a", &["id"]),
            ("Content-Disposition: form-data; name=\"[ID]\"", &["id"]),
            ("Content-Disposition: form-data; name=\"name\"", &["name"]),
            ("Content-Disposition: form-data; NAME = filename", &["filename"]),
            ("Content-Disposition: form-data; name*=utf-8''i%64", &["id"]),
            ("Content-ID: name", &["name"]),
            ("Content-Disposition: form-data; name=id:x", &["id"]),
            ("Content-Disposition: form-data; name*0=i; name*1=d", &names),
        ] {
            let body = format!("--x\r\n{head}\r\n\r\nid\r\n--x--");
            let asked = Asked::new(names.into_iter());
            let found = named(b"multipart/form-data; boundary=x", body.as_bytes(), &asked);
            for name in names {
                let is_one = found.as_ref().is_none_or(|found| found.any(&asked, name, &|_| true));
                assert_eq!(is_one, expected.contains(&name), "{head} {name}");
            }
        }
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        for head in [
            "Content-Disposition: form-data; name=\"_method\"",
            "content-disposition:form-data;name=_method",
            "CONTENT-DISPOSITION : form-data; NAME = '_method'",
            "Content-Disposition: form-data;\r\n name=\"_method\"",
            "Content-Disposition:\r\n\tform-data; name=\r\n \"_method\"",
            "Content-Disposition: form-data; name=\"_me\r\n thod\"",
            "Content-Type: text/plain\r\nContent-ID: _method",
            "Content-ID: <_method>",
            "X: Content-Disposition: form-data; name=\"_method\"",
            "Content-Disposition: form-data; name=\"\\_method\"",
            "Content-Disposition: form-data; name=\"_m\\ethod\"",
            "Content-Disposition: form-data; name*=utf-8''%5Fmethod",
            "Content-Disposition: form-data; name*=UTF-8'en'_method",
            "Content-Disposition: form-data; name*=utf-16be''%00_%00m",
            "Content-Disposition: form-data; name*=ibm037''%6D",
            "Content-Disposition: form-data; name*0=\"_me\"; name*1=\"thod\"",
            "Content-Disposition: form-data; name*0*=utf-8''_me; name*1=thod",
            "Content-Disposition: form-data; name=\"=?utf-8?B?X21ldGhvZA==?=\"",
            "X: a\rContent-Disposition: form-data; name=\"_method\"",
            "X: a\nContent-Disposition: form-data; name=\"_method\"",
            "Content-Disposition: form-data; filename=a; name=_method x",
            "Content-Disposition: form-data; name=\"a\\\"; name=_method\"",
            "Content-Type: _method",
            "\r\n\r\nContent-Disposition: form-data; name=_method",
            " \r\n\r\nContent-Disposition: form-data; name=_method",
            "\r\n\r\n\r\n\r\n\r\n\r\nContent-Disposition: form-data; name=_method",
            "\r\n\r\n \r\n\r\n\t\r\n\r\nContent-Disposition: form-data; name=_method",
        ] {
            let plain = "Content-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
            for (kind, line) in [
                ("multipart/form-data; boundary=xy", "--xy"),
                ("multipart/form-data; boundary=\"xy\"", "--xy"),
                ("multipart/form-data; Boundary = \"xy z\"", "--xy z"),
                ("multipart/form-data; boundary=\"x;y\"", "--x;y"),
                ("multipart/form-data; boundary=xy; charset=utf-8", "--xy"),
                ("multipart/form-data; boundary=xy z", "--xy"),
                ("multipart/form-data; boundary=xy, a/b", "--xy"),
                ("multipart/form-data; boundary=xy\"z", "--xy"),
                ("multipart/form-data; xboundary=a; boundary=b", "--b"),
                ("multipart/form-data; boundary*=utf-8''b", "--b"),
                ("multipart/form-data; boundary; x=b", "--b"),
                ("multipart/form-data", "--b"),
            ] {
                for before in [String::new(), format!("{line}\r\n{plain}"), format!("{line}\n{plain}")] {
                    let body = format!("{before}{line}\r\n{head}\r\n\r\nDELETE\r\n{line}--\r\n");
                    assert!(found(kind, &body), "{kind} {body:?}");
                    let body = format!("{before}{line} \t\r\n{head}\r\n\r\nDELETE\r\n{line}--\r\n");
                    assert!(found(kind, &body), "{kind} {body:?}");
                }
            }
        }
        for end in ["\r", "\n"] {
            let body = ["--xy", "Content-Disposition: form-data; name=_method", "", "DELETE", "--xy--"].join(end);
            assert!(found("multipart/form-data; boundary=xy", &body), "{body:?}");
        }
        let nested = "--xy\r\nContent-Type: multipart/mixed; boundary=in\r\n\r\n--in\r\nContent-Disposition: form-data; \
                      name=_method\r\n\r\nDELETE\r\n--in--\r\n--xy--";
        assert!(found("multipart/form-data; boundary=xy", nested));
    }

    #[test]
    fn what_a_part_holds_is_no_name() {
        for part in [
            "Content-Disposition: form-data; name=\"a\"\r\n\r\n_method",
            "Content-Disposition: form-data; name=\"a\"; filename=\"_method.rb\"\r\nContent-Type: text/html\r\n\r\n\
             <!-- form -->\n<input name=\"_method\">",
            "Content-Disposition: form-data; name=\"a\"; filename*=utf-8''%C3%A9.txt\r\n\r\nx",
            "Content-Disposition: form-data; name*=utf-8''%C3%A9\r\n\r\nx",
            "Content-Disposition: form-data; name=\"a\"; filename*0=\"b\"; filename*1=\"c.txt\"\r\n\r\nx",
            "Content-Disposition: form-data; name=\"payment_method\"\r\n\r\n-- \r\n_method",
            "Content-Type: application/http\r\n\r\nPATCH /a HTTP/1.1\r\nX: _method\r\n\r\n",
        ] {
            let body =
                format!("--xy\r\n{part}\r\n--xy\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n\r\n--xy--\r\n");
            for boundary in ["xy", "\"xy\"", "\"xy z\""] {
                assert!(!found(&format!("multipart/form-data; boundary={boundary}"), &body), "{boundary} {body:?}");
            }
        }
        assert!(!found("multipart/form-data; boundary=xy", ""));
    }

    #[test]
    fn many_lines_are_read_in_one_go() {
        // would take minutes if each line were followed to the end
        for line in ["--x", "--x\r\n", "--x\r\n\r\n", "\r\n\r\n", "name*", "%", "\\"] {
            found("multipart/form-data; boundary=x", &line.repeat((1 << 20) / line.len()));
        }
    }
}
