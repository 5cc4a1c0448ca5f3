//! Apache.

use super::Near;

const PASS: &str = "    ProxyPass \"/\"";
const HOST: &str = "<VirtualHost 127.0.0.1:8080>\n";
const HOOK: &str = "    LuaHookAccessChecker /etc/apache2/palisade.lua check early\n";

pub(super) const NEAR: &[Near] = &[
    (
        "apache-cache-before-check",
        "apache",
        &[(PASS, "    CacheQuickHandler Off\n    CacheEnable disk /static/\n    ProxyPass \"/\"")],
    ),
    (
        "apache-cache-shared",
        "apache",
        &[(PASS, "    CacheQuickHandler off\n    CacheEnable disk /static\n    CacheDisable /\n    ProxyPass \"/\"")],
    ),
    (
        "apache-check-conditional",
        "apache",
        &[(
            PASS,
            "    <IfModule mod_headers.c>\n    Header set X-Frame-Options DENY\n    </IfModule>\n    ProxyPass \"/\"",
        )],
    ),
    (
        "apache-check-late",
        "apache",
        &[(HOOK, "    LuaHookAccessChecker \"/etc/apache2/palisade.lua\" \"check\" \"early\"\n")],
    ),
    ("apache-check-told", "apache", &[(PASS, "    RequestHeader set X-Api-Key a early\n    ProxyPass \"/\"")]),
    ("apache-encoded-slashes", "apache", &[("AllowEncodedSlashes NoDecode", "allowencodedslashes nodecode")]),
    (
        "apache-host-unchecked",
        "apache",
        &[(
            HOST,
            "<VirtualHost *:81>\nRedirect permanent / https://a.test/\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        )],
    ),
    (
        "apache-identity-removed",
        "apache",
        &[(PASS, "    RequestHeader unset X-Palisade-Principal early\n    ProxyPass \"/\"")],
    ),
    ("apache-identity-set", "apache", &[(PASS, "    RequestHeader set X-User a\n    ProxyPass \"/\"")]),
    (
        "apache-includes",
        "apache",
        &[(PASS, "    Options +Includes\n    AddOutputFilterByType DEFLATE text/html\n    ProxyPass \"/\"")],
    ),
    ("apache-no-check", "apache", &[("LuaHookAccessChecker", "luahookaccesschecker")]),
    ("apache-nocanon", "apache", &[("nocanon upgrade=websocket", "upgrade=websocket NoCanon")]),
    ("apache-override-set", "apache", &[(PASS, "    RequestHeader set X-Request-Start \"%t\"\n    ProxyPass \"/\"")]),
    (
        "apache-path-rewritten",
        "apache",
        &[(
            PASS,
            "    RewriteEngine On\n    RewriteRule ^/old$ /new [R=301,L]\n    RewriteRule ^/secret - [F]\n    ProxyPass \"/\"",
        )],
    ),
    ("apache-satisfy-any", "apache", &[(PASS, "    Satisfy All\n    ProxyPass \"/\"")]),
    (
        "apache-trusts-everybody",
        "apache",
        &[(PASS, "    RemoteIPHeader X-Forwarded-For\n    RemoteIPInternalProxy 10.0.0.0/8\n    ProxyPass \"/\"")],
    ),
    (
        "apache-unsafe",
        "apache",
        &[(PASS, "    HttpProtocolOptions Strict LenientMethods Allow0.9\n    ProxyPass \"/\"")],
    ),
    ("apache-upgrade", "apache", &[("upgrade=websocket", "upgrade=WebSocket")]),
];
