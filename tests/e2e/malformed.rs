//! Lines that are no tasks, or tasks of nonsense: each gets its error result, and the lines between them
//! their answers.

use harness::{
    cluster::{Cluster, Run},
    results::{Status, TaskResult},
};

/// Lines without an id, so that each is called by its number; and the code of its error.
const LINES: &[(&[u8], &str)] = &[
    // Not JSON, or not an object.
    (b"{", "invalid-input"),
    (b"nonsense", "invalid-input"),
    (b"\"task\"", "invalid-input"),
    (b"null", "invalid-input"),
    (b"[]", "invalid-input"),
    (b"17", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":3} {\"task\":\"factorial\",\"n\":4}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":3,}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":3,\"n\":4}", "invalid-input"),
    (b"\xff\xfe{\"task\":\"factorial\",\"n\":3}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":3,\"note\":\"\xc3\x28\"}", "invalid-input"),
    (b"{\"task\":\"factorial\0\",\"n\":3}", "invalid-input"),
    // An id that cannot be one.
    (b"{\"id\":null,\"task\":\"factorial\",\"n\":3}", "invalid-input"),
    (b"{\"id\":{},\"task\":\"factorial\",\"n\":3}", "invalid-input"),
    (b"{\"id\":1.5,\"task\":\"factorial\",\"n\":3}", "invalid-input"),
    // A kind that is missing, or none.
    (b"{\"n\":5}", "invalid-input"),
    (b"{\"task\":5}", "invalid-input"),
    (b"{\"task\":null}", "invalid-input"),
    (b"{\"task\":\"\"}", "invalid-input"),
    (b"{\"task\":\"no-such-kind\",\"n\":3}", "unsupported-task"),
    // Garbage in every field.
    (b"{\"task\":\"factorial\"}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":-1}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":1.5}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":\"ten\"}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":null}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":[3]}", "invalid-input"),
    (b"{\"task\":\"factorial\",\"n\":18446744073709551616}", "invalid-input"),
    (b"{\"task\":\"sort\"}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":\"abc\"}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":{}}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":[1,\"a\"]}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":[1,null]}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":[1e400]}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":[NaN]}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":[1],\"order\":\"sideways\"}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":[1],\"random\":5,\"seed\":1}", "invalid-input"),
    (b"{\"task\":\"sort\",\"random\":5,\"seed\":\"x\"}", "invalid-input"),
    (b"{\"task\":\"sort\",\"values\":[1],\"return\":\"nothing\"}", "invalid-input"),
    (b"{\"task\":\"sort\",\"npy\":\"no-such-file.npy\"}", "invalid-input"),
    (b"{\"task\":\"matmul\"}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":[[1]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":[[1,2]],\"b\":[[1,2]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":[[1,2],[3]],\"b\":[[1],[2]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":[[\"x\"]],\"b\":[[1]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":[1,2],\"b\":[[1],[2]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":{\"npy\":\"no-such-file.npy\"},\"b\":[[1]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":{\"npy\":17},\"b\":[[1]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":{\"random\":[2]},\"b\":[[1]]}", "invalid-input"),
    (b"{\"task\":\"matmul\",\"a\":{\"random\":[2,-2],\"seed\":1},\"b\":[[1]]}", "invalid-input"),
    (b"{\"task\":\"sleep\",\"ms\":-5}", "invalid-input"),
    (b"{\"task\":\"sleep\"}", "invalid-input"),
];

fn error(result: &TaskResult) -> (&str, &str) {
    assert_eq!(result.status, Status::Error, "{result:?}");
    let error = result.error.as_ref().unwrap();
    (&error.code, &error.message)
}

#[test]
fn each_malformed_line_has_its_error_and_the_lines_between_have_their_answers() {
    let cluster = Cluster::start(1);
    let mut input = Vec::new();
    let mut bad = Vec::new();
    let mut number = 0;
    let mut line = |bytes: &[u8]| {
        input.extend_from_slice(bytes);
        input.push(b'\n');
        number += 1;
        number
    };
    for (bytes, code) in LINES {
        bad.push((line(bytes), String::from_utf8_lossy(bytes), *code));
        line(b"");
        line(b"{\"task\":\"factorial\",\"n\":20}");
    }
    // Deeper than any parser's stack, and wider than any buffer.
    bad.push((line(&[b'['; 200_000]), "[[[...".into(), "invalid-input"));
    bad.push((line(&[b'x'; 2_000_000]), "xxx...".into(), "invalid-input"));

    let results = cluster.client_with_input(&["run", "-"], input).expect(1).results();
    assert_eq!(results.all().len(), LINES.len() + bad.len());
    for (number, line, code) in &bad {
        let (got, message) = error(results.get(&number.to_string()));
        assert_eq!(got, *code, "line {number}, {line}: {message}");
        assert!(!message.is_empty() && !message.contains('\n'), "{line}: {message:?}");
    }
    let good: Vec<&TaskResult> = results.all().iter().filter(|result| result.status == Status::Ok).collect();
    assert_eq!(good.len(), LINES.len());
    assert!(good.iter().all(|result| result.output["value"] == "2432902008176640000"));
}

#[test]
fn a_line_that_cannot_be_read_is_named_by_its_number_in_the_message() {
    let cluster = Cluster::start(1);
    let input = "{\"task\":\"factorial\",\"n\":1}\n\n{\"task\":\n[1]\n";
    let results = cluster.client_with_input(&["run", "-"], input).expect(1).results();
    results.assert_exactly_once(["1", "3", "4"]);
    assert!(error(results.get("3")).1.contains("line 3"));
    assert!(error(results.get("4")).1.contains("line 4"));
}

fn run(input: &str) -> Run {
    Cluster::start(1).client_with_input(&["run", "-"], input)
}

#[test]
fn an_id_that_is_taken_is_an_error_of_the_later_line() {
    let line = |id: &str, n| format!("{{\"id\":{id},\"task\":\"factorial\",\"n\":{n}}}\n");
    let results = run(&[line("\"a\"", 3), line("\"b\"", 4), line("\"a\"", 5)].concat()).expect(1).results();
    assert_eq!(results.all().len(), 3);
    let ok: Vec<_> = results.all().iter().filter(|result| result.status == Status::Ok).collect();
    let answers: Vec<_> = ok.iter().map(|result| (result.id.as_str(), &result.output["value"])).collect();
    assert!(answers.contains(&("a", &"6".into())) && answers.contains(&("b", &"24".into())), "{answers:?}");
    let failed = results.all().iter().find(|result| result.status == Status::Error).unwrap();
    let (code, message) = error(failed);
    assert_eq!(code, "invalid-input");
    assert!(message.contains("line 3") && message.contains('a'), "{message}");
}

#[test]
fn a_job_without_tasks_is_done() {
    for input in ["", "\n", "\n  \n\t\r\n"] {
        assert_eq!(run(input).expect(0).stdout, "");
    }
}

#[test]
fn line_ends_of_either_sort_and_a_last_line_without_one_are_lines() {
    let results =
        run("{\"task\":\"factorial\",\"n\":3}\r\n{\"task\":\"factorial\",\"n\":4}").expect(0).results();
    results.assert_exactly_once(["1", "2"]).assert_all_ok();
    assert_eq!(results.get("2").output["value"], "24");
}
