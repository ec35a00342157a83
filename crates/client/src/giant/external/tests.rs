use super::{runs::Run, *};
use crate::job::{npy::header::encode, replace::Destination};
use proptest::prelude::*;
use sgdt_proto::{
    kind::{
        random::word,
        sort::{Number, order},
    },
    task::ErrorCode,
};
use std::{fs, io::Cursor};

/// What it gives, with so much memory and so many threads.
fn sorted<R: Records>(records: R, input: &[u8], memory: u64, threads: u32) -> Result<Vec<u8>, TaskError> {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("out");
    let job = Job {
        records,
        input: Box::new(Cursor::new(input.to_vec())),
        name: "in".into(),
        scratch: home.path().to_owned(),
        budget: Budget { memory, threads },
        verify: true,
    };
    let mut output = Stream::begin(Destination::new(&path).unwrap()).unwrap();
    output.write(b"before").unwrap();
    let done = sort(job, &mut output, &Cancel::new()).and_then(|()| output.finish());
    let left = fs::read_dir(home.path()).unwrap().count();
    assert_eq!(left, usize::from(done.is_ok()), "something is left beside the output");
    let bytes = fs::read(path).unwrap_or_default();
    done.map(|()| bytes.strip_prefix(b"before").unwrap().to_vec())
}

/// Lines in order, as sort(1) writes them.
fn in_order(text: &[u8], descending: bool) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    if lines.last().is_some_and(|line| line.is_empty()) {
        lines.pop();
    }
    lines.sort_unstable();
    if descending {
        lines.reverse();
    }
    lines.into_iter().flat_map(|line| [line, b"\n"]).flatten().copied().collect()
}

#[track_caller]
fn assert_sorts_lines(what: &str, text: &[u8], memory: u64) {
    for (descending, threads) in [(false, 1), (false, 2), (true, 2), (false, 4)] {
        let result = sorted(Lines { descending }, text, memory, threads).unwrap();
        assert!(result == in_order(text, descending), "{what}, descending: {descending}, {threads} threads");
    }
}

/// Lines of random letters, of lengths up to `longest`.
fn random_lines(count: u64, longest: u64, letters: &[u8]) -> Vec<u8> {
    let letter = |at: u64| letters[word(2, at) as usize % letters.len()];
    let line = |i: u64| (0..word(1, i) % (longest + 1)).map(move |k| letter(i * longest + k)).chain([b'\n']);
    (0..count).flat_map(line).collect()
}

#[test]
fn odd_texts_are_sorted() {
    assert_sorts_lines("nothing", b"", 1 << 12);
    assert_sorts_lines("an empty line", b"\n", 1 << 12);
    assert_sorts_lines("no last line feed", b"b\na\nc", 1 << 12);
    assert_sorts_lines("one line without its line feed", b"a", 1 << 12);
    assert_sorts_lines("empty lines", &[b'\n'; 5000], 1 << 12);
    assert_sorts_lines("equal lines", &b"the same\n".repeat(3000), 1 << 12);
    assert_sorts_lines("carriage returns", &b"x\r\nx\ny\r\n\r\n".repeat(300), 1 << 12);
    assert_sorts_lines("zeros", &random_lines(3000, 12, b"\0\0\x01"), 1 << 12);
    assert_sorts_lines("all bytes", &random_lines(3000, 20, &(0..=255).collect::<Vec<_>>()), 1 << 14);
    assert_sorts_lines("in order", &in_order(&random_lines(3000, 20, b"abc"), false), 1 << 13);
    assert_sorts_lines("in reverse", &in_order(&random_lines(3000, 20, b"abc"), true), 1 << 13);
    let alike = random_lines(2000, 5, b"ab").split(|&b| b == b'\n').fold(Vec::new(), |mut all, line| {
        all.extend_from_slice(&[b'p'; 300]);
        all.extend_from_slice(line);
        all.push(b'\n');
        all
    });
    assert_sorts_lines("long beginnings in common", &alike, 1 << 15);
}

#[test]
fn long_lines_among_short_ones_are_merged_a_few_at_a_time() {
    let mut text = Vec::new();
    for i in 0..60 {
        text.extend_from_slice(&random_lines(20, 30, b"abc"));
        text.extend(std::iter::repeat_n(b'a' + (word(7, i) % 3) as u8, 1000 + i as usize * 9));
        text.push(b'\n');
    }
    assert_sorts_lines("long and short", &text, 1 << 14);
}

#[test]
fn what_takes_little_memory_is_merged_at_once_and_else_its_neighbours_first() {
    let run = |longest| Run { range: 0..1, longest };
    let budget = Budget::new(1 << 29, 2);
    assert_eq!((budget.group(&[]), budget.group(&[run(9)])), (0, 1));
    assert_eq!(budget.group(&vec![run(100); 3000]), 3000);
    assert_eq!(budget.group(&vec![run(100); 9000]), 3328);
    for threads in 1..9 {
        let budget = Budget::new(1 << 29, threads);
        let long = vec![run(budget.longest()); 40];
        assert!((2..40).contains(&budget.group(&long)), "{threads} threads");
        for runs in [&long[..budget.group(&long)], &vec![run(100); 40], &vec![run(100); 1600]] {
            let buffers: usize = budget.buffers(runs).sum();
            assert!(buffers as u64 <= budget.room(), "{} parts take {buffers} bytes", runs.len());
        }
    }
}

#[test]
fn a_line_that_is_too_long_is_too_large_and_says_what_to_do() {
    let text = [&b"short\n".repeat(100), &vec![b'x'; 500][..], b"\nshort\n"].concat();
    let error = sorted(Lines { descending: false }, &text, 4096, 2).unwrap_err();
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert_eq!(error.message, "in: a line has more than 409 bytes, a tenth of --memory 4KiB: give it more");
    assert!(sorted(Lines { descending: false }, &text, 8192, 2).is_ok());
}

#[test]
fn a_cancelled_sort_ends_and_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let cancel = Cancel::new();
    cancel.cancel();
    let job = Job {
        records: Lines { descending: false },
        input: Box::new(Cursor::new(b"b\na\n".repeat(1000))),
        name: "in".into(),
        scratch: home.path().to_owned(),
        budget: Budget { memory: 4096, threads: 2 },
        verify: false,
    };
    let mut output = Stream::begin(Destination::new(&home.path().join("out")).unwrap()).unwrap();
    assert_eq!(sort(job, &mut output, &cancel).unwrap_err().code, ErrorCode::Cancelled);
    drop(output);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn what_stands_in_the_way_is_named() {
    let sort_to = |scratch: &Path, output: &str| {
        let input = Box::new(Cursor::new(b"b\na\n".repeat(1000)));
        let (records, budget) = (Lines { descending: false }, Budget { memory: 4096, threads: 2 });
        let job =
            Job { records, input, name: "in".into(), scratch: scratch.to_owned(), budget, verify: false };
        let mut output = Stream::begin(Destination::new(Path::new(output)).unwrap()).unwrap();
        sort(job, &mut output, &Cancel::new()).unwrap_err().to_string()
    };
    let missing = sort_to(Path::new("/nowhere"), "/dev/null");
    assert_eq!(
        missing,
        "gave-up: cannot make a temporary file in /nowhere: No such file or directory (os error 2); TMPDIR can name \
         another place"
    );
    let full = sort_to(&std::env::temp_dir(), "/dev/full");
    assert_eq!(
        full,
        "gave-up: cannot write /dev/full: No space left on device (os error 28); make room and run again"
    );
}

#[test]
fn temporary_files_go_where_they_are_told_or_beside_the_output() {
    let beside = |output: &str| scratch(None, Path::new(output));
    assert_eq!(beside("/some/where/out"), Path::new("/some/where"));
    assert_eq!(beside("out"), Path::new("."));
    assert_eq!(beside("/dev/null"), std::env::temp_dir());
    assert_eq!(beside("-"), std::env::temp_dir(), "standard output");
    assert_eq!(beside("./-"), Path::new("."), "a file");
    assert_eq!(scratch(Some("".into()), Path::new("/a/b")), Path::new("/a"));
    assert_eq!(scratch(Some("/large".into()), Path::new("/a/b")), Path::new("/large"));
    // Beside the file, and not beside what stands for it.
    let home = tempfile::tempdir().unwrap();
    let (there, link) = (home.path().join("there"), home.path().join("link"));
    std::fs::create_dir(&there).unwrap();
    std::fs::write(there.join("out"), "").unwrap();
    std::os::unix::fs::symlink(there.join("out"), &link).unwrap();
    assert_eq!(scratch(None, &link), there.canonicalize().unwrap());
}

fn numbers(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn lines_come_out_as_they_would_in_memory(
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\0\rab\xff".to_vec()), 0..40), 0..400),
        ended: bool, descending: bool, threads in 1u32..4, memory in 4096u64..30_000,
    ) {
        let mut text = lines.join(&b'\n');
        if ended {
            text.push(b'\n');
        }
        let result = sorted(Lines { descending }, &text, memory, threads).unwrap();
        prop_assert!(result == in_order(&text, descending));
    }

    #[test]
    fn numbers_come_out_as_they_would_in_memory(
        seed: u64, count in 0u64..3000, spread in 0u32..64, descending: bool,
        number in prop::sample::select(Number::ALL.to_vec()),
        threads in 1u32..4, memory in 4096u64..30_000,
    ) {
        let special = [f64::NAN, -f64::NAN, 0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY].map(f64::to_bits);
        let doubles = number == Number::F64;
        let words: Vec<u64> = (0..count)
            .map(|i| if doubles && i % 7 == 0 { special[i as usize % 6] } else { word(seed, i) >> spread })
            .collect();
        let mut expected = words.clone();
        expected.sort_unstable_by_key(|&word| order::key(number, word, descending));
        let result = sorted(Numbers { number, descending }, &numbers(&words), memory, threads).unwrap();
        prop_assert!(result == numbers(&expected));
    }
}

#[test]
fn a_file_that_becomes_shorter_is_not_sorted_in_part() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    fs::write(&out, "old").unwrap();
    let numbers = [encode(Number::I64, &[2]), vec![7; 16]].concat();
    // Of the numbers a whole one, so that what is left are numbers too.
    for (name, content, less) in [("lines", b"b\na\n".to_vec(), 1), ("list.npy", numbers, 8)] {
        let path = home.path().join(name);
        fs::write(&path, &content).unwrap();
        let input = Input::open(&path).unwrap();
        fs::write(&path, &content[..content.len() - less]).unwrap();
        let way = Way {
            descending: false,
            budget: Budget { memory: 1 << 20, threads: 1 },
            scratch: home.path().to_owned(),
            verify: false,
        };
        let output = Stream::begin(Destination::new(&out).unwrap()).unwrap();
        let error = input.sort(way, output, &Cancel::new()).unwrap_err().message;
        assert_eq!(error, format!("cannot read {}: it became shorter while it was read", path.display()));
        assert_eq!(fs::read(&out).unwrap(), b"old");
    }
}

#[test]
fn what_a_sort_in_memory_takes_is_counted() {
    let home = tempfile::tempdir().unwrap();
    let numbers = [encode(Number::I64, &[2]), vec![7; 16]].concat();
    // Two and a half times the bytes and 34 for each of two lines, or twice the bytes and 2 for each number.
    for (name, content, takes) in [("lines", b"bb\naa".to_vec(), 80), ("list.npy", numbers, 36)] {
        let path = home.path().join(name);
        fs::write(&path, &content).unwrap();
        let input = Input::open(&path).unwrap();
        assert_eq!((input.fits(takes), input.fits(takes - 1)), (Ok(true), Ok(false)), "{name}");
    }
}
