//! Directories made and read back, at times that the test decides.

use super::*;
use rand::{SeedableRng, rngs::StdRng};
use sgdt_proto::tls::Tls;
use std::{fs, os::unix::fs::PermissionsExt, sync::mpsc, thread, time::UNIX_EPOCH};

const NOW: Duration = Duration::from_secs(1_790_000_000);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn init(&self) -> Result<(), CaError> {
        init(&self.path("ca"), UNIX_EPOCH + NOW)
    }

    fn issue(&self, role: Role, name: &str, out: &str) -> Result<Issued, CaError> {
        let identity = Identity { role, name: name.parse().unwrap() };
        let hosts = ["::1".parse().unwrap(), "host.example".parse().unwrap()];
        let mut rng = StdRng::seed_from_u64(out.len() as u64);
        issue(&self.path("ca"), identity, &hosts, &self.path(out), UNIX_EPOCH + NOW, &mut rng)
    }
}

fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn what_is_issued_is_ready_for_use_and_secret() {
    let place = Place::new();
    place.init().unwrap();
    for role in Role::ALL {
        let out = format!("{role}-dir");
        place.issue(role, "n1", &out).unwrap();
        let identity = Tls::load(&place.path(&out)).unwrap().identity().clone();
        assert_eq!(identity, Identity { role, name: "n1".parse().unwrap() });
        for file in [CA, CERTIFICATE, KEY] {
            assert_eq!(mode(place.path(&out).join(file)), 0o600, "{file}");
        }
        assert_eq!(mode(place.path(&out)), 0o700);
    }
    assert_eq!((mode(place.path("ca")), mode(place.path("ca/ca.key"))), (0o700, 0o600));
}

#[test]
fn what_was_issued_is_listed_in_order_with_its_end() {
    let place = Place::new();
    place.init().unwrap();
    assert_eq!(list(&place.path("ca")).unwrap(), []);
    let issued =
        [place.issue(Role::Worker, "w1", "a"), place.issue(Role::Admin, "root", "bb")].map(Result::unwrap);
    assert_eq!(list(&place.path("ca")).unwrap(), issued);
    assert_ne!(issued[0].serial, issued[1].serial);
    assert_eq!(issued[0].not_after, UNIX_EPOCH + NOW + LIFETIME);
    assert_eq!(issued[0].end(), "2027-09-21T14:13:20Z");
    fs::write(place.path("ca/issued.jsonl"), "{}\n").unwrap();
    assert!(list(&place.path("ca")).unwrap_err().to_string().starts_with("line 1 of "));
}

#[test]
fn what_is_revoked_is_listed_and_whatever_is_issued_from_then_on_knows_it() {
    let place = Place::new();
    place.init().unwrap();
    let ca = place.path("ca");
    let [old, other] =
        [place.issue(Role::Worker, "w1", "a"), place.issue(Role::Client, "c", "bb")].map(Result::unwrap);
    assert!(!place.path("a/crl.pem").exists());
    let later = UNIX_EPOCH + NOW + DAY;

    let error = revoke(&ca, "nobody\n", later).unwrap_err().to_string();
    assert!(
        error.starts_with(r#"no certificate has been issued to "nobody\n": `nameserver ca list "#),
        "{error}"
    );
    assert!(!ca.join("crl.pem").exists());

    let revoked = Issued { revoked: Some(later), ..old.clone() };
    assert_eq!(revoke(&ca, "w1", later).unwrap().certificates, std::slice::from_ref(&revoked));
    assert_eq!(list(&ca).unwrap(), [revoked.clone(), other.clone()]);
    let new = place.issue(Role::Worker, "w1", "ccc").unwrap();
    assert_eq!(fs::read(place.path("ccc/crl.pem")).unwrap(), fs::read(ca.join("crl.pem")).unwrap());
    Tls::load(&place.path("ccc")).unwrap();

    // By its number, one certificate and no other of that name. What was revoked before stays as it was.
    let latest = later + DAY;
    assert_eq!(revoke(&ca, &old.number(), latest).unwrap().certificates, std::slice::from_ref(&revoked));
    let also = Issued { revoked: Some(latest), ..new.clone() };
    assert_eq!(revoke(&ca, &new.number(), latest).unwrap().certificates, std::slice::from_ref(&also));
    assert_eq!(list(&ca).unwrap(), [revoked, other, also]);
    assert_eq!((mode(ca.join("crl.pem")), ca.join("crl.new").exists()), (0o600, false));
}

#[test]
fn nobody_revokes_while_somebody_else_does() {
    let place = Place::new();
    place.init().unwrap();
    let ca = place.path("ca");
    place.issue(Role::Worker, "w1", "a").unwrap();
    let alone = record::alone(&ca).unwrap();
    let (tell, told) = mpsc::channel();
    let revoking = thread::spawn(move || {
        tell.send("begun").unwrap();
        let revoked = revoke(&ca, "w1", UNIX_EPOCH + NOW + DAY).unwrap();
        tell.send("done").unwrap();
        revoked.certificates.len()
    });
    assert_eq!(told.recv(), Ok("begun"));
    assert!(told.recv_timeout(Duration::from_millis(100)).is_err(), "it did not wait");
    drop(alone);
    assert_eq!(revoking.join().unwrap(), 1);
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::new();
    place.init().unwrap();
    let ca = fs::read(place.path("ca/ca.key")).unwrap();
    let error = place.init().unwrap_err();
    assert!(
        matches!(error, CaError::Files(FileError::Exists { .. })) && error.to_string().contains("ca.pem"),
        "{error}"
    );
    assert_eq!(fs::read(place.path("ca/ca.key")).unwrap(), ca);

    place.issue(Role::Worker, "w1", "w").unwrap();
    let key = fs::read(place.path("w/key.pem")).unwrap();
    let error = place.issue(Role::Worker, "w1", "w").unwrap_err();
    assert!(matches!(error, CaError::Files(FileError::Exists { .. })), "{error}");
    assert_eq!(fs::read(place.path("w/key.pem")).unwrap(), key);
    assert_eq!(list(&place.path("ca")).unwrap().len(), 1, "what was not made is not listed");
    // The authority's own directory is no place for a certificate either.
    assert!(matches!(place.issue(Role::Worker, "w1", "ca"), Err(CaError::Files(FileError::Exists { .. }))));
}

#[test]
fn without_a_ca_it_says_how_to_make_one() {
    let place = Place::new();
    for error in [place.issue(Role::Client, "c", "c").unwrap_err(), list(&place.path("ca")).unwrap_err()] {
        assert!(error.to_string().contains("make one with `nameserver ca init "), "{error}");
    }
    assert!(!place.path("c").exists());
}

#[test]
fn hosts_are_names_or_addresses() {
    for good in ["localhost", "a-1.example.org", "10.0.0.1", "::1"] {
        assert!(good.parse::<Host>().is_ok(), "{good}");
    }
    for bad in ["", "a b", "a..b", ".a", "*.example.org", "a/b", "é", &"x".repeat(64), "host:1"] {
        assert!(bad.parse::<Host>().is_err(), "{bad}");
    }
}
