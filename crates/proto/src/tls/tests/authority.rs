//! Certificates of every sort, good and bad.

use super::super::{Credentials, Tls};
use crate::identity::{Identity, Role};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::{RootCertStore, pki_types::PrivateKeyDer};
use std::{path::PathBuf, sync::Arc};

/// A CA.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(super) roots: Arc<RootCertStore>,
}

/// What a certificate is to say.
pub(super) struct Leaf {
    pub(super) uris: Vec<String>,
    pub(super) years: (i32, i32),
    pub(super) purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Leaf {
    /// A good one, for both ends of a connection.
    pub(super) fn of(role: Role, name: &str) -> Self {
        let uris = vec![Identity { role, name: name.parse().unwrap() }.uri()];
        let purposes = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self { uris, years: (2020, 2120), purposes }
    }

    pub(super) fn expired(self) -> Self {
        Self { years: (2020, 2021), ..self }
    }

    pub(super) fn only(self, purpose: ExtendedKeyUsagePurpose) -> Self {
        Self { purposes: vec![purpose], ..self }
    }

    pub(super) fn with_uris(self, uris: Vec<String>) -> Self {
        Self { uris, ..self }
    }
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(params.self_signed(&key).unwrap().into()).unwrap();
        Self { issuer: Issuer::new(params, key), roots: Arc::new(roots) }
    }

    /// A network whose peer has this certificate and trusts this CA.
    pub(super) fn network(&self, leaf: Leaf) -> Tls {
        self.network_trusting(leaf, self)
    }

    /// A network whose peer has a certificate of this CA and trusts another.
    pub(super) fn network_trusting(&self, leaf: Leaf, trusted: &Self) -> Tls {
        let mut params = CertificateParams::default();
        let (from, to) = leaf.years;
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let uris = leaf.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names = uris.collect();
        params.extended_key_usages = leaf.purposes;
        let key = KeyPair::generate().unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().into()];
        // What the certificate says is the other side's to judge: here it is only who the network believes to be.
        let identity = Identity { role: Role::Client, name: "self".parse().unwrap() };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let (directory, roots) = (PathBuf::from("memory"), trusted.roots.clone());
        Tls::new(Credentials { directory, identity, roots, chain, key }).unwrap()
    }
}
