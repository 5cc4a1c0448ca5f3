//! Directives that hand no request to a service by themselves: they are harmless, or other rules look at them. What is in
//! none of these lists is reported, wherever it stands.

use std::collections::HashSet;

use crate::PROGRAM_HELP;
use crate::apache::{handlers, is_program};
use crate::directive::Directive;
use crate::report::{At, Report};

/// Containers.
const CONTAINERS: &str = "authnprovideralias authzprovideralias directory directorymatch else elseif files filesmatch if ifdefine \
    ifdirective iffile ifmodule ifsection ifversion limit limitexcept location locationmatch macro mdomain mdomainset \
    proxy proxymatch requireall requireany requirenone requirenotall virtualhost";

/// Everything else, in small letters: of Apache itself, and of modules that many install.
const NAMES: &str = "acceptfilter acceptpathinfo accessfilename addalt addaltbyencoding addaltbytype addaltclass addcharset \
    adddefaultcharset adddescription addencoding addhandler addicon addiconbyencoding addiconbytype addinputfilter \
    addlanguage addmoduleinfo addoutputfilter addoutputfilterbytype addsuffix addtype alias aliasmatch \
    aliaspreservepath allow allowconnect allowencodedslashes allowmethods allowoverride allowoverridelist anonymous \
    anonymous_logemail anonymous_mustgiveemail anonymous_nouserid anonymous_verifyemail asyncrequestworkerfactor \
    authbasicauthoritative authbasicfake authbasicprovider authbasicusedigestalgorithm \
    authdbduserpwquery authdbduserrealmquery authdbmgroupfile authdbmtype authdbmuserfile authdigestalgorithm \
    authdigestdomain authdigestenablequerystringhack authdigestnccheck authdigestnonceformat authdigestnoncelifetime \
    authdigestprovider authdigestqop authdigestshmemsize authformauthoritative authformbody authformdisablenostore \
    authformfakebasicauth authformlocation authformloginrequiredlocation authformloginsuccesslocation \
    authformlogoutlocation authformmethod authformmimetype authformpassword authformprovider authformsitepassphrase \
    authformsize authformusername authgroupfile authldapauthorizeprefix authldapbindauthoritative authldapbinddn \
    authldapbindpassword authldapcharsetconfig authldapcompareasuser authldapcomparednonserver \
    authldapdereferencealiases authldapgroupattribute authldapgroupattributeisdn authldapinitialbindasuser \
    authldapinitialbindpattern authldapmaxsubgroupdepth authldapremoteuserattribute authldapremoteuserisdn \
    authldapsearchasuser authldapsubgroupattribute authldapsubgroupclass authmerging authldapurl authname authncachecontext \
    authncacheenable authncacheprovidefor authncachesocache authncachetimeout authnzfcgicheckauthnprovider \
    authnzfcgidefineprovider authtype authuserfile authzdbdlogintoreferer authzdbdquery authzdbdredirectquery \
    authzdbmtype authzsendforbiddenonfailure authzsvnaccessfile balancergrowth balancerinherit balancermember \
    balancerpersist brotlialteretag brotlicompressionmaxinputblock brotlicompressionquality brotlicompressionwindow \
    brotlifilternote browsermatch browsermatchnocase bufferedlogs buffersize cachedefaultexpire cachedetailheader \
    cachedirlength cachedirlevels cachedisable cacheenable cachefile cacheheader cacheignorecachecontrol \
    cacheignoreheaders cacheignorenolastmod cacheignorequerystring cacheignoreurlsessionidentifiers cachekeybaseurl \
    cachelastmodifiedfactor cachelock cachelockmaxage cachelockpath cachemaxexpire cachemaxfilesize cacheminexpire \
    cacheminfilesize cachenegotiateddocs cachequickhandler cachereadsize cachereadtime cacheroot cachesocache \
    cachesocachemaxsize cachesocachemaxtime cachesocachemintime cachesocachereadsize cachesocachereadtime \
    cachestaleonerror cachestoreexpired cachestorenostore cachestoreprivate cgidscripttimeout \
    cgipassauth cgiscripttimeout cgivar charsetdefault charsetoptions charsetsourceenc checkbasenamematch \
    checkcaseonly checkspelling chrootdir contentdigest cookiedomain cookieexpires cookiehttponly cookiename \
    cookiesamesite cookiesecure cookiestyle cookietracking coredumpdirectory customlog davbasepath \
    davdepthinfinity davgenericlockdb davlockdb davlockdiscovery davmintimeout dbdexptime dbdinitsql dbdkeep dbdmax \
    dbdmin dbdparams dbdpersist dbdpreparesql dbdriver defaulticon defaultlanguage defaultruntimedir defaulttype \
    defaultuser define deflatealteretag deflatebuffersize deflatecompressionlevel deflatefilternote \
    deflateinflatelimitrequestbody deflateinflateratioburst deflateinflateratiolimit deflatememlevel deflatewindowsize \
    deny directorycheckhandler directoryindex directoryindexredirect directoryslash documentroot dosblockingperiod \
    dosemailnotify doshashtablesize doslogdir dospagecount dospageinterval dossitecount dossiteinterval doswhitelist \
    dumpioinput dumpiooutput enablemmap enablesendfile error errordocument errorlog errorlogformat expiresactive \
    expiresbytype expiresdefault extendedstatus fallbackresource fcgidbusyscaninterval fcgidbusytimeout \
    fcgidconnecttimeout fcgiderrorscaninterval fcgidfixpathinfo fcgididlescaninterval fcgididletimeout fcgidinitialenv \
    fcgidiotimeout fcgidipcdir fcgidmaxprocesses fcgidmaxprocessesperclass fcgidmaxrequestinmem fcgidmaxrequestlen \
    fcgidmaxrequestsperprocess fcgidminprocessesperclass fcgidoutputbuffersize fcgidpassheader fcgidprocesslifetime \
    fcgidprocesstablefile fcgidspawnscore fcgidspawnscoreuplimit fcgidterminationscore fcgidtimescore fcgidwrapper \
    fcgidzombiescaninterval fileetag filterchain filterdeclare filterprotocol filterprovider filtertrace \
    flushmaxpipelined flushmaxthreshold forcelanguagepriority forcetype forensiclog globallog gracefulshutdowntimeout \
    group h2copyfiles h2direct h2earlyhint h2earlyhints h2maxdataframelen h2maxheaderblocklen h2maxsessionstreams \
    h2maxstreamerrors h2maxworkeridleseconds h2maxworkers h2minworkers h2moderntlsonly h2outputbuffering h2padding \
    h2push h2pushdiarysize h2pushpriority h2pushresource h2serializeheaders h2sessionextrafiles h2streammaxmemsize \
    h2streamtimeout h2tlscooldownsecs h2tlswarmupsize h2upgrade h2websockets h2windowsize header headername \
    heartbeataddress heartbeatlisten heartbeatmaxservers heartbeatstorage hostnamelookups httpprotocoloptions \
    identitycheck identitychecktimeout imapbase imapdefault imapmenu include includeoptional indexheadinsert \
    indexignore indexignorereset indexoptions indexorderdefault indexstylesheet inputsed jklogfile \
    jkloglevel jklogstampformat jkoptions jkrequestlogformat jkshmfile jkshmsize jkstripsession jkunmount \
    jkwatchdoginterval jkworkerproperty jkworkersfile keepalive keepalivetimeout keptbodysize languagepriority \
    ldapcacheentries ldapcachettl ldapconnectionpoolttl ldapconnectiontimeout ldaplibrarydebug ldapopcacheentries \
    ldapopcachettl ldapreferralhoplimit ldapreferrals ldapretries ldapretrydelay ldapsharedcachefile \
    ldapsharedcachesize ldaptimeout ldaptrustedclientcert ldaptrustedglobalcert ldaptrustedmode ldapverifyservercert \
    limitinternalrecursion limitrequestbody limitrequestfields limitrequestfieldsize limitrequestline \
    limitxmlrequestbody listen listenbacklog listencoresbucketsratio listentcpdeferaccept loadfile loadmodule lockfile \
    logformat logiotrackttfb loglevel logmessage luacodecache luahookaccesschecker luahooklog luainherit \
    luaoutputfilter luapackagecpath luapackagepath luaroot luascope macro manageddomain maxclients \
    maxconnectionsperchild maxkeepaliverequests maxmemfree maxrangeoverlaps maxrangereversals maxranges \
    maxrequestsperchild maxrequestworkers maxspareservers maxsparethreads mdactivationdelay mdbaseserver \
    mdcacertificatefile mdcachallenges mdcertificateagreement mdcertificateauthority mdcertificatecheck \
    mdcertificatefile mdcertificatekeyfile mdcertificateprotocol mdcertificatestatus mdchallengedns01 \
    mdchallengedns01version mdcheckinterval mdcontactemail mddrivemode mdexternalaccountbinding mdhttpproxy \
    mdinitialdelay mdmatchnames mdmember mdmessagecmd mdmuststaple mdnotifycmd mdomain mdportmap \
    mdprivatekeys mdprofile mdprofilemandatory mdrenewmode mdrenewviaari mdrenewwindow mdrequirehttps mdretrydelay \
    mdretryfailover mdserverstatus mdstapleothers mdstapling mdstaplingkeepresponse mdstaplingrenewwindow mdstoredir \
    mdstorelocks mdwarnwindow memcacheconnttl mergeslashes mergetrailers metadir metafiles metasuffix mimemagicfile \
    minspareservers minsparethreads mmapfile modmimeusepathinfo multiviewsmatch mutex namevirtualhost \
    noproxy options order outputsed passengerappenv passengerappgroupname passengerapproot passengerapptype \
    passengerbaseuri passengerbufferresponse passengerbufferupload passengerdefaultgroup passengerdefaultruby \
    passengerdefaultuser passengerfriendlyerrorpages passengergroup passengerhighperformance \
    passengerinstanceregistrydir passengerloadshellenvvars passengerlogfile passengerloglevel \
    passengermaxinstancesperapp passengermaxpoolsize passengermaxrequests passengermininstances passengernodejs \
    passengerpoolidletime passengerprestart passengerpython passengerrestartdir passengerroot passengerruby \
    passengerspawnmethod passengerstarttimeout passengerstartupfile passengerstickysessions passengeruser passenv \
    php_admin_flag php_admin_value php_flag php_value phpinidir pidfile protocol protocolecho \
    protocols protocolshonororder proxy100continue proxyaddheaders proxybadheader proxyblock proxydomain \
    proxyerroroverride proxyexpressdbmfile proxyexpressdbmtype proxyfcgibackendtype proxyfcgisetenvif \
    proxyftpdircharset proxyftpescapewildcards proxyftplistonwildcard proxyhcexpr proxyhctemplate proxyhctpsize \
    proxyhtmlbufsize proxyhtmlcharsetout proxyhtmldoctype proxyhtmlenable proxyhtmlevents proxyhtmlextended \
    proxyhtmlfixups proxyhtmlinterp proxyhtmllinks proxyhtmlmeta proxyhtmlstripcomments proxyhtmlurlmap \
    proxyiobuffersize proxymaxforwards proxypass proxypassinherit proxypassinterpolateenv proxypassmatch \
    proxypassreverse proxypassreversecookiedomain proxypassreversecookiepath proxypreservehost proxyreceivebuffersize \
    proxyremote proxyremotematch proxyrequests proxyscgiinternalredirect proxyscgisendfile proxyset proxysourceaddress \
    proxystatus proxytimeout proxyvia proxywebsocketfallbacktoproxyhttp qualifyredirecturl readmename \
    receivebuffersize redirect redirectmatch redirectpermanent redirectrelative redirecttemp redisconnpoolttl \
    redistimeout reflectorheader regexdefaultoptions registerhttpmethod remoteipheader remoteipinternalproxy \
    remoteipinternalproxylist remoteipproxiesheader remoteipproxyprotocol remoteipproxyprotocolexceptions \
    remoteiptrustedproxy remoteiptrustedproxylist removecharset removeencoding removehandler removeinputfilter \
    removelanguage removeoutputfilter removetype requestheader requestreadtimeout require rewritebase rewritecond \
    rewriteengine rewritelog rewriteloglevel rewritemap rewriteoptions rewriterule rlimitcpu rlimitmem rlimitnproc satisfy scoreboardfile \
    scriptinterpretersource scriptlog scriptlogbuffer scriptloglength scriptsock seerequesttail sendbuffersize serveradmin serveralias \
    serverlimit servername serverpath serverroot serversignature servertokens session sessioncookiename \
    sessioncookiename2 sessioncookieremove sessioncryptocipher sessioncryptodriver sessioncryptopassphrase \
    sessioncryptopassphrasefile sessiondbdcookiename sessiondbdcookiename2 sessiondbdcookieremove \
    sessiondbddeletelabel sessiondbdinsertlabel sessiondbdperuser sessiondbdselectlabel sessiondbdupdatelabel \
    sessionenv sessionexclude sessionexpiryupdateinterval sessionheader sessioninclude sessionmaxage setenv setenvif \
    setenvifexpr setenvifnocase sethandler setinputfilter setoutputfilter ssiendtag ssierrormsg ssietag \
    ssilastmodified ssilegacyexprparser ssistarttag ssitimeformat ssiundefinedecho sslcacertificatefile \
    sslcacertificatepath sslcadnrequestfile sslcadnrequestpath sslcarevocationcheck sslcarevocationfile \
    sslcarevocationpath sslcertificatechainfile sslcertificatefile sslcertificatekeyfile sslciphersuite sslcompression \
    sslcryptodevice sslengine sslfips sslhonorcipherorder sslinsecurerenegotiation ssllog sslloglevel \
    sslocspdefaultresponder sslocspenable sslocspnoverify sslocspoverrideresponder sslocspproxyurl \
    sslocsprespondercertificatefile sslocsprespondertimeout sslocspresponsemaxage sslocspresponsetimeskew \
    sslocspuserequestnonce sslopensslconfcmd ssloptions sslpassphrasedialog sslprotocol sslproxy \
    sslproxycacertificatefile sslproxycacertificatepath sslproxycarevocationcheck sslproxycarevocationfile \
    sslproxycarevocationpath sslproxycheckpeercn sslproxycheckpeerexpire sslproxycheckpeername sslproxyciphersuite \
    sslproxyengine sslproxymachinecertificatechainfile sslproxymachinecertificatefile sslproxymachinecertificatepath \
    sslproxyprotocol sslproxyverify sslproxyverifydepth sslrandomseed sslrenegbuffersize sslrequire sslrequiressl \
    sslsessioncache sslsessioncachetimeout sslsessionticketkeyfile sslsessiontickets sslsrpunknownuserseed \
    sslsrpverifierfile sslstaplingcache sslstaplingerrorcachetimeout sslstaplingfaketrylater sslstaplingforceurl \
    sslstaplingrespondertimeout sslstaplingresponsemaxage sslstaplingresponsetimeskew sslstaplingreturnrespondererrors \
    sslstaplingstandardcachetimeout sslstrictsnivhostcheck sslusername sslusestapling sslverifyclient sslverifydepth \
    sslvhostsnipolicy startservers stricthostcheck substitute substituteinheritbefore \
    substitutemaxlinelength suexec suexecusergroup svnautoversioning svnindexxslt svnlistparentpath svnparentpath \
    svnpath svnpathauthz svnreposname threadlimit threadsperchild threadstacksize timeout traceenable trackmodified \
    transferlog typesconfig undefine undefmacro unsetenv use usecanonicalname usecanonicalphysicalport user userdir \
    virtualdocumentroot virtualdocumentrootip warning watchdoginterval wsgiapplicationgroup wsgicallableobject \
    wsgicasesensitivity wsgichunkedrequest wsgidaemonprocess wsgidestroyinterpreter wsgienablesendfile \
    wsgierroroverride wsgiignoreactivity wsgilazyinitialization wsgimapheadtoget wsgipassauthorization \
    wsgiprocessgroup wsgipythonhashseed wsgipythonhome wsgipythonoptimize wsgipythonpath wsgipythonwarnings \
    wsgirestrictembedded wsgirestrictprocess wsgirestrictsignal wsgirestrictstdin wsgirestrictstdout \
    wsgiscriptreloading wsgiservermetrics wsgisocketprefix wsgisocketrotation wsgistartuptimeout wsgiverbosedebugging \
    xbithack";

/// Reports each directive that is not known, once.
pub(super) fn lint(tree: &[Directive], report: &mut Report<'_>) {
    let names: HashSet<&str> = NAMES.split_ascii_whitespace().chain(CONTAINERS.split_ascii_whitespace()).collect();
    let mut found: Vec<(&str, At)> = Vec::new();
    walk(tree, &names, &mut HashSet::new(), &mut found);
    for (name, at) in found {
        report.not_checked(at, &format!("what `{name}` does with requests is not known here"), PROGRAM_HELP);
    }
}

fn walk<'t>(body: &'t [Directive], names: &HashSet<&str>, told: &mut HashSet<&'t str>, found: &mut Vec<(&'t str, At)>) {
    for directive in body {
        let name = directive.name();
        // a program is reported where it stands, and so is what hands requests to a service
        if !names.contains(name) && !is_program(name) && !handlers::is_named(name) {
            if told.insert(name) {
                found.push((name, directive.at));
            }
        } else if !is_program(name) {
            walk(directive.body(), names, told, found);
        }
    }
}
