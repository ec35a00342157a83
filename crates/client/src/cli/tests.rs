use super::*;

fn read(line: &str) -> Result<Cli, String> {
    Cli::read(format!("client {line}").split_whitespace()).map_err(|error| error.to_string())
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn options_may_stand_before_or_after_the_command() {
    let options = "--nameserver a:1,b:2 --tls pki --balance p2c --max-attempts 3 --task-timeout 250ms --wait-workers 1m \
                   --progress never --log-format json";
    let before = read(&format!("{options} run x.jsonl --ordered")).unwrap();
    let after = read(&format!("run --ordered {options} x.jsonl")).unwrap();
    assert_eq!(before, after);
    let expected = Global {
        nameserver: vec!["a:1".into(), "b:2".into()],
        tls: Some("pki".into()),
        local: None,
        balance: Balance::P2c,
        max_attempts: 3,
        task_timeout: Some(Duration::from_millis(250)),
        wait_workers: Duration::from_secs(60),
        progress: ProgressMode::Never,
        log_format: LogFormat::Json,
    };
    assert_eq!(after.global, expected);
}

#[test]
fn what_is_left_out_has_the_promised_defaults() {
    let Cli { global, command } = read("run").unwrap();
    let expected = Global {
        nameserver: Vec::new(),
        tls: None,
        local: None,
        balance: Balance::RoundRobin,
        max_attempts: 5,
        task_timeout: None,
        wait_workers: Duration::from_secs(30),
        progress: ProgressMode::Auto,
        log_format: LogFormat::Text,
    };
    assert_eq!(global, expected);
    let (tasks, output) = ("-".into(), "-".into());
    let split = Split { plan: Choice::Auto, explain: false, memory: ByteSize(256 << 20), verify: false };
    assert_eq!(
        command,
        Command::Run(Run { tasks, output, ordered: false, resume: false, fail_fast: false, split })
    );
}

#[test]
fn each_command_takes_what_it_should() {
    for line in [
        "run - --output results.jsonl --ordered --resume --fail-fast",
        "run - --plan split:8 --explain --memory 1GiB --verify",
        "matmul a.npy b.npy -o c.npy",
        "matmul a.npy b.npy -o c.npy --plan split:8 --explain --memory 1GiB",
        "sort in.txt -o out.txt --plan local --verify",
        "factorial 5 --plan one",
        "factorial 5 20 18446744073709551615",
        "factorial 5 -o f.txt",
        "sort in.txt -o out.txt --desc",
        "workers",
        "workers --json --watch",
        "lookup w1",
        "ping",
        "ping w1",
        "remove w1",
        "drain w1",
        "workers --local 2",
        "bench throughput",
        "bench latency --tasks 100 --json",
        "bench payload --size 1MiB --tasks 3 --local 1",
    ] {
        assert!(read(line).is_ok(), "{line}: {}", read(line).unwrap_err());
    }
}

#[test]
fn what_makes_no_sense_is_named() {
    for (line, named) in [
        ("", "Usage"),
        ("walk", "'walk'"),
        ("run a b", "'b'"),
        ("run --fast", "'--fast'"),
        ("factorial 5 --plan split:0", "split:N"),
        ("factorial 5 --memory much", "much"),
        ("--balance sideways workers", "round-robin, least-loaded, p2c"),
        ("--nameserver localhost workers", "'localhost'"),
        ("--nameserver a:1,b workers", "'b'"),
        ("--nameserver :1 workers", "write host:port"),
        ("--nameserver a:0 workers", "write host:port"),
        ("--local 0 workers", "1..=256"),
        ("--local 2 --nameserver a:1 workers", "leave it or --nameserver out"),
        ("workers --nameserver a:1 --local 2", "leave it or --nameserver out"),
        ("--local 2 --tls pki workers", "leave it or --tls out"),
        ("--max-attempts 0 workers", "'0'"),
        ("--task-timeout 0s workers", "no time"),
        ("--task-timeout 5 workers", "250ms"),
        ("--wait-workers soon workers", "'soon'"),
        ("--progress sometimes workers", "auto, always, never"),
        ("--log-format xml workers", "\"xml\""),
        ("matmul a.npy b.npy", "--output"),
        ("factorial", "<N>"),
        ("factorial ten", "'ten'"),
        ("factorial -1", "'-1'"),
        ("lookup", "<NAME>"),
        ("bench", "<WHAT>"),
        ("bench speed", "throughput"),
        ("bench latency --tasks 0", "'0'"),
        ("bench payload --size much", "'much'"),
        ("lookup ../w1", "\"../w1\""),
    ] {
        let error = read(line).unwrap_err();
        assert!(error.contains(named), "{line}: {error}");
    }
}
