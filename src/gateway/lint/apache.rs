//! Apache with `mod_lua`.

use crate::gateway::lint::File;

pub(super) fn lint(file: &mut File<'_>) {
    let Some(check) = file.find("LuaHookAccessChecker") else {
        file.warn(
            None,
            "there is no `LuaHookAccessChecker`, so nothing asks the sidecar",
            "add `LuaHookAccessChecker /etc/apache2/palisade.lua check early` to the virtual host",
        );
        return;
    };
    if !file.has("AllowEncodedSlashes NoDecode") {
        file.warn(
            file.find("AllowEncodedSlashes").or(Some(check)),
            "an encoded slash is decoded for the service, or refused before anybody is asked",
            "set `AllowEncodedSlashes NoDecode`",
        );
    }
    for (line, text) in file.lines().collect::<Vec<_>>() {
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("luahookaccesschecker") && !lower.ends_with(" early") {
            file.warn(Some(line), "other modules decide before the sidecar is asked", "end it with `early`");
        }
        if lower.starts_with("proxypass ") && !lower.contains("nocanon") {
            file.warn(
                Some(line),
                "Apache writes the path anew for the service, which gets another than was checked",
                "add `nocanon`",
            );
        }
        if lower.starts_with("proxypassmatch ")
            || lower.starts_with("rewriterule ")
            || lower.starts_with("alias ")
            || lower.starts_with("aliasmatch ")
        {
            file.warn(
                Some(line),
                "the path is rewritten, so the sidecar and the service may see different ones",
                "let the service have the path as it was sent",
            );
        }
    }
}
