//! Authorities of the tests' own, certificates that they sign, and a client that shows one.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::client::{Reply, Say, say_on};

/// Who signs certificates.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub(super) struct Certificate {
    pub pem: String,
    pub key_pem: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

/// A name in a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Name<'a> {
    Uri(&'a str),
    Dns(&'a str),
    Common(&'a str),
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn sign(&self, names: &[Name<'_>], usage: ExtendedKeyUsagePurpose) -> Certificate {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject("client");
        params.extended_key_usages = vec![usage];
        for name in names {
            match name {
                Name::Uri(uri) => params.subject_alt_names.push(SanType::URI((*uri).try_into().unwrap())),
                Name::Dns(dns) => params.subject_alt_names.push(SanType::DnsName((*dns).try_into().unwrap())),
                Name::Common(name) => params.distinguished_name = subject(name),
            }
        }
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.0).unwrap();
        Certificate { pem: signed.pem(), key_pem: key.serialize_pem(), der: signed.der().clone(), key }
    }
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// A client that trusts this authority, and shows this certificate, or none.
pub(super) fn client(servers: &Authority, shown: Option<&Certificate>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(servers.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match shown {
        None => builder.with_no_client_auth(),
        Some(shown) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(shown.key.serialize_der()));
            builder.with_client_auth_cert(vec![shown.der.clone()], key).unwrap()
        }
    })
}

/// Sends a request over TLS. An error is a connection that was refused or broke off.
pub(super) fn say_tls(client: &Arc<ClientConfig>, addr: SocketAddr, what: &Say<'_>) -> io::Result<Reply> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(what.wait))?;
    let server = ServerName::try_from("gw.test").unwrap();
    let connection = ClientConnection::new(Arc::clone(client), server).map_err(io::Error::other)?;
    say_on(&mut StreamOwned::new(connection, stream), what)
}
