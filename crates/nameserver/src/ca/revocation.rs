//! Taking certificates back: a standard revocation list (RFC 5280), signed by the CA.

use super::{
    CA_LIFETIME, CaError, SKEW, issuer,
    record::{self, Issued},
    token,
};
use rcgen::{CertificateRevocationListParams, KeyIdMethod, RevokedCertParams, SerialNumber};
use sgdt_proto::{
    files::{FileError, read, replace},
    tls::credentials::REVOCATIONS,
};
use std::{io, path::Path, time::SystemTime};

/// What somebody has lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Revoked {
    /// The certificates; some may have been revoked before.
    pub certificates: Vec<Issued>,
    /// How many tokens, with which there would soon be another.
    pub tokens: usize,
}

/// Revokes the certificate of this number; or all that were issued to this name, and the unused tokens for it. Writes
/// the CA's list anew.
///
/// # Errors
/// There is no CA, it has issued nothing to anybody like that, or its directory cannot be written to.
pub fn revoke(ca: &Path, whom: &str, now: SystemTime) -> Result<Revoked, CaError> {
    let issuer = issuer(ca)?;
    let _alone = record::alone(ca)?;
    let mut all = record::all(ca)?;
    // A number before a name: nothing else is that long by chance.
    let numbered = all.iter().any(|issued| issued.number() == whom);
    let meant = |issued: &Issued| {
        if numbered { issued.number() == whom } else { issued.identity.name.as_str() == whom }
    };
    for issued in all.iter_mut().filter(|issued| meant(issued) && issued.revoked.is_none()) {
        issued.revoked = Some(now);
        // First, so that a list that cannot be written now has it next time.
        record::append(ca, issued)?;
    }
    let revoked = all.iter().filter_map(|issued| {
        Some(RevokedCertParams {
            serial_number: SerialNumber::from_slice(&issued.serial),
            revocation_time: issued.revoked?.into(),
            reason_code: None,
            invalidity_date: None,
        })
    });
    let revoked: Vec<_> = revoked.collect();
    let list = CertificateRevocationListParams {
        this_update: (now - SKEW).into(),
        // It is good until there is another: nobody is to be let in, or shut out, because a file was not copied.
        next_update: (now + CA_LIFETIME).into(),
        crl_number: SerialNumber::from(revoked.len() as u64),
        issuing_distribution_point: None,
        revoked_certs: revoked,
        key_identifier_method: KeyIdMethod::Sha256,
    };
    all.retain(meant);
    let tokens = if numbered { 0 } else { token::withdraw(ca, whom)? };
    if all.is_empty() && tokens == 0 {
        let whom = whom.chars().take(100).collect();
        return Err(CaError::Nobody { whom, directory: ca.to_owned() });
    }
    replace(&ca.join(REVOCATIONS), &list.signed_by(&issuer)?.pem()?)?;
    Ok(Revoked { certificates: all, tokens })
}

/// The list as it is, if anything has been revoked.
pub(super) fn list(ca: &Path) -> Result<Option<String>, CaError> {
    match read(&ca.join(REVOCATIONS)) {
        Err(FileError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        list => Ok(Some(list?)),
    }
}
