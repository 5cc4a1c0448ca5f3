//! Pages for errors that a service gives, by a proxy or in Apache; types that are handlers; headers that name a fixed path.

use super::{Group, mutated, rules};

const PROXY: &str = "    ProxyPass \"/\"";
const PASS: &str = "    ProxyPass \"/\" \"http://127.0.0.1:9000/\" nocanon upgrade=websocket\n";
const HOST: &str = "<VirtualHost 127.0.0.1:8080>\n";
const SCRIPTS: &str = "<FilesMatch \".+\\.ph(?:ar|p|tml)$\">\nSetHandler application/x-httpd-php\n</FilesMatch>\n<VirtualHost 127.0.0.1:8080>\nDocumentRoot /srv/www\n<>\n";

/// What is found.
pub(super) const FOUND: &[Group] = &[
    // in a container only where the page itself is asked for
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "apache-error-document",
        cases: &[
            "<Location \"/*\">\nErrorDocument 403 /denied\n</Location>",
            "<Location \"/a*\">\nErrorDocument 403 /adenied\n</Location>",
            "<Location \"/?enied\">\nErrorDocument 403 /denied\n</Location>",
            "<Location \"/admin\">\nErrorDocument 403 /admin?x\n</Location>",
            "<Location \"/login\">\nErrorDocument 403 /login?denied=1\n</Location>",
            "<Location \"/\">\nErrorDocument 403 /denied\n</Location>",
            "<Location ~ \"^/a\">\nErrorDocument 403 /adenied\n</Location>",
            "<LocationMatch \"^/\">\nErrorDocument 403 /denied\n</LocationMatch>",
        ],
    },
    // services that run in Apache
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-error-document",
        cases: &[
            "WSGIScriptAlias / /srv/x.wsgi\nErrorDocument 403 /denied",
            "WSGIScriptAlias /app /srv/x.wsgi\nErrorDocument 403 /app/denied",
            "WSGIScriptAliasMatch ^/app /srv/x.wsgi\nErrorDocument 403 /app/denied",
            "<Location /app>\nScriptAlias /srv/cgi\n</Location>\nErrorDocument 403 /app/denied",
            "ScriptAlias /cgi-bin/ /srv/cgi/\nErrorDocument 403 /cgi-bin/denied",
            "ScriptAlias /cgi-bin/ /srv/cgi/\nAlias /cgi-bin/errors/ /srv/errors/\nErrorDocument 403 /cgi-bin/errors/x",
            "DocumentRoot /srv/public\nPassengerEnabled on\nErrorDocument 403 /denied",
            "PassengerRoot /x\nDocumentRoot /srv/public\nPassengerRuby /usr/bin/ruby\nErrorDocument 403 /denied",
            "DocumentRoot /srv/public\nPassengerEnabled on\n<Location /errors>\nPassengerEnabled off\n</Location>\nErrorDocument 403 /denied",
            "AddHandler lua-script .lua\nErrorDocument 403 /denied.lua",
            "<FilesMatch \"\\.lua$\">\nSetHandler lua-script\n</FilesMatch>\nErrorDocument 403 /denied.lua/x",
            "<Files *.lua>\nSetHandler lua-script\n</Files>\nErrorDocument 403 /denied.lua?x",
            "<Files ~ \"^denied\">\nSetHandler lua-script\n</Files>\nErrorDocument 403 /denied",
            "AddHandler application/x-httpd-php php\nErrorDocument 403 /denied.php",
            "AddType application/x-httpd-php .php .phtml\nErrorDocument 403 /denied.phtml",
            "SetHandler application/x-httpd-php\nErrorDocument 403 /denied",
            "DocumentRoot /srv/www\n<Directory /srv/www/app>\nSetHandler application/x-httpd-php\n</Directory>\nErrorDocument 403 /app/denied",
            "DocumentRoot /srv/www\nAlias /php /srv/php\n<Directory /srv/php>\nSetHandler application/x-httpd-php\n</Directory>\nErrorDocument 403 /php/denied",
            "<Location /php>\nAlias /srv/php\n</Location>\n<Directory /srv/php>\nSetHandler application/x-httpd-php\n</Directory>\nErrorDocument 403 /php/denied",
            "AddHandler application/x-httpd-php .php\nFallbackResource /index.php\nErrorDocument 403 /denied",
            "AddHandler application/x-httpd-php .php\n<Location /errors>\nSetHandler none\n</Location>\nErrorDocument 403 /errors/denied.php",
            "<Location /e>\nSetHandler none\n</Location>\n<Location /e>\nSetHandler lua-script\n</Location>\nErrorDocument 403 /e/x",
            "RewriteRule ^/app - [H=application/x-httpd-php]\nErrorDocument 403 /app/denied",
            "JkMount /app/* worker\nErrorDocument 403 /app/denied",
            "JkAutoAlias /srv/x\nErrorDocument 403 /denied",
        ],
    },
    // as Debian writes it
    Group {
        pages: &["apache"],
        from: HOST,
        to: SCRIPTS,
        rule: "apache-error-document",
        cases: &["ProxyPass /denied.php !\nErrorDocument 403 /denied.php", "ProxyPass / !\nErrorDocument 403 /x.phtml"],
    },
    // what a proxy takes by a name of a file, a pattern or a location
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-error-document",
        cases: &[
            "<FilesMatch \"\\.ph(p|tml)$\">\nSetHandler proxy:fcgi://127.0.0.1:9001\n</FilesMatch>\nErrorDocument 403 /x.phtml",
            "AddHandler proxy:fcgi://127.0.0.1:9001 .do\nErrorDocument 403 /denied.do",
            "ProxyPassMatch ^/(api|denied) http://127.0.0.1:9000 nocanon\nErrorDocument 403 /denied",
            "<Location \"/a*\">\nProxyPass http://127.0.0.1:9000/a nocanon\n</Location>\nErrorDocument 403 /adenied",
        ],
    },
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-path-rewritten",
        cases: &[
            "ForceType \"proxy:http://127.0.0.1:9000\"",
            "<Location /a>\nForceType proxy:h2c://127.0.0.1:9000\n</Location>",
            "AddType \"proxy:http://127.0.0.1:9000\" .html",
            "RewriteRule ^ - [T=proxy:http://127.0.0.1:9000]",
            "<Location \"/\">\nSetHandler \"proxy:ajp://127.0.0.1:8009\"\n</Location>",
            "ForceType \"proxy:ajp://127.0.0.1:8009\"",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: "<VirtualHost *:81>\nDocumentRoot /srv\n<>\n</VirtualHost>\n<VirtualHost 127.0.0.1:8080>\n",
        rule: "apache-host-unchecked",
        cases: &["ForceType \"proxy:http://127.0.0.1:9000\"", "AddType proxy:fcgi://127.0.0.1:9001 .php"],
    },
    // texts that stand for what is not known
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "not-checked",
        cases: &["ForceType ${KIND}", "AddType ${KIND} .html"],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<> proxy_pass http://service;",
        rule: "nginx-override-set",
        cases: &[
            "proxy_set_header X-Original-URL /x;",
            "proxy_set_header X_Rewrite_Url /x$request_uri;",
            "proxy_set_header X-Original-URL https://app.test/x;",
            "set $p /x; proxy_set_header X-Forwarded-Uri $p;",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    http-request <>\n",
        rule: "haproxy-override-set",
        cases: &[
            "set-header X-Original-URL %[str(/x)]",
            "add-header X-Rewrite-URL /x",
            "set-header X-Original-URI /x%[pathq]",
        ],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t<>\n\t\treverse_proxy 127.0.0.1:9000 {",
        rule: "caddy-override-set",
        cases: &["request_header X-Original-URL /x", "request_header +X-Forwarded-Uri /x{uri}"],
    },
];

/// What is ordinary.
pub(super) const ORDINARY: &[Group] = &[
    Group {
        pages: &["apache"],
        from: PROXY,
        to: "    <>\n    ProxyPass \"/\"",
        rule: "apache-error-document",
        cases: &[
            "<If \"true\">\nErrorDocument 403 /denied\n</If>",
            "<Location /admin>\n<If \"%{REQUEST_METHOD} == 'GET'\">\nErrorDocument 403 /admin/denied\n</If>\n</Location>",
            "<Location \"/a*\">\nErrorDocument 403 /adenied/x\n</Location>",
            "<Location \"/*/x\">\nErrorDocument 403 /denied\n</Location>",
            "<Location \"/admin\">\nErrorDocument 403 /login?from=/admin\n</Location>",
            "<Location \"/admin/\">\nErrorDocument 403 /admin\n</Location>",
            "<LocationMatch \"^/api/\">\nErrorDocument 403 /denied\n</LocationMatch>",
            "<FilesMatch \"\\.php$\">\nErrorDocument 403 /denied\n</FilesMatch>",
            // a client writes the query alone
            "ProxyPass /err/ !\n    ErrorDocument 403 /err/403.html?from=%{REQUEST_URI}",
        ],
    },
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-error-document",
        cases: &[
            "WSGIScriptAlias / /srv/x.wsgi\nAlias /errors/ /srv/errors/\nErrorDocument 403 /errors/403.html",
            "WSGIScriptAlias / /srv/x.wsgi\n<Location /errors>\nAlias /srv/errors\n</Location>\nErrorDocument 403 /errors/403.html",
            "WSGIScriptAlias /app /srv/x.wsgi\nErrorDocument 403 /denied",
            "WSGIScriptAliasMatch ^/app/ /srv/x.wsgi\nErrorDocument 403 /denied",
            "WSGIScriptAlias / /srv/x.wsgi\nErrorDocument 403 \"not for you\"",
            "DocumentRoot /srv/public\nPassengerEnabled on\nAlias /errors/ /srv/errors/\nErrorDocument 403 /errors/x",
            "DocumentRoot /srv/public\nPassengerEnabled on\n<Location /errors>\nPassengerEnabled off\n</Location>\nErrorDocument 403 /errors/x",
            "AddHandler application/x-httpd-php .php\nErrorDocument 403 /denied.html",
            "AddHandler application/x-httpd-php .php\nErrorDocument 403 /denied",
            "AddHandler application/x-httpd-php .php\nFallbackResource /index.php\nErrorDocument 403 /denied.html",
            "AddHandler application/x-httpd-php .php\nFallbackResource disabled\nErrorDocument 403 /denied",
            "<FilesMatch \"\\.php$\">\nSetHandler application/x-httpd-php\n</FilesMatch>\nErrorDocument 403 /denied.txt",
            "SetHandler application/x-httpd-php\n<Location /errors>\nSetHandler none\n</Location>\nErrorDocument 403 /errors/403",
            "AddHandler application/x-httpd-php .php\n<Location /errors>\nSetHandler default-handler\n</Location>\nErrorDocument 403 /errors/a.php",
            "DocumentRoot /srv/www\n<Directory /srv/www/app>\nSetHandler application/x-httpd-php\n</Directory>\nErrorDocument 403 /denied",
            "DocumentRoot /srv/www\n<Directory /usr/share/php>\nSetHandler application/x-httpd-php\n</Directory>\nErrorDocument 403 /denied",
        ],
    },
    Group {
        pages: &["apache"],
        from: HOST,
        to: SCRIPTS,
        rule: "apache-error-document",
        cases: &["ProxyPass /err/ !\nErrorDocument 403 /err/denied.html"],
    },
    Group {
        pages: &["apache"],
        from: PASS,
        to: "<>\n",
        rule: "apache-path-rewritten",
        cases: &[
            "ProxyPass \"/api/\" \"http://127.0.0.1:9000/api/\" nocanon\nForceType application/json\nAddType text/css .css",
            "AddType proxy:fcgi://127.0.0.1:9001 .php\nErrorDocument 403 /denied.html",
        ],
    },
    Group {
        pages: &["nginx"],
        from: "proxy_pass http://service;",
        to: "<> proxy_pass http://service;",
        rule: "nginx-override-set",
        cases: &[
            "proxy_set_header X-Forwarded-Prefix /api;",
            "proxy_set_header X-Script-Name /api;",
            "proxy_set_header X-Original-URL https://$host$request_uri;",
            "proxy_set_header X-Accel-Mapping /srv/=/files/; proxy_set_header X-Sendfile-Type X-Accel-Redirect;",
            "set $p \"\"; proxy_set_header X-Original-URL $p;",
        ],
    },
    Group {
        pages: &["haproxy"],
        from: "\nbackend app\n",
        to: "\nbackend app\n    http-request <>\n",
        rule: "haproxy-override-set",
        cases: &["set-header X-Original-URL https://%[req.hdr(host)]%[pathq]", "set-header X-Script-Name /app"],
    },
    Group {
        pages: &["caddy"],
        from: "\t\treverse_proxy 127.0.0.1:9000 {",
        to: "\t\t<>\n\t\treverse_proxy 127.0.0.1:9000 {",
        rule: "caddy-override-set",
        cases: &[
            "request_header X-Original-URL {uri}",
            "request_header -X-Original-URL",
            "request_header X-Script-Name /a",
        ],
    },
];

/// Configurations with other findings, in which the page for errors is of no service.
#[test]
fn what_is_no_page_of_a_service_is_no_such_finding() {
    for case in [
        "DAV On\nErrorDocument 403 /denied",
        "Action a /cgi-bin/x\nErrorDocument 403 /denied",
        "Alias /cgi-bin/errors/ /srv/errors/\nScriptAlias /cgi-bin/ /srv/cgi/\nErrorDocument 403 /cgi-bin/errors/x",
        "ProxyPassMatch ^/api/ http://127.0.0.1:9000 nocanon\nErrorDocument 403 /denied",
        "RewriteRule ^/app - [H=lua-script]\nErrorDocument 403 /denied",
        "JkMount /app/* worker\nErrorDocument 403 /denied",
        "AddHandler lua-script .lua\nErrorDocument 403 /denied",
    ] {
        let found = mutated("apache", &[(PASS, &format!("{case}\n"))]);
        assert!(!found.is_empty() && !rules(&found).contains("apache-error-document"), "{case}: {found:#?}");
    }
}
