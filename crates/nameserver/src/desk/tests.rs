//! Applications of all sorts, at times that the test decides.

use super::*;
use crate::ca::init;
use rcgen::{CertificateParams, KeyPair};
use sgdt_proto::{
    identity::Role,
    join::token::{Fingerprint, Secret, Token},
};
use std::time::UNIX_EPOCH;
use tempfile::TempDir;

const HOUR: Duration = Duration::from_secs(3600);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_790_000_000)
}

/// A CA, and the desk of it.
struct Office {
    home: TempDir,
    desk: Desk,
}

impl Office {
    fn new() -> Self {
        Self::opened(now())
    }

    fn opened(now: SystemTime) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ca = home.path().join("ca");
        init(&ca, now).unwrap();
        Self { desk: Desk::new(ca), home }
    }

    fn ca(&self) -> PathBuf {
        self.home.path().join("ca")
    }

    fn token(&self, role: Role, name: Option<&str>) -> Token {
        let name = name.map(|name| name.parse().unwrap());
        token::create(&self.ca(), role, name, HOUR, now(), &mut StdRng::from_os_rng()).unwrap()
    }

    fn apply_at(&self, application: &Application, now: SystemTime) -> Result<Identity, JoinError> {
        match self.desk.shared.admit(application, now) {
            Ok((identity, welcome)) => {
                assert!(welcome.certificate.contains("BEGIN CERTIFICATE"));
                assert!(welcome.ca.contains("BEGIN CERTIFICATE"));
                Ok(identity)
            }
            Err(Refused::Join(error)) => Err(error),
            Err(Refused::Ca(error)) => panic!("{error}"),
        }
    }

    fn apply(&self, application: &Application) -> Result<Identity, JoinError> {
        self.apply_at(application, now())
    }
}

fn application(token: &Token, role: Role, name: Option<&str>) -> Application {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap().der().to_vec();
    Application { secret: token.secret, role, name: name.map(|name| name.parse().unwrap()), request }
}

fn worker(name: &str) -> Identity {
    Identity { role: Role::Worker, name: name.parse().unwrap() }
}

#[test]
fn a_token_lets_one_in_and_nobody_after() {
    let office = Office::new();
    let token = office.token(Role::Worker, None);
    assert_eq!(
        token.ca,
        Fingerprint::of_pem(&std::fs::read_to_string(office.ca().join("ca.pem")).unwrap()).unwrap()
    );
    assert_eq!(office.apply(&application(&token, Role::Worker, Some("w1"))), Ok(worker("w1")));
    let again = application(&token, Role::Worker, Some("w2"));
    assert_eq!(office.apply(&again), Err(JoinError::Used));
    let issued = ca::list(&office.ca()).unwrap();
    assert_eq!(issued.iter().map(|issued| issued.identity.clone()).collect::<Vec<_>>(), [worker("w1")]);
}

#[test]
fn of_many_that_come_at_once_with_one_token_one_is_let_in() {
    let office = Office::new();
    let token = office.token(Role::Worker, Some("w1"));
    let spent = std::thread::scope(|scope| {
        let spend = || token::spend(&office.ca(), token.secret).unwrap();
        let each: Vec<_> = (0..8).map(|_| scope.spawn(spend)).collect();
        each.into_iter().map(|one| one.join().unwrap()).filter(|spent| *spent).count()
    });
    assert_eq!(spent, 1, "by name servers that know nothing of each other");
    let token = office.token(Role::Worker, Some("w1"));
    let in_all = std::thread::scope(|scope| {
        let each: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| office.apply(&application(&token, Role::Worker, None)).is_ok()))
            .collect();
        each.into_iter().map(|one| one.join().unwrap()).filter(|let_in| *let_in).count()
    });
    assert_eq!(in_all, 1);
    assert_eq!(ca::list(&office.ca()).unwrap().len(), 1);
}

#[test]
fn what_is_refused_leaves_the_token_as_it_was() {
    let office = Office::new();
    let named = office.token(Role::Worker, Some("w1"));
    let nameless = office.token(Role::Worker, None);
    let client = office.token(Role::Client, None);
    let name = |text: &str| text.parse().unwrap();
    let mut garbled = application(&named, Role::Worker, None);
    garbled.request.truncate(20);
    let mut forged = application(&named, Role::Worker, None);
    // Another key than the one that has signed.
    let place = forged.request.len() / 2;
    forged.request[place] ^= 1;
    let stranger = Token { secret: Secret::random(&mut StdRng::from_os_rng()), ca: named.ca };
    for (application, expected) in [
        (application(&stranger, Role::Worker, Some("w1")), JoinError::Unknown),
        (
            application(&named, Role::Worker, Some("w2")),
            JoinError::Name { token: name("w1"), asked: name("w2") },
        ),
        (application(&nameless, Role::Worker, None), JoinError::Nameless),
        (
            application(&client, Role::Worker, Some("w1")),
            JoinError::Role { token: Role::Client, asked: Role::Worker },
        ),
        (application(&named, Role::Admin, None), JoinError::Role { token: Role::Worker, asked: Role::Admin }),
        (garbled, JoinError::Request),
        (forged, JoinError::Request),
    ] {
        assert_eq!(office.apply(&application), Err(expected));
    }
    let late = now() + HOUR + Duration::from_secs(1);
    assert_eq!(office.apply_at(&application(&named, Role::Worker, None), late), Err(JoinError::Expired));
    assert_eq!(ca::list(&office.ca()).unwrap(), []);
    assert_eq!(office.apply(&application(&named, Role::Worker, None)), Ok(worker("w1")));
}

#[test]
fn a_token_for_any_name_makes_nobody_into_somebody_who_is_there() {
    let office = Office::new();
    assert!(office.apply(&application(&office.token(Role::Worker, None), Role::Worker, Some("w1"))).is_ok());
    let another = office.token(Role::Worker, None);
    let squatter = application(&another, Role::Worker, Some("w1"));
    assert_eq!(office.apply(&squatter), Err(JoinError::Taken { name: "w1".parse().unwrap() }));
    // Said expressly it is a renewal; and a name that was revoked is free.
    assert!(office.apply(&application(&office.token(Role::Worker, Some("w1")), Role::Worker, None)).is_ok());
    ca::revoke(&office.ca(), "w1", now()).unwrap();
    assert!(office.apply(&squatter).is_ok());
}

#[test]
fn tokens_are_kept_by_their_hash_and_forgotten_when_their_time_is_over() {
    let office = Office::new();
    let token = office.token(Role::Worker, None);
    let files = || {
        let files = std::fs::read_dir(office.ca().join("tokens")).unwrap().map(|file| file.unwrap().path());
        files.collect::<Vec<_>>()
    };
    let [file] = <[_; 1]>::try_from(files()).unwrap();
    assert_eq!(file.file_stem().unwrap().to_str().unwrap(), token.secret.fingerprint().to_string());
    let secret = &token.to_string()[6..70];
    assert!(
        !std::fs::read_to_string(&file).unwrap().contains(secret) && !file.to_str().unwrap().contains(secret)
    );
    token::create(&office.ca(), Role::Worker, None, HOUR, now() + 2 * HOUR, &mut StdRng::from_os_rng())
        .unwrap();
    assert!(!file.exists() && files().len() == 1);
}

#[tokio::test]
async fn whoever_tries_too_often_is_not_heard_for_a_while() {
    let office = Office::new();
    let visitor = Visitor { shared: office.desk.shared.clone(), from: [192, 0, 2, 1].into() };
    let token = office.token(Role::Worker, Some("w1"));
    let good = application(&token, Role::Worker, None);
    let stranger = Application { secret: Secret::random(&mut StdRng::from_os_rng()), ..good.clone() };
    let context = tarpc::context::current();
    for _ in 0..attempts::FROM_ONE {
        assert_eq!(visitor.clone().join(context, stranger.clone()).await, Err(JoinError::Unknown));
    }
    assert_eq!(visitor.clone().join(context, good.clone()).await, Err(JoinError::Busy));
    // Somebody else is heard. By the real clock, this token has long expired.
    let another = Visitor { from: [192, 0, 2, 2].into(), ..visitor };
    assert_eq!(another.join(context, good).await, Err(JoinError::Expired));
}

#[tokio::test]
async fn whoever_has_many_good_tokens_may_use_them_all() {
    #[expect(clippy::disallowed_methods, reason = "whoever asks is judged by the calendar")]
    let now = SystemTime::now();
    let office = Office::opened(now);
    let visitor = Visitor { shared: office.desk.shared.clone(), from: [192, 0, 2, 1].into() };
    for number in 0..=attempts::FROM_ONE {
        let name = format!("w{number}").parse().unwrap();
        let rng = &mut StdRng::from_os_rng();
        let token = token::create(&office.ca(), Role::Worker, Some(name), HOUR, now, rng).unwrap();
        let application = application(&token, Role::Worker, None);
        visitor.clone().join(tarpc::context::current(), application).await.unwrap();
    }
}

#[test]
fn who_is_revoked_cannot_come_back_with_a_token_that_is_left() {
    let office = Office::new();
    let [first, second] = [office.token(Role::Worker, Some("w1")), office.token(Role::Worker, Some("w1"))];
    let other = office.token(Role::Worker, Some("w2"));
    office.apply(&application(&first, Role::Worker, None)).unwrap();
    let revoked = ca::revoke(&office.ca(), "w1", now()).unwrap();
    assert_eq!((revoked.certificates.len(), revoked.tokens), (1, 1));
    assert_eq!(office.apply(&application(&second, Role::Worker, None)), Err(JoinError::Unknown));
    office.apply(&application(&other, Role::Worker, None)).unwrap();

    // Also who has not come yet.
    let early = office.token(Role::Worker, Some("w3"));
    assert_eq!(ca::revoke(&office.ca(), "w3", now()).unwrap().tokens, 1);
    assert_eq!(office.apply(&application(&early, Role::Worker, None)), Err(JoinError::Unknown));
}
