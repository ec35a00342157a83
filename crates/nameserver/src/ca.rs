//! The cluster's certificate authority: a directory that makes the directories which `--tls` takes.
//!
//! ```text
//! DIR/ca.pem        what everybody trusts
//! DIR/ca.key        what makes certificates; it never leaves this directory
//! DIR/crl.pem       what has been revoked, once something has been
//! DIR/issued.jsonl  what it has made and revoked, one a line: see `record`
//! DIR/tokens/       who may join: see [`token`]
//!
//! OUT/ca.pem, OUT/cert.pem, OUT/key.pem   one program's, ready for --tls; and crl.pem, if there is one
//! ```
//!
//! Nothing but the list of the revoked is ever overwritten, and what is secret can be read by its owner alone.

pub mod command;
mod record;
mod revocation;
pub mod token;

#[cfg(test)]
mod tests;

use rand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
};
use sgdt_proto::{
    files::{FileError, create, directory, read},
    identity::{Identity, Role},
    join::token::Fingerprint,
    tls::credentials::{CA, CERTIFICATE, KEY, REVOCATIONS},
};
use std::{
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

pub use record::Issued;
pub use revocation::{Revoked, revoke};

const CA_KEY: &str = "ca.key";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How long a CA is good for: ten years.
const CA_LIFETIME: Duration = Duration::from_secs(3650 * DAY.as_secs());
/// How long a certificate is good for: a year.
const LIFETIME: Duration = Duration::from_secs(365 * DAY.as_secs());
/// How far a certificate reaches back, for machines whose clocks are behind.
const SKEW: Duration = Duration::from_secs(3600);

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file is not to be had, or not to be overwritten.
    #[error(transparent)]
    Files(#[from] FileError),
    /// There is no CA.
    #[error("there is no CA in {}: make one with `nameserver ca init {}`", directory.display(), directory.display())]
    Missing {
        /// Where it was sought.
        directory: PathBuf,
    },
    /// It is not the one that the name server's own certificate is from.
    #[error("the CA in {} is not the one that {} trusts: nobody could join by its tokens", directory.display(), tls.display())]
    Other {
        /// Where it is.
        directory: PathBuf,
        /// What `--tls` names.
        tls: PathBuf,
    },
    /// Nothing has been issued to it.
    #[error("no certificate has been issued to {whom:?}: `nameserver ca list {}` shows all names and numbers", directory.display())]
    Nobody {
        /// Who was meant.
        whom: String,
        /// Where it was sought.
        directory: PathBuf,
    },
    /// A file of the CA's is not what it was.
    #[error("{} is damaged: restore it from a copy", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
    /// A line of the list is none.
    #[error("line {line} of {} is not about a certificate", path.display())]
    Record {
        /// Which file.
        path: PathBuf,
        /// Which line, counted from 1.
        line: usize,
    },
    /// A key or certificate cannot be made or used.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// Another name or address under which others than SGDT's own programs may look for a certificate's holder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// `worker-1.example.org`.
    Name(String),
    /// `192.0.2.1`.
    Address(IpAddr),
}

/// Neither a host's name nor an address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text:?} is neither a host name nor an IP address")]
pub struct InvalidHost {
    text: String,
}

impl FromStr for Host {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if text.len() <= 253 && text.split('.').all(label) {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(InvalidHost { text: text.chars().take(100).collect() })
        }
    }
}

/// Makes a CA in a directory that has none.
///
/// # Errors
/// It has one, or cannot be written to.
pub fn init(at: &Path, now: SystemTime) -> Result<(), CaError> {
    let key = KeyPair::generate()?;
    let params = authority(&key, Some(now));
    let certificate = params.self_signed(&key)?;
    directory(at, &[CA, CA_KEY])?;
    create(&at.join(CA_KEY), &key.serialize_pem())?;
    Ok(create(&at.join(CA), &certificate.pem())?)
}

/// Makes a certificate, and puts it, its key, and what else `--tls` needs, into a directory that has none of them.
///
/// # Errors
/// There is no CA, or the directory holds such files, or cannot be written to.
pub fn issue(
    ca: &Path,
    identity: Identity,
    hosts: &[Host],
    out: &Path,
    now: SystemTime,
    rng: &mut impl Rng,
) -> Result<Issued, CaError> {
    read_ca(ca, CA)?;
    directory(out, &[CA, CERTIFICATE, KEY, REVOCATIONS])?;
    let key = KeyPair::generate()?;
    let made = certify(ca, identity, hosts, &key, now, rng)?;
    create(&out.join(KEY), &key.serialize_pem())?;
    create(&out.join(CERTIFICATE), &made.certificate)?;
    create(&out.join(CA), &made.ca)?;
    if let Some(revocations) = made.revocations {
        create(&out.join(REVOCATIONS), &revocations)?;
    }
    Ok(made.issued)
}

/// A certificate, and what lies beside it where it is used, each as it stands in its file.
pub(crate) struct Certified {
    pub(crate) issued: Issued,
    pub(crate) ca: String,
    pub(crate) certificate: String,
    pub(crate) revocations: Option<String>,
}

/// Makes a certificate for somebody's key.
pub(crate) fn certify(
    ca: &Path,
    identity: Identity,
    hosts: &[Host],
    key: &impl PublicKeyData,
    now: SystemTime,
    rng: &mut impl Rng,
) -> Result<Certified, CaError> {
    let (root, issuer) = (read_ca(ca, CA)?, issuer(ca)?);
    let _alone = record::alone(ca)?;
    let revocations = revocation::list(ca)?;
    let not_after = now + LIFETIME;
    let mut serial: [u8; 16] = rng.random();
    // A positive number that has all of its bytes.
    serial[0] = serial[0] & 0x7f | 0x40;
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = ((now - SKEW).into(), not_after.into());
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.distinguished_name = named(identity.to_string());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = purposes(identity.role);
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![SanType::URI(identity.uri().try_into()?)];
    for host in hosts {
        params.subject_alt_names.push(match host {
            Host::Name(name) => SanType::DnsName(name.as_str().try_into()?),
            Host::Address(address) => SanType::IpAddress(*address),
        });
    }
    let certificate = params.signed_by(key, &issuer)?.pem();
    let issued = Issued { serial, identity, not_after, revoked: None };
    // Before anybody has it, so that there is no certificate that is not on the list.
    record::append(ca, &issued)?;
    Ok(Certified { issued, ca: root, certificate, revocations })
}

/// Makes sure that certificates can be made, and are good for the cluster of whoever has this directory.
///
/// # Errors
/// There is no CA, or its key cannot be read, or it is another cluster's.
pub fn check(ca: &Path, tls: Option<&Path>) -> Result<(), CaError> {
    let own = Fingerprint::of_pem(&read_ca(ca, CA)?);
    if let Some(tls) = tls
        && Fingerprint::of_pem(&read(&tls.join(CA))?) != own
    {
        return Err(CaError::Other { directory: ca.to_owned(), tls: tls.to_owned() });
    }
    issuer(ca).map(drop)
}

/// All certificates that a CA has made, in order, and which of them it has revoked.
///
/// # Errors
/// There is no CA, or its list cannot be read.
pub fn list(ca: &Path) -> Result<Vec<Issued>, CaError> {
    read_ca(ca, CA)?;
    record::all(ca)
}

fn read_ca(ca: &Path, name: &str) -> Result<String, CaError> {
    read(&ca.join(name)).map_err(|error| match error {
        FileError::File { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            CaError::Missing { directory: ca.to_owned() }
        }
        other => other.into(),
    })
}

fn issuer(ca: &Path) -> Result<Issuer<'static, KeyPair>, CaError> {
    let key = KeyPair::from_pem(&read_ca(ca, CA_KEY)?)?;
    Ok(Issuer::new(authority(&key, None), key))
}

/// What a CA says of itself. Its name follows from its key, so that two CAs are never taken for one another.
fn authority(key: &KeyPair, from: Option<SystemTime>) -> CertificateParams {
    let mut params = CertificateParams::default();
    let id: String = params.key_identifier(key).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = named(format!("SGDT CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if let Some(now) = from {
        (params.not_before, params.not_after) = ((now - SKEW).into(), (now + CA_LIFETIME).into());
    }
    params
}

fn named(name: String) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// Which ends of a connection a role is found at.
fn purposes(role: Role) -> Vec<ExtendedKeyUsagePurpose> {
    match role {
        Role::Nameserver => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Role::Worker => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
        Role::Client | Role::Admin => vec![ExtendedKeyUsagePurpose::ClientAuth],
    }
}
