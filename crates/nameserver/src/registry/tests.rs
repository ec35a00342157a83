//! The rules that a reader should find spelt out; the model tests cover how they combine.

use super::*;
use std::collections::BTreeMap as Map;

const TTL: Duration = Duration::from_secs(6);

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn registry() -> Registry {
    Registry::new(Epoch(7), TTL, MAX_WORKERS)
}

fn info(id: u64, name: &str) -> WorkerInfo {
    WorkerInfo {
        id: WorkerId(id),
        name: name.parse().unwrap(),
        address: format!("127.0.0.1:{}", 1000 + id),
        slots: 2,
        tags: Map::new(),
        kinds: vec!["sort".parse().unwrap()],
    }
}

fn idle() -> Load {
    Load::default()
}

fn draining() -> Load {
    Load { draining: true, ..Load::default() }
}

fn names(registry: &mut Registry, now: Duration) -> Vec<String> {
    registry.list(now).iter().map(|status| status.info.name.to_string()).collect()
}

#[test]
fn a_live_workers_name_is_refused_and_its_holder_named() {
    let mut registry = registry();
    assert_eq!(registry.register(info(1, "w"), idle(), secs(0)), Ok(Lease { ttl_ms: 6_000 }));
    let refused = registry.register(info(2, "w"), idle(), secs(1));
    let (name, address) = ("w".parse().unwrap(), "127.0.0.1:1001".into());
    let expected = RegisterError::NameTaken { name, address, ttl_ms: 6_000 };
    assert_eq!(refused, Err(expected));
    assert_eq!(registry.snapshot(secs(1)).members[0].info, info(1, "w"));
    assert_eq!(registry.renew(WorkerId(2), idle(), secs(1)), Err(RenewError::Unknown));
}

#[test]
fn a_name_is_free_at_the_instant_its_lease_ends_though_nobody_purged() {
    let mut registry = registry();
    registry.register(info(1, "w"), idle(), secs(0)).unwrap();
    let before = TTL - Duration::from_nanos(1);
    assert!(registry.register(info(2, "w"), idle(), before).is_err());
    registry.register(info(2, "w"), idle(), TTL).unwrap();
    let changes = registry.take_changes();
    assert_eq!(
        changes,
        [
            Change::Joined(Arc::new(info(1, "w"))),
            Change::Expired(Arc::new(info(1, "w"))),
            Change::Joined(Arc::new(info(2, "w"))),
        ]
    );
    assert_eq!(registry.renew(WorkerId(1), idle(), TTL), Err(RenewError::Unknown));
}

#[test]
fn every_way_to_read_leaves_out_what_has_run_out() {
    let later = [secs(0), TTL];
    for (at, now) in later.into_iter().enumerate() {
        let fresh = || {
            let mut registry = registry();
            registry.register(info(1, "w"), idle(), secs(0)).unwrap();
            registry
        };
        let live = at == 0;
        let name = "w".parse().unwrap();
        assert_eq!(fresh().lookup(&name, now).is_some(), live);
        assert_eq!(fresh().list(now).len(), usize::from(live));
        assert_eq!(fresh().snapshot(now).members.len(), usize::from(live));
        assert_eq!(fresh().len(now), usize::from(live));
        assert_eq!(fresh().remove(&name, now).is_some(), live);
        assert_eq!(fresh().renew(WorkerId(1), idle(), now).is_ok(), live);
    }
}

#[test]
fn a_worker_is_suspect_after_half_a_ttl_and_healthy_again_after_a_renewal() {
    let mut registry = registry();
    registry.register(info(1, "w"), idle(), secs(0)).unwrap();
    let mut state = |now| {
        let status = registry.lookup(&"w".parse().unwrap(), now).unwrap();
        (status.state, status.age_ms)
    };
    assert_eq!(state(secs(3)), (WorkerState::Healthy, 3_000));
    assert_eq!(state(Duration::from_millis(3_001)), (WorkerState::Suspect, 3_001));
    registry.renew(WorkerId(1), idle(), secs(5)).unwrap();
    assert_eq!(registry.list(secs(5))[0].state, WorkerState::Healthy);
    registry.renew(WorkerId(1), draining(), secs(5)).unwrap();
    assert_eq!(registry.list(secs(10))[0].state, WorkerState::Draining);
}

#[test]
fn load_does_not_move_the_revision_or_rebuild_the_snapshot_but_draining_does() {
    let mut registry = registry();
    registry.register(info(1, "w"), idle(), secs(0)).unwrap();
    let before = registry.snapshot(secs(0));
    let busy = Load { running: 2, queued: 9, draining: false };
    registry.renew(WorkerId(1), busy, secs(1)).unwrap();
    registry.register(info(1, "w"), busy, secs(1)).unwrap();
    assert!(Arc::ptr_eq(&before, &registry.snapshot(secs(1))));
    assert_eq!(registry.list(secs(1))[0].load, busy);
    registry.renew(WorkerId(1), draining(), secs(1)).unwrap();
    let after = registry.snapshot(secs(1));
    assert_eq!(after.revision, Revision(before.revision.0 + 1));
    assert!(after.members[0].draining && !before.members[0].draining);
}

#[test]
fn registering_again_renews_and_may_change_everything_but_the_identity() {
    let mut registry = registry();
    registry.register(info(1, "old"), idle(), secs(0)).unwrap();
    let new = WorkerInfo { slots: 9, ..info(1, "new") };
    registry.register(new.clone(), idle(), secs(5)).unwrap();
    assert_eq!(registry.lookup(&"new".parse().unwrap(), secs(10)).unwrap().info, new);
    assert_eq!(names(&mut registry, secs(10)), ["new"]);
    registry.register(info(2, "old"), idle(), secs(10)).unwrap();
    assert_eq!(registry.len(secs(11)), 1, "the lease of the first ended eleven seconds in, not six");
}

#[test]
fn a_removed_start_is_refused_while_its_name_is_free_at_once() {
    let mut registry = registry();
    registry.register(info(1, "w"), idle(), secs(0)).unwrap();
    let status = registry.remove(&"w".parse().unwrap(), secs(1)).unwrap();
    assert_eq!((status.info, status.age_ms), (info(1, "w"), 1_000));
    assert_eq!(registry.renew(WorkerId(1), idle(), secs(1)), Err(RenewError::Removed));
    assert_eq!(registry.register(info(1, "other"), idle(), secs(1)), Err(RegisterError::Removed));
    registry.register(info(2, "w"), idle(), secs(1)).unwrap();
    assert_eq!(registry.remove(&"nobody".parse().unwrap(), secs(1)), None);
}

#[test]
fn the_next_wake_up_is_the_earliest_end_and_moves_with_renewals() {
    let mut registry = registry();
    assert_eq!(registry.expire(secs(0)), Some(secs(8)), "when it settles");
    registry.register(info(1, "a"), idle(), secs(0)).unwrap();
    registry.register(info(2, "b"), idle(), secs(1)).unwrap();
    assert_eq!(registry.expire(secs(1)), Some(secs(6)));
    registry.renew(WorkerId(1), idle(), secs(4)).unwrap();
    assert_eq!(registry.expire(secs(4)), Some(secs(7)));
    assert_eq!(registry.expire(secs(7)), Some(secs(8)));
    assert_eq!(registry.expire(secs(8)), Some(secs(10)));
    assert_eq!(registry.expire(secs(10)), None);
    let changes = registry.take_changes();
    assert_eq!(
        changes[2..],
        [Change::Expired(Arc::new(info(2, "b"))), Change::Settled, Change::Expired(Arc::new(info(1, "a"))),]
    );
}

#[test]
fn it_settles_once_and_not_before_the_slowest_worker_had_its_turn() {
    let mut registry = Registry::new(Epoch(7), Duration::from_millis(300), MAX_WORKERS);
    let unsettled = registry.snapshot(Duration::from_millis(5_099));
    assert!(!unsettled.settled);
    let settled = registry.snapshot(Duration::from_millis(5_100));
    assert!(settled.settled && settled.revision > unsettled.revision, "watchers are told");
    assert!(Arc::ptr_eq(&settled, &registry.snapshot(secs(3_600))));
    assert_eq!(registry.take_changes(), [Change::Settled]);
}

#[test]
fn a_full_registry_refuses_newcomers_only() {
    let mut registry = Registry::new(Epoch(7), TTL, 1);
    registry.register(info(1, "a"), idle(), secs(0)).unwrap();
    assert_eq!(registry.register(info(2, "b"), idle(), secs(1)), Err(RegisterError::Full { workers: 1 }));
    registry.register(WorkerInfo { slots: 4, ..info(1, "a") }, idle(), secs(1)).unwrap();
    registry.deregister(WorkerId(1), secs(1));
    registry.deregister(WorkerId(1), secs(1));
    registry.register(info(2, "b"), idle(), secs(1)).unwrap();
}

#[test]
fn the_whole_membership_never_outgrows_an_answer() {
    let mut registry = registry();
    let heavy = |id: u64| {
        let tags = (0..limits::TAGS).map(|n| (format!("{n:0128}"), "v".repeat(limits::TAG))).collect();
        let kinds = vec!["k".repeat(64).parse().unwrap(); limits::KINDS];
        WorkerInfo { tags, kinds, ..info(id, &format!("w{id}")) }
    };
    let refused = (0..2_000).find_map(|id| registry.register(heavy(id), idle(), secs(0)).err()).unwrap();
    let RegisterError::Full { workers } = refused else { panic!("{refused:?}") };
    let bytes = workers * heavy(1).encoded_bound();
    assert!(bytes <= MAX_BYTES && bytes + 100_000 > MAX_BYTES, "{bytes} bytes");
    registry.deregister(WorkerId(0), secs(0));
    registry.register(heavy(3_000), idle(), secs(0)).unwrap();
    registry.expire(TTL);
    assert_eq!(registry.bytes, 0);
}

#[test]
fn an_announcement_out_of_bounds_changes_nothing() {
    let mut registry = registry();
    let bad = WorkerInfo { slots: 0, ..info(1, "w") };
    assert!(matches!(registry.register(bad, idle(), secs(0)), Err(RegisterError::Invalid { .. })));
    assert_eq!((registry.len(secs(0)), registry.take_changes()), (0, vec![]));
}

#[test]
fn only_revisions_of_this_start_have_been_reached() {
    let mut registry = registry();
    registry.register(info(1, "w"), idle(), secs(0)).unwrap();
    let reached = |epoch, revision| registry.has_reached((Epoch(epoch), Revision(revision)));
    assert!(reached(7, 0) && reached(7, 1));
    assert!(!reached(7, 2) && !reached(8, 0));
}
