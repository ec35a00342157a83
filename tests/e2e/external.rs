//! Sorts of files that are larger than the memory there may be.

use harness::{
    binaries::programs,
    cluster::{Cluster, Run},
    npy,
    process::{Process, Signal},
    reference::word,
    wait::eventually,
};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// What all of them say in the end.
const SAID: &str = "done here, through a temporary file, in ";

/// Some lines, many of them equal, and some of them empty.
fn text(count: u64) -> String {
    (0..count)
        .map(|i| format!("{:.*}\n", (i % 13) as usize, format!("{:016x}", word(9, i) >> (i % 60))))
        .collect()
}

fn lines_in_order(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.into_iter().flat_map(|line| [line, "\n"]).collect()
}

/// No worker is there, nor anybody who could say so.
fn alone() -> Cluster {
    Cluster::start(0)
}

fn sort(terminal: &Cluster, args: &[&str]) -> Run {
    terminal.client(&[&["--wait-workers", "300ms", "sort"], args].concat())
}

/// The names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort_unstable();
    names
}

#[test]
fn lines_that_do_not_fit_come_out_in_order() {
    let terminal = alone();
    let text = text(400_000);
    terminal.file("in", text.trim_end_matches('\n'));
    let expected = lines_in_order(text.trim_end_matches('\n'));
    for plan in ["auto", "local"] {
        let run = sort(&terminal, &["in", "-o", "out", "--memory", "1MiB", "--plan", plan]).expect(0);
        assert!(run.stderr.starts_with(SAID), "{}", run.stderr);
        assert!(fs::read_to_string(terminal.path("out")).unwrap() == expected, "{plan}");
    }
    let descending: String = expected.lines().rev().flat_map(|line| [line, "\n"]).collect();
    sort(&terminal, &["in", "-o", "out", "--memory", "1MiB", "--desc", "--verify"]).expect(0);
    assert!(fs::read_to_string(terminal.path("out")).unwrap() == descending);
    // In place, and to a pipe.
    sort(&terminal, &["out", "-o", "out", "--memory", "1MiB"]).expect(0);
    assert!(fs::read_to_string(terminal.path("out")).unwrap() == expected);
    let run = sort(&terminal, &["in", "-o", "/dev/stdout", "--memory", "1MiB"]).expect(0);
    assert!(run.stdout == expected);
    assert_eq!(names(&terminal.path(".")), ["in", "out"]);
}

#[test]
fn numbers_that_do_not_fit_come_out_in_order() {
    let terminal = alone();
    let mut values: Vec<i64> = (0..300_000).map(|i| word(5, i) as i64 >> (i % 50)).collect();
    terminal.file("in.npy", npy::encode("<i8", &[values.len()], values.iter().map(|x| x.to_le_bytes())));
    values.sort_unstable();
    let expected = npy::encode("<i8", &[values.len()], values.iter().map(|x| x.to_le_bytes()));
    let run = sort(&terminal, &["in.npy", "-o", "out.npy", "--memory", "1MiB", "--verify"]).expect(0);
    assert!(run.stderr.starts_with(SAID), "{}", run.stderr);
    assert!(npy::decode::<8>(&fs::read(terminal.path("out.npy")).unwrap()) == npy::decode::<8>(&expected));

    let numbers = |i: u64| if i.is_multiple_of(5) { f64::NAN } else { f64::from_bits(word(6, i)) };
    let mut values: Vec<f64> = (0..300_000).map(numbers).collect();
    terminal.file("in.npy", npy::encode("<f8", &[values.len()], values.iter().map(|x| x.to_le_bytes())));
    sort(&terminal, &["in.npy", "-o", "out.npy", "--memory", "1MiB", "--desc"]).expect(0);
    let (descr, shape, sorted) = npy::decode::<8>(&fs::read(terminal.path("out.npy")).unwrap());
    assert_eq!((descr.as_str(), shape), ("<f8", vec![values.len()]));
    let sorted: Vec<f64> = sorted.into_iter().map(f64::from_le_bytes).collect();
    values.retain(|x| !x.is_nan());
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    assert!(sorted.iter().map(|x| x.to_bits()).take(values.len()).eq(values.iter().map(|x| x.to_bits())));
    assert!(sorted[values.len()..].iter().all(|x| x.is_nan()) && sorted.len() == 300_000);
}

#[test]
fn what_was_read_of_standard_input_before_is_not_sorted() {
    let terminal = alone();
    terminal.file("in", format!("header\n{}", text(300_000)));
    let client = harness::binaries::programs().client.display().to_string();
    let sorted = lines_in_order(&text(300_000));
    for memory in ["1MiB", "1GiB"] {
        let mut command = terminal.command(std::path::Path::new("sh"));
        let script =
            format!("(read -r header; exec {client} sort - -o - --plan local --memory {memory}) <in");
        command.args(["-c", &script]);
        let run = terminal.finish(terminal.spawn("client", command)).expect(0);
        assert!(run.stdout == sorted, "{memory}: {}", run.stderr);
    }
}

#[test]
fn what_fits_and_what_is_planned_otherwise_is_sorted_in_memory() {
    let cluster = Cluster::start(1);
    let text = text(50_000);
    cluster.file("in", &text);
    let expected = lines_in_order(&text);
    for args in [["--plan", "one"], ["--plan", "split:3"], ["--memory", "64MiB"]] {
        let little = if args[0] == "--plan" { &["--memory", "64KiB"][..] } else { &[] };
        let run = cluster.client(&[&["sort", "in", "-o", "out"], &args[..], little].concat()).expect(0);
        assert!(!run.stderr.contains(SAID), "{args:?}: {}", run.stderr);
        assert!(fs::read_to_string(cluster.path("out")).unwrap() == expected, "{args:?}");
    }
}

#[test]
fn the_plan_for_a_file_that_does_not_fit_is_explained() {
    let terminal = alone();
    terminal.file("in", text(100_000));
    let run = sort(&terminal, &["in", "-o", "out", "--memory", "1MiB", "--explain"]).expect(0);
    assert!(run.stderr.starts_with("plan: local, on "), "{}", run.stderr);
    for said in
        [" through a temporary file, predicted to take ", "more than --memory 1MiB", "measured: ", SAID]
    {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
}

#[test]
fn a_line_that_is_too_long_is_said_so_and_nothing_is_written() {
    let terminal = alone();
    terminal.file("in", [text(200_000).as_bytes(), &[b'x'; 200_000], b"\n"].concat());
    let run = sort(&terminal, &["in", "-o", "out", "--memory", "1MiB"]).expect(1);
    let message =
        "client: too-large: in: a line has more than 104857 bytes, a tenth of --memory 1MiB: give it more\n";
    assert_eq!(run.stderr, message);
    assert_eq!(names(&terminal.path(".")), ["in"]);
    sort(&terminal, &["in", "-o", "out", "--memory", "2MiB"]).expect(0);
}

/// The most memory that a process has had so far, in bytes; `None` when it has ended.
fn peak(process: &Process) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().unwrap() << 10)
}

#[test]
fn memory_stays_within_its_limit_and_what_the_program_itself_takes() {
    const MEMORY: u64 = 8 << 20;
    const PROGRAM: u64 = 20 << 20;
    let _alone = crate::machine_alone();
    let terminal = alone();
    // Long lines first, and then short ones, each of which takes many times what it has.
    let long = "long lines ".repeat(100) + "\n";
    terminal.file("in", long.repeat(30_000) + &text(4_000_000));
    let client = terminal.client_spawn(&["sort", "in", "-o", "out", "--memory", "8MiB", "--plan", "local"]);
    let (mut most, mut begun) = (0, false);
    while let Some(peak) = peak(&client) {
        most = peak.max(most);
        begun |= spilled(&client) > 0;
    }
    terminal.finish(client).expect(0);
    assert!(most < MEMORY + PROGRAM, "{most} bytes");
    assert!(begun, "it ended before it was looked at");
}

/// How many bytes a process has in files without a name.
fn spilled(process: &Process) -> u64 {
    let files = fs::read_dir(format!("/proc/{}/fd", process.id())).into_iter().flatten().flatten();
    let nameless =
        |file: &PathBuf| fs::read_link(file).is_ok_and(|to| to.to_string_lossy().ends_with(" (deleted)"));
    let files = files.map(|file| file.path()).filter(nameless);
    files.filter_map(|file| fs::metadata(file).ok()).map(|about| about.len()).sum()
}

#[test]
fn an_interrupted_sort_leaves_nothing_but_the_old_output() {
    let terminal = alone();
    terminal.file("out", "old");
    let args = ["sort", "/dev/stdin", "-o", "out", "--memory", "1MiB", "--plan", "local"];
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut client = terminal.client_spawn(&args);
        // It has not been told that this is all.
        let mut stdin = client.take_stdin();
        stdin.write_all(text(300_000).as_bytes()).unwrap();
        eventually("a run in a temporary file", || (spilled(&client) > 0).then_some(()));
        client.signal(signal);
        terminal.finish(client).expect(code);
        assert_eq!(names(&terminal.path(".")), ["out"]);
        assert_eq!(fs::read_to_string(terminal.path("out")).unwrap(), "old");
    }
    let mut client = terminal.client_spawn(&args);
    client.take_stdin().write_all(b"b\na").unwrap();
    terminal.finish(client).expect(0);
    assert_eq!(fs::read_to_string(terminal.path("out")).unwrap(), "a\nb\n");
}

#[test]
fn what_a_killed_client_has_left_is_removed_by_the_next_and_no_live_ones_part_is() {
    let terminal = alone();
    let parts = || -> Vec<_> {
        names(&terminal.path(".")).into_iter().filter(|name| name.ends_with(".part")).collect()
    };
    // Each begins its output, and waits for more input.
    let begin = |output: &str| {
        let before = parts().len();
        let mut client = terminal.client_spawn(&["sort", "/dev/stdin", "-o", output, "--plan", "local"]);
        let stdin = client.take_stdin();
        eventually("a part", || (parts().len() > before).then_some(()));
        (client, stdin)
    };
    let (live, mut input) = begin("live");
    let lives = parts();
    let (killed, _input) = begin("killed");
    killed.signal(Signal::KILL);
    terminal.finish(killed);
    assert_eq!(parts().len(), 2, "nobody was there to remove it");
    terminal.file("in", "b\na\n");
    sort(&terminal, &["in", "-o", "out", "--plan", "local"]).expect(0);
    assert_eq!(parts(), lives);
    input.write_all(b"d\nc\n").unwrap();
    drop(input);
    terminal.finish(live).expect(0);
    assert_eq!(names(&terminal.path(".")), ["in", "live", "out"]);
    assert_eq!(fs::read_to_string(terminal.path("live")).unwrap(), "c\nd\n");
}

#[test]
fn a_full_disk_is_one_clear_error_and_the_old_output_stays() {
    let terminal = alone();
    let values: Vec<u64> = (0..1 << 18).map(|i| word(5, i)).collect();
    terminal.file("in.npy", npy::encode("<i8", &[values.len()], values.iter().map(|x| x.to_le_bytes())));
    terminal.file("out.npy", "old");
    let scratch = terminal.path("scratch");
    fs::create_dir(&scratch).unwrap();
    // No file may have more blocks of 512 bytes than that: too few for the runs; enough for them, but not for the
    // output, which has a header.
    let shown = scratch.display();
    let large = "File too large (os error 27); raise ulimit -f, or";
    for (blocks, said) in [
        (1000, format!("cannot write a temporary file in {shown}: {large} name another place with TMPDIR")),
        (4096, format!("cannot write out.npy: {large} use another file system, and run again")),
    ] {
        let script = format!("ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let mut shell = terminal.command(Path::new("/bin/sh"));
        shell.args(["-c", &script]).arg(&programs().client).env("TMPDIR", &scratch);
        shell.args(["sort", "in.npy", "-o", "out.npy", "--memory", "1MiB", "--plan", "local"]);
        let run = terminal.finish(terminal.spawn("client", shell)).expect(1);
        assert_eq!(run.stderr, format!("client: {said}\n"));
        assert_eq!(fs::read_to_string(terminal.path("out.npy")).unwrap(), "old");
        assert_eq!(
            (names(&terminal.path(".")), names(&scratch)),
            (vec!["in.npy".into(), "out.npy".into(), "scratch".into()], vec![])
        );
    }
}

#[test]
fn a_file_of_more_than_a_task_takes_is_explained_or_refused_and_not_read() {
    let terminal = alone();
    let (count, header) = (700_000_000, npy::encode("<i8", &[700_000_000], std::iter::empty::<[u8; 8]>()));
    terminal.file("in.npy", &header);
    let sparse = fs::OpenOptions::new().write(true).open(terminal.path("in.npy")).unwrap();
    sparse.set_len(header.len() as u64 + 8 * count).unwrap();
    let client = terminal.client_spawn(&["sort", "in.npy", "-o", "out.npy", "--explain", "--memory", "1MiB"]);
    client.wait_error_line(|line| line.contains("measured: "));
    client.signal(Signal::INT);
    let run = terminal.finish(client).expect(130);
    assert!(
        run.stderr.starts_with("plan: local, on ") && run.stderr.contains("predicted to take "),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("no task takes so much at once: 4GiB at the most"), "{}", run.stderr);
    // Too much for one task, and so for one worker; ranges of keys are cut in memory.
    for plan in ["one", "split:4"] {
        let run = sort(&terminal, &["in.npy", "-o", "out.npy", "--explain", "--plan", plan]).expect(2);
        assert!(run.stderr.contains("with --plan auto or local it is sorted here"), "{}", run.stderr);
    }
}

#[test]
fn numbers_by_another_name_are_not_sorted_as_lines() {
    let terminal = alone();
    let numbers = npy::encode("<i8", &[100_000], (0..100_000i64).map(|i| (i % 77).to_le_bytes()));
    terminal.file("numbers.dat", numbers);
    for memory in ["100KiB", "1GiB"] {
        let args = ["numbers.dat", "-o", "out", "--plan", "local", "--memory", memory];
        let refused = sort(&terminal, &args);
        assert!(refused.stderr.contains("numbers.dat has the contents of a .npy file"), "{}", refused.stderr);
        assert!(!terminal.path("out").exists());
    }
}
