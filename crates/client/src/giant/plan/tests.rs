use super::*;
use sgdt_proto::kind::matmul::Element;

fn power(slots: u32, rate: f64) -> Power {
    Power { slots, rate }
}

fn rates(here: Power, there: Power, bytes: f64) -> Rates {
    rates_of(here, there, bytes, there.slots)
}

fn rates_of(here: Power, there: Power, bytes: f64, workers: u32) -> Rates {
    Rates { here, cluster: Some((there, Link { bytes, round_trip: 1e-4, workers })), is_busy: false }
}

fn plans(task: Task, rates: Rates) -> Plans {
    Plans::of(&task, &rates, &Limits { memory: 1 << 40, verify: true, timeout: None })
}

const SQUARE: Task = Task::Matmul { shape: [4096; 3], element: Element::F64 };

#[test]
fn a_large_product_is_split_when_workers_are_many_and_the_link_is_fast() {
    let plans = plans(SQUARE, rates(power(2, 5e10), power(16, 5e10), 1e10));
    let best = plans.fastest();
    assert!(best.place == Place::Cluster && best.pieces >= 16, "{best:?}");
    let (one, split) = plans.cluster.unwrap();
    assert!(one.seconds > 2.0 * 4096f64.powi(3) / 5e10 && split.seconds < one.seconds / 3.0);
}

#[test]
fn a_slow_link_keeps_a_product_here() {
    for bytes in [1e5, 1e6, 1e7] {
        let best = plans(SQUARE, rates(power(2, 5e10), power(16, 5e10), bytes)).fastest();
        assert_eq!((best.place, best.pieces), (Place::Here, 2), "{bytes} bytes a second");
    }
}

#[test]
fn the_guide_is_where_time_is_least_without_overlap() {
    let (n, link, rate) = (4096f64, 1e9, 5e10);
    let guide = SQUARE.guide(rate, link).unwrap();
    let time = |p: f64| 2.0 * n.powi(3) / (p * rate) + 2.0 * 8.0 * n * n * p.sqrt() / link;
    assert!(time(guide) < time(guide * 1.1) && time(guide) < time(guide / 1.1), "{guide}");
}

#[test]
fn a_link_carries_what_pieces_have_in_common_once_to_each_worker() {
    let matrix = 8.0 * 4096.0 * 4096.0;
    let sent = |pieces, workers| SQUARE.phases(pieces, 1 << 40, Some(workers)).bytes / matrix;
    // The product, and the factors: one of them whole and half of the other to each of two.
    assert_eq!(sent(2, 2), 4.0);
    // Nearly all of both to each, and not both four times.
    assert!((4.0..=5.0).contains(&sent(16, 2)) && sent(256, 2) <= 5.0, "{} {}", sent(16, 2), sent(256, 2));
    assert_eq!(sent(16, 16), 9.0);
    // Slots of one worker share what it is sent: the same slots, behind fewer links, are as many workers' no more.
    let seconds = |workers| {
        let rates = rates_of(power(2, 5e10), power(16, 5e10), 1e9, workers);
        let limits = Limits { memory: 1 << 40, verify: true, timeout: None };
        Plans::split(&SQUARE, &rates, &limits, 16).unwrap().seconds
    };
    assert!(seconds(2) < 0.75 * seconds(16), "{} {}", seconds(2), seconds(16));
}

#[test]
fn a_product_of_floats_takes_half_as_long_and_sends_half_as_much() {
    let floats = Task::Matmul { shape: [4096; 3], element: Element::F32 };
    assert_eq!(floats.usual_rate(), 2.0 * SQUARE.usual_rate());
    let predicted = |task, rate| {
        let alone = plans(task, rates(power(2, rate), power(16, rate), 1e9));
        alone.cluster.unwrap().0.seconds
    };
    let (short, long) = (predicted(floats, 2e11), predicted(SQUARE, 1e11));
    assert!((long / short - 2.0).abs() < 0.01, "{long} {short}");
    // Twice the bandwidth in elements, at the same rate; the same at twice the rate.
    assert!(floats.guide(1e11, 1e9) > SQUARE.guide(1e11, 1e9));
    assert_eq!(floats.guide(2e11, 1e9), SQUARE.guide(1e11, 1e9));
}

#[test]
fn a_sort_pays_only_where_sorting_is_slower_than_the_way_there() {
    let sort = Task::Numbers { bytes: 8_000_000_000 };
    // Like workers behind a link that is no faster than a core sorts.
    let best = plans(sort, rates(power(2, 6.4e8), power(64, 6.4e8), 1.2e9)).fastest();
    assert_eq!(best.place, Place::Here);
    // A client that is slow itself, and has a fast link.
    let best = plans(sort, rates(power(1, 1e8), power(64, 6.4e8), 1e10)).fastest();
    assert_eq!(best.place, Place::Cluster);
}

#[test]
fn the_text_bounds_what_a_split_factorial_gains() {
    let plans =
        plans(Task::Factorial { n: 1_000_000, decimal: true }, rates(power(1, 1.0), power(64, 1.0), 1e10));
    let (one, split) = plans.cluster.unwrap();
    assert!(split.seconds < one.seconds && split.seconds > one.seconds / 2.0, "{one:?} {split:?}");
}

#[test]
fn factorials_take_as_long_as_was_measured() {
    // Seconds of one core, with the text: as measured, on a core that is 1.1 times as fast as the usual one.
    let alone = Rates { here: power(1, 1.0), cluster: None, is_busy: false };
    for (n, measured) in [(1_000_000, 1.1 * 0.172), (2_000_000, 1.1 * 0.412), (20_000_000, 1.1 * 7.2)] {
        let predicted = plans(Task::Factorial { n, decimal: true }, alone).local.seconds;
        assert!((predicted / measured - 1.0).abs() < 0.1, "{n}: {predicted}");
    }
    // Without text, on one thread and on two.
    for (threads, measured) in [(1, 1.1 * 0.50), (2, 1.1 * 0.31)] {
        let binary = Task::Factorial { n: 10_000_000, decimal: false };
        let here = Rates { here: power(threads, 1.0), cluster: None, is_busy: false };
        let predicted = plans(binary, here).local.seconds;
        assert!((predicted / measured - 1.0).abs() < 0.2, "{threads}: {predicted}");
    }
    let two = plans(
        Task::Factorial { n: 5_000_000, decimal: true },
        Rates { here: power(2, 1.0), cluster: None, is_busy: false },
    )
    .local;
    assert!(two.pieces == 1 && two.seconds < 1.2, "{two:?}");
}

#[test]
fn without_workers_there_is_this_process() {
    let alone = Rates { here: power(4, 1e8), cluster: None, is_busy: false };
    let plans = plans(Task::Lines { bytes: 1 << 30 }, alone);
    assert_eq!((plans.fastest().place, plans.cluster), (Place::Here, None));
    assert!(plans.fastest().pieces > 1);
}

#[test]
fn a_slot_never_waits_for_a_single_round_with_the_whole_transfer() {
    // Transfer and work of equal length overlap in all but one round.
    let split = |pieces| {
        let rates = rates(power(1, 1e9), power(2, 1e9), 2e9);
        Plans::split(
            &Task::Numbers { bytes: 1 << 30 },
            &rates,
            &Limits { memory: 1 << 40, verify: true, timeout: None },
            pieces,
        )
    };
    assert!(split(8).unwrap().seconds < split(2).unwrap().seconds);
}

#[test]
fn an_explanation_says_when_a_local_run_is_faster() {
    let rates = rates(power(2, 5e10), power(2, 5e10), 1e6);
    let plans = plans(SQUARE, rates);
    let (one, split) = plans.cluster.unwrap();
    let explanation = |name: Option<&str>, chosen: Plan, local_run| {
        let (task, is_small) = (&SQUARE, (chosen.place, chosen.pieces) == (Place::Cluster, 1));
        Explanation { name, task, rates: &rates, plans: &plans, chosen, is_small, local_run }.to_string()
    };
    let told = explanation(None, split, LocalRun::Plan);
    assert!(told.starts_with("plan: split into ") && told.contains("faster: try --plan local"), "{told}");
    // `run` would refuse that.
    let told = explanation(Some("line 3"), split, LocalRun::Workers);
    assert!(told.starts_with("plan for line 3: split into ") && !told.contains("--plan"), "{told}");
    assert!(told.contains("faster: try --local 2 in place of --nameserver and --tls"), "{told}");
    let told = explanation(None, split, LocalRun::Here);
    assert!(!told.contains("try") && !told.contains("it is small"), "{told}");
    let told = explanation(None, one, LocalRun::Plan);
    assert!(told.contains("it is small: --plan auto sends "), "{told}");
    let told = explanation(None, plans.local, LocalRun::Plan);
    assert!(
        told.starts_with("plan: local, in 2 pieces on 2 threads") && !told.contains("is faster"),
        "{told}"
    );
    assert!(told.contains("as a whole on one worker would take"), "{told}");
    assert!(!told.contains("a fifth less"), "{told}");
    let nearly =
        Plans { cluster: Some((one, Plan { seconds: 0.9 * plans.local.seconds, ..split })), ..plans };
    let (chosen, local_run) = (nearly.fastest(), LocalRun::Plan);
    let (rates, task) = (&rates, &SQUARE);
    let told = Explanation { name: None, task, rates, plans: &nearly, chosen, is_small: false, local_run };
    let told = told.to_string();
    assert!(
        told.starts_with("plan: local") && told.contains("only for what is predicted to take a fifth less"),
        "{told}"
    );
    // Whoever is idle helps, whatever the kind.
    let told = explanation(None, Plan { pieces: 1, ..plans.local }, LocalRun::Plan);
    assert!(told.starts_with("plan: local, on 2 threads, predicted"), "{told}");
}

#[test]
fn a_sort_through_a_temporary_file_says_why() {
    let told = |bytes, memory| {
        let task = Task::Numbers { bytes };
        Spilled { task: Some(&task), here: power(2, 6.4e8), memory }.to_string()
    };
    assert!(
        told(1 << 30, 1 << 20).contains("it would take more than --memory 1MiB"),
        "{}",
        told(1 << 30, 1 << 20)
    );
    let one = Spilled { task: None, here: power(1, 6.4e8), memory: 1 << 20 }.to_string();
    assert!(one.starts_with("plan: local, on one thread, through a temporary file"), "{one}");
    // However much memory there is.
    assert!(told(4 << 30, 1 << 40).contains("no task takes so much at once: 4GiB at the most"));
}

#[test]
fn files_thin_factors_long_lists_and_pieces_take_their_time() {
    let alone = Rates { here: power(1, 4e10), cluster: None, is_busy: false };
    let predicted = |shape| plans(Task::Matmul { shape, element: Element::F64 }, alone).local.seconds;
    // 24 MB to write, and next to nothing to compute.
    let thin = predicted([1_000_000, 3, 3]);
    assert!((0.02..0.1).contains(&thin), "{thin}");
    // The same numbers of operations, on few elements.
    assert!(predicted([256, 256, 256]) < 0.05 * predicted([4, 4, 1 << 20]), "{}", predicted([256; 3]));
    let text = plans(
        Task::Lines { bytes: 25_000_000 },
        Rates { here: power(1, 1e8), cluster: None, is_busy: false },
    );
    assert!((0.4..0.7).contains(&text.local.seconds), "{:?}", text.local);
    // Where only small pieces fit, there are many.
    let rates = rates(power(2, 4e10), power(2, 4e10), 1e9);
    let seconds = |memory| {
        let limits = Limits { memory, verify: false, timeout: None };
        let task = Task::Matmul { shape: [800; 3], element: Element::F64 };
        Plans::split(&task, &rates, &limits, 16).unwrap().seconds
    };
    assert!(seconds(300 << 10) > 5.0 * seconds(256 << 20), "{} {}", seconds(300 << 10), seconds(256 << 20));
}
