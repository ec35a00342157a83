//! Certificates of every sort, good and bad.

use super::super::{
    Tls,
    credentials::{Credentials, Files},
};
use crate::identity::{Identity, Role};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::{RootCertStore, pki_types::PrivateKeyDer};
use std::{fs, path::Path, sync::Arc};

/// A CA.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    pub(super) roots: Arc<RootCertStore>,
}

/// What a certificate is to say.
pub(super) struct Leaf {
    pub(super) uris: Vec<String>,
    pub(super) years: (i32, i32),
    pub(super) serial: u64,
    pub(super) purposes: Vec<ExtendedKeyUsagePurpose>,
}

impl Leaf {
    /// A good one, for both ends of a connection.
    pub(super) fn of(role: Role, name: &str) -> Self {
        let uris = vec![Identity { role, name: name.parse().unwrap() }.uri()];
        let purposes = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Self { uris, years: (2020, 2120), serial: 1, purposes }
    }

    pub(super) fn expired(self) -> Self {
        Self { years: (2020, 2021), ..self }
    }

    pub(super) fn numbered(self, serial: u64) -> Self {
        Self { serial, ..self }
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
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, mut roots) = (certificate.pem(), RootCertStore::empty());
        roots.add(certificate.into()).unwrap();
        Self { issuer: Issuer::new(params, key), pem, roots: Arc::new(roots) }
    }

    /// A network whose peer has this certificate and trusts this CA.
    pub(super) fn network(&self, leaf: Leaf) -> Tls {
        self.network_trusting(leaf, self)
    }

    /// A network whose peer has a certificate of this CA and trusts another.
    pub(super) fn network_trusting(&self, leaf: Leaf, trusted: &Self) -> Tls {
        let (certificate, key) = self.certificate(leaf);
        // What the certificate says is the other side's to judge: here it is only who the network believes to be.
        let identity = Identity { role: Role::Client, name: "self".parse().unwrap() };
        let credentials = Credentials {
            directory: "memory".into(),
            files: Files::default(),
            identity,
            authorities: Vec::new(),
            roots: trusted.roots.clone(),
            revoked: Vec::new(),
            chain: vec![certificate.into()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        };
        Tls::new(credentials, false).unwrap()
    }

    /// Writes the files that `--tls` takes, in place of those that are there.
    pub(super) fn write(&self, leaf: Leaf, directory: &Path) {
        let (certificate, key) = self.certificate(leaf);
        fs::write(directory.join("ca.pem"), &self.pem).unwrap();
        fs::write(directory.join("cert.pem"), certificate.pem()).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
    }

    /// Writes the list of what this CA has revoked.
    pub(super) fn revoke(&self, serials: &[u64], directory: &Path) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2021, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2021, 1, 1),
            next_update: date_time_ymd(2120, 1, 1),
            crl_number: SerialNumber::from(serials.len() as u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.issuer).unwrap().pem().unwrap();
        fs::write(directory.join("crl.pem"), list).unwrap();
    }

    pub(super) fn certificate_of(&self, leaf: Leaf) -> rustls::pki_types::CertificateDer<'static> {
        self.certificate(leaf).0.into()
    }

    fn certificate(&self, leaf: Leaf) -> (rcgen::Certificate, KeyPair) {
        let mut params = CertificateParams::default();
        let (from, to) = leaf.years;
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        let uris = leaf.uris.iter().map(|uri| SanType::URI(uri.as_str().try_into().unwrap()));
        params.subject_alt_names = uris.collect();
        params.extended_key_usages = leaf.purposes;
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }
}
